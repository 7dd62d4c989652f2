"""OSC on stage: how long after a message the sound changes, and whether a flood or noise from the network is heard.

    python tests/bench/osc.py [--messages 300] [--seconds 10] [--rate 20000] [--packets 50000] [--period 128]

Latency: the model `tabla` at 20 ms, played by a native callback of 128 frames; another process sends `gain` by UDP at
random moments, and the sample at which the sound stops or comes back is looked up in what the callback handed out. The
time is that from sending to the beginning of the callback with that sample.

Flood and noise: Pd with -rt under JACK's dummy driver plays `tabla` at 30 ms and gets messages, then fuzzed packets.
What Pd computed is compared with what arrived at JACK, and messages afterwards must still be obeyed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from osc_client import Controller, free_port
from osc_noise import fuzzed, gain_changes
from pd_host import ROOT, Patch
from realtime import RATE, START, compare, live
from stream_host import NativeHost

from sopilib.live import Performer
from sopilib.osc import Instances, Server

SENDER = """
import random, socket, sys, time
from sopilib.osc.packet import encode
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(int(sys.argv[2])):
    time.sleep(random.uniform(0.03, 0.05))
    packet = encode("/samplernn/1/gain", float(i % 2))
    print(time.monotonic_ns())
    out.sendto(packet, ("127.0.0.1", int(sys.argv[1])))
"""


def latencies(messages: int, block: int = 128, latency: float = 0.020) -> np.ndarray:
    """Seconds from each message to the callback in which the sound changes."""
    instances, performer = Instances(), Performer(latency=latency)
    instances.add(performer)
    server = Server(instances, 0)
    host = NativeHost(performer.ring, round((3 + 0.05 * messages) * RATE), block=block, priority=60)
    performer.handle("load", "tabla")
    while not performer.state.model:
        time.sleep(0.01)
    host.start()
    performer.handle("generate")
    time.sleep(1.5)
    command = [sys.executable, "-c", SENDER, str(server.port), str(messages)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sent = np.array(done.stdout.split(), np.int64)
    host.join()
    server.close()
    performer.close()
    changes = gain_changes(host.out, round(1.4 * RATE))
    heard = host.began + (changes // block * block) / RATE * 1e9
    # the first message turns off what is on: from then on, each is a change
    first = int(np.searchsorted(heard, sent[0]))
    return (heard[first : first + messages] - sent) / 1e9


@dataclass
class Stress:
    what: str
    sent: int = 0
    late: int = 0
    underruns: int = 0
    gaps: int = 0
    lost: float = 0.0
    """ms"""
    memory: list[int] = field(default_factory=list)
    """MB of Pd: before, and after."""
    obeyed: bool = False


def stress(what: str, seconds: float, send: Callable[[int], int], period: int, latency: float = 30) -> Stress:
    """Pd under JACK; `send` with a controller, returns how many packets it sent."""
    result = Stress(what)
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        patch = Patch()
        go = patch.wait_for_go()
        box = patch.obj(f"samplernn~ tabla latency {latency:g}")
        patch.print(box, 1, "status")
        sound = patch.chain(box, patch.obj("clip~ -0.99 0.99"))  # noise may turn gain up, and jack_rec wraps at 1
        patch.connect(sound, 0, patch.obj("dac~ 1"))
        patch.at(500, f"osc {port}", box)
        patch.at(START, "seed 1, generate", box)
        patch.record(folder / "pd.wav", sound, 1000 * seconds, begin=START, rest=500)
        patch.quit(START + 1000 * seconds + 1500)

        def meanwhile(pid: int) -> None:
            controller = Controller(port)
            time.sleep(START / 1000 + 0.5)
            result.memory.append(resident(pid))
            result.sent = send(port)
            time.sleep(0.5)
            result.memory.append(resident(pid))
            controller.send("/samplernn/1/temperature", 0.625)
            time.sleep(0.2)
            result.obeyed = controller.ask("/samplernn/1/temperature") == (0.625,)
            controller.send("/samplernn/1/status")
            said = dict(controller.heard(0.3))
            result.underruns, result.late = said["/samplernn/1/underruns"][0], said["/samplernn/1/late"][0]
            controller.close()

        live(patch.write(folder / "patch.pd"), go, seconds + START / 1000, period, meanwhile=meanwhile)
        own, _ = soundfile.read(folder / "pd.wav", dtype="float32")
        at_jack, _ = soundfile.read(folder / "jack.wav", dtype="float32")
    result.gaps, result.lost = compare(own, at_jack)
    return result


def resident(pid: int) -> int:
    """MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", text)
    assert found
    return int(found[1]) // 1024


def flood(port: int, seconds: float, rate: float, *addresses: str) -> int:
    command = [sys.executable, str(ROOT / "tests" / "osc_flood.py"), str(port), str(seconds), str(rate), *addresses]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def noise(port: int, packets: int, rate: float) -> int:
    controller = Controller(port)
    begin = time.monotonic()
    for i, packet in enumerate(fuzzed(packets)):
        controller.send_raw(packet)
        while i > (time.monotonic() - begin) * rate:
            time.sleep(0.0005)
    controller.close()
    return packets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=20000)
    parser.add_argument("--packets", type=int, default=50000)
    parser.add_argument("--period", type=int, default=128)
    args = parser.parse_args()
    if args.messages:
        ms = 1000 * latencies(args.messages)
        print(
            f"from message to sound at latency 20 ms: median {np.median(ms):.1f} ms, 99 % within "
            f"{np.percentile(ms, 99):.1f} ms, worst {ms.max():.1f} ms, least {ms.min():.1f} ms ({len(ms)} messages)",
            flush=True,
        )
    if args.seconds:
        every = [f"/samplernn/1/{name}" for name in ("temperature", "gain")]
        report(
            stress(
                f"{args.rate:g} messages/s",
                args.seconds + 3,
                lambda p: flood(p, args.seconds, args.rate, *every),
                args.period,
            )
        )
    if args.packets:
        rate = args.packets / max(args.seconds, 5)
        report(stress("fuzzed packets", max(args.seconds, 5) + 3, lambda p: noise(p, args.packets, rate), args.period))


def report(s: Stress) -> None:
    print(
        f"{s.what}: {s.sent} sent, {s.underruns} underruns, {s.late} late, {s.gaps} gaps at JACK ({s.lost:.1f} ms), "
        f"memory {s.memory[0]} to {s.memory[1]} MB, messages afterwards {'obeyed' if s.obeyed else 'NOT OBEYED'}",
        flush=True,
    )


if __name__ == "__main__":
    main()
