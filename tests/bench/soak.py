"""Does the instrument last? Two objects in real Pd under JACK's dummy driver, for minutes.

    python tests/bench/soak.py [--minutes 10] [--only rt|user] [--period N] [--latency MS]

One object loads another model every 8 seconds and gets a seed every 5; both get 50 temperatures a second; a Python
thread in Pd's interpreter never rests. Once with the priority of real time, JACK periods of 128 frames and a latency of
30 ms; once as an ordinary user, for whom the kernel may let another thread run for 3 ms, with 512 and 60. Measured:

    callback   what one DSP block of an object costs: its whole abstraction, between two [stopwatch~]
    latency    from a click in another channel to the sample that a `gain 0` sent with it silences, in JACK's recording
    dropouts   places where the count of samples that Pd sends along does not go on in JACK's recording
    memory     of Pd, from when everything has happened a few times: after 90 s, at least after half of the run
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from realtime import RATE, START, Patch, last_status, live

from sopilib import Config, Model, checkpoint

HERE = Path(__file__).resolve().parent
CLICKS = 700.3  # ms from one to the next, not a whole number of blocks
RAMP = 65536  # samples that the count takes to begin anew


@dataclass
class Soak:
    seconds: float
    latency: int
    """ms"""
    callbacks: dict[str, np.ndarray] = field(default_factory=dict)
    """Microseconds of each block, by object."""
    latencies: np.ndarray = field(default_factory=lambda: np.empty(0))
    """Milliseconds."""
    status: dict[str, dict[str, str]] = field(default_factory=dict)
    dropouts: int = 0
    loads: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds, MB."""


def soak(seconds: float, period: int, latency: int, priority: bool) -> Soak:
    result = Soak(seconds, latency)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = ["-O2", "-fPIC", "-shared", "-I/usr/include/pd", "-o", str(folder / "stopwatch~.pd_linux")]
        subprocess.run(["cc", *flags, str(HERE / "stopwatch.c")], check=True)
        for seed, size in enumerate((256, 192)):
            noise = Model.random(Config(frame_sizes=[16, 64], dim=size), seed=seed)
            checkpoint.save(noise, folder / f"noise{size}.safetensors")

        def watch_memory(pid: int) -> None:
            began = time.monotonic()
            while (used := memory_of(pid)) is not None:
                result.memory.append((time.monotonic() - began, used))
                time.sleep(1)

        how: dict[str, Any] = {"channels": 4, "meanwhile": watch_memory, "priority": priority, "loaded": 2}
        printed = live(*patch(folder, seconds, latency), seconds + START / 1000 + 1, period, **how)
        for name in ("a", "b"):
            result.callbacks[name] = np.fromfile(folder / f"{name}.us", np.float32)
            result.status[name] = last_status(printed, name)
        result.loads = printed.count("a: loaded") - 1
        result.latencies, result.dropouts = read_recording(folder / "jack.wav")
    return result


