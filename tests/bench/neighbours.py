"""Several objects side by side, each with its own producer.

    python tests/bench/neighbours.py [MODEL] --objects 4,8 --seconds 10

As many performers of one model as are asked for play in real time, each to a native host of its own (48 kHz, 128
frames). Of each number: how often the sound ran out, in how many objects, and how fast the slowest producer is when it
has work.
"""

import argparse
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from stream_host import NativeHost

from sopilib.live import Performer

RATE, BLOCK = 48000, 128


def playing(model: str, latency: float, seed: int) -> Performer:
    """A performer that has loaded the model and begins to play with the first frame that it is asked for."""
    ready = threading.Event()
    performer = Performer(latency=latency, status=lambda kind, *values: ready.set() if kind == "loaded" else None)
    performer.handle("load", model)
    assert ready.wait(60), f"{model} does not load"
    performer.handle("seed", seed)
    performer.handle("generate", 1)
    return performer


def measure(model: str, objects: int, seconds: float, latency: float) -> str:
    """One line of figures."""
    performers = [playing(model, latency, seed) for seed in range(objects)]
    frames = int(seconds * RATE) // BLOCK * BLOCK
    hosts = [NativeHost(performer.ring, frames, RATE, BLOCK) for performer in performers]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    stats = [performer.stream.stats() for performer in performers]
    for performer in performers:
        performer.close()
    silent = [host for host in hosts if not host.out.any()]
    assert not silent, f"{len(silent)} of {objects} objects were never heard"
    ran_out = [s["underruns"] for s in stats]
    return (
        f"{objects} objects: the sound ran out {sum(ran_out)} times, in {sum(n > 0 for n in ran_out)} objects,"
        f" at most {max(ran_out)} times in one; the slowest producer makes {min(s['rtf'] for s in stats):.1f}x"
        f" real time while it works; hosts late by at most {1000 * max(host.worst for host in hosts):.1f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="tabla", help="name or file; default %(default)s")
    parser.add_argument("--objects", default="1,4,8", help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--latency", type=float, default=30, help="ms")
    options = parser.parse_args()
    for number in options.objects.split(","):
        print(measure(options.model, int(number), options.seconds, options.latency / 1000), flush=True)
