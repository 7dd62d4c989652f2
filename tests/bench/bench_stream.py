"""The stream under stress: python tests/bench/bench_stream.py [model] [--seconds 20] [--latency 20] [--rt]

Plays a model in real time to a native host (48 kHz, 128 frames) with 50 temperature messages a second, while a Python
thread is busy and once a second a C call keeps the GIL for 200 ms, and compares what came out with a rendering of the
same messages. Then the cost of the resampler.
"""

import argparse
import ctypes
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from stream_host import NativeHost

from sopilib import Config, Model
from sopilib.checkpoint import save
from sopilib.live import Performer
from sopilib.native._native import Resampler

RATE, BLOCK = 48000, 128


def stress(end: threading.Event) -> None:
    """A pure-Python busy thread, and one that keeps the GIL."""

    def busy() -> None:
        while not end.is_set():
            sum(range(1000))

    def hog() -> None:
        while not end.wait(1.0):
            ctypes.PyDLL(None).usleep(200000)

    for work in (busy, hog):
        threading.Thread(target=work, daemon=True).start()


def play(model: str, seconds: float, latency: float, stressed: bool, priority: int) -> None:
    ready = threading.Event()
    if priority:  # as `pd -rt`: the stream's thread goes just below whoever makes it
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    performer = Performer(latency=latency, status=lambda kind, *values: ready.set() if kind == "loaded" else None)
    if priority:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    performer.handle("load", model)
    ready.wait(60)
    messages: list[Any] = [(0.1, "generate", 1)]
    messages += [(0.2 + k / 50, "temperature", 0.8 + 0.4 * (k % 10) / 10) for k in range(int(50 * (seconds - 0.5)))]
    sent: list[Any] = []
    end = threading.Event()
    sys.setswitchinterval(0.0005)  # as in the external
    if stressed:
        stress(end)
    host = NativeHost(performer.ring, int(seconds * RATE) // BLOCK * BLOCK, RATE, BLOCK, priority)
    host.start()
    begin = time.monotonic()
    for due, *message in messages:
        time.sleep(max(0.0, begin + due - time.monotonic()))
        t = performer.now
        performer.handle(*message, t=t)
        sent.append((t, message))
    host.join()
    end.set()
    stats = performer.stream.stats()
    performer.close()

    again = Performer(latency=latency, freewheel=True)
    again.host(RATE, BLOCK)
    again.handle("load", model)
    for t, message in sent:
        again.handle(*message, t=t)
    same = np.array_equal(host.out, again.read(len(host.out))[0])
    again.close()
    print(
        f"{'stressed' if stressed else 'quiet':9} underruns {stats['underruns']}, late {stats['late']} of {len(sent)}"
        f" (worst {1000 * stats['worst_late'] / RATE:.1f} ms), {stats['rtf']:.1f}x real time, host late by at most"
        f" {1000 * host.worst:.1f} ms, {'same samples as' if same else 'differs from'} the rendering"
    )


def resampler(model_rate: int, host_rate: int) -> None:
    filter_, n, seconds = Resampler(model_rate, host_rate), 96, 5
    noise = np.random.default_rng(0).standard_normal(model_rate).astype(np.float32)
    begin = time.perf_counter()
    for _ in range(seconds * host_rate // n):
        filter_.process(noise[: filter_.needed(n)], n)
    cost = (time.perf_counter() - begin) / seconds
    print(f"resampler {model_rate} -> {host_rate}: {100 * cost:.2f} % of a core, delay {1000 * filter_.delay:.2f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="name or file; default: a random one of dim 256")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--latency", type=float, default=20, help="ms")
    parser.add_argument(
        "--rt", action="store_true", help="host and stream at real-time priority (needs the right to it)"
    )
    options = parser.parse_args()
    if options.model is None:
        import tempfile

        options.model = str(Path(tempfile.mkdtemp()) / "random.safetensors")
        save(Model.random(Config(frame_sizes=[16, 64], dim=256)), options.model)
    for stressed in (False, True):
        play(options.model, options.seconds, options.latency / 1000, stressed, 20 if options.rt else 0)
    for rates in ((16000, 44100), (16000, 48000), (44100, 48000), (44100, 16000)):
        resampler(*rates)