def patch(folder: Path, seconds: float, latency: int) -> tuple[Path, int]:
    """-> the patch, and the port of its `go`."""
    end = START + 1000 * seconds
    p = Patch()
    go = p.wait_for_go()
    dac = p.obj("dac~ 1 2 3 4")
    boxes = []
    for channel, (name, model) in enumerate((("a", "tabla"), ("b", f"{folder}/noise256.safetensors"))):
        begin, box = p.obj(f"stopwatch~ begin {name}"), p.obj(f"samplernn~ {model} latency {latency}")
        stop = p.obj(f"stopwatch~ end {name}")
        p.connect(p.chain(begin, box, stop), 0, dac, channel)
        p.print(box, 1, name)
        p.at(START - 500, "seed 1, generate", box)
        p.at(end, "status", box)
        p.at(end + 500, f"write {folder}/{name}.us", stop)
        boxes.append(box)
    a, b = boxes

    def every(ms: float) -> int:
        metro = p.chain(p.obj(p.begin), p.obj(f"delay {START}"), p.obj(f"metro {ms}"))
        p.at(end, "stop", metro)
        return metro

    def count(ms: float) -> int:
        number, step = p.obj("f 0"), p.obj("+ 1")
        p.connect(number, 0, step)
        p.connect(step, 0, number, 1)
        return p.chain(every(ms), number)

    temperature = p.chain(count(20), p.obj("expr 0.9 + 0.2 * sin($f1 * 0.13)"), p.msg("temperature $1"))
    for box in boxes:
        p.connect(temperature, 0, box)
    p.chain(count(5000), p.msg("seed $1"), a)
    which = p.chain(count(8000), p.obj("mod 2"), p.obj("sel 0 1"))
    for outlet, model in enumerate((f"{folder}/noise192.safetensors", "tabla")):
        load = p.msg(f"load {model}")
        p.connect(which, outlet, load)
        p.connect(load, 0, a)
    click = every(CLICKS)
    marker = p.obj("vline~")
    p.chain(click, p.msg("gain 0"), b)
    p.chain(click, p.msg("1, 0 0 1"), marker)
    p.chain(click, p.obj("delay 300"), p.msg("gain 1"), b)
    p.connect(p.obj(f"phasor~ {RATE / RAMP}"), 0, dac, 2)
    p.connect(marker, 0, dac, 3)
    p.obj("pyext gil_hog hog 0")
    p.quit(end + 1500)
    return p.write(folder / "patch.pd"), go


def memory_of(pid: int) -> float | None:
    """MB that are resident; None when the process has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1000
    except OSError:
        pass
    return None


def read_recording(path: Path) -> tuple[np.ndarray, int]:
    """Latencies in ms and dropouts, from the first click to the last."""
    sound, _ = soundfile.read(path, dtype="int16")
    high = sound[:, 3] > 16000
    clicks = np.flatnonzero(high[1:] & ~high[:-1]) + 1
    latencies = []
    for click in clicks[:-1]:
        loud = np.flatnonzero(sound[click : click + RATE // 5, 1])
        latencies.append(1000 * (loud[-1] + 1) / RATE)
    ramp = sound[clicks[0] : clicks[-1], 2].astype(np.float64) * (RAMP / 32767)
    ahead = np.mod(ramp - np.arange(len(ramp)), RAMP)
    dropouts, at = 0, 0
    while True:
        off = np.abs(np.mod(ahead[at:] - np.median(ahead[at : at + 256]) + RAMP / 2, RAMP) - RAMP / 2) > 8
        if not off.any():
            return np.array(latencies), dropouts
        dropouts += 1
        at += int(np.argmax(off)) + 256


def report(name: str, s: Soak) -> None:
    print(f"\n{name}, {s.seconds:g} s, {s.loads} loads")
    for box, blocks in s.callbacks.items():
        told = s.status[box]
        p50, p99 = np.percentile(blocks, [50, 99])
        print(
            f"  {box}: callback {p50:.1f} us, p99 {p99:.1f}, max {blocks.max():.0f} of {1e6 * 64 / RATE:.0f};"
            f" underruns {told['underruns']}, late {told['late']}"
        )
    middle, spread = np.median(s.latencies), s.latencies.max() - s.latencies.min()
    print(f"  latency {middle:.2f} ms (asked: {s.latency}), jitter {spread:.2f} ms over {len(s.latencies)} messages")
    print(f"  dropouts at JACK: {s.dropouts}")
    settled = [used for at, used in s.memory if at > START / 1000 + min(90, s.seconds / 2)]
    print(
        f"  memory: {settled[0]:.0f} MB, then {settled[-2] - settled[0]:+.1f}, at most {max(settled) - settled[0]:+.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--period", type=int, help="of JACK, in frames, for both")
    parser.add_argument("--latency", type=int, help="of the objects, in ms, for both")
    parser.add_argument("--only", choices=["rt", "user"])
    args = parser.parse_args()
    for word, name, period, latency in (
        ("rt", "priority of real time", 128, 30),
        ("user", "an ordinary user", 512, 60),
    ):
        if args.only in (None, word):
            how = args.period or period, args.latency or latency
            report(f"{name}, periods of {how[0]}", soak(60 * args.minutes, *how, priority=word == "rt"))


if __name__ == "__main__":
    main()
