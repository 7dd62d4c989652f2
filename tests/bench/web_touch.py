"""How long does it take from a touch in the page to another sound at the callback?

    python tests/bench/web_touch.py [--touches 100] [--model tabla] [--latency 20]

Chromium without a window holds *Freeze* and lets go. The browser says when the finger went up; the sound is the same
again and again until it changes, at a frame of which the clock of the callback says when it was handed out. One
instance, on the loopback address; the callback is the native clock's, 64 frames at once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chromium import chromium, until

from sopilib.hosts import ClockHost
from sopilib.live import Performer
from sopilib.osc import Instances, Server
from sopilib.threads import real_time_priority

RATE = 48000
LOOP = RATE // 5  # frames that the page freezes
ROUNDS = 2.5  # of the loop, before the finger goes up
WATCH = """window.ups = []; document.getElementById('freeze').addEventListener('pointerup',
    (event) => ups.push(performance.timeOrigin + event.timeStamp), true)"""
SAME = 1e-6


class Sound:
    """What sounds, from frame 0 on, as a thread takes it from the callback."""

    def __init__(self, host: ClockHost) -> None:
        self._host, self._parts = host, [np.zeros((0, 1), np.float32)]
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            self._parts.append(self._host._output.take())
            time.sleep(0.02)

    def until(self, frame: int) -> np.ndarray:
        """All of it up to that frame."""
        while True:
            found = np.concatenate(self._parts)[:, 0]
            if len(found) >= frame:
                return found[:frame]
            time.sleep(0.02)


def changes(sound: np.ndarray, begin: int) -> int | None:
    """The first frame from `begin` on that is not what it was a loop before."""
    differs = np.abs(sound[begin:] - sound[begin - LOOP : -LOOP]) > SAME
    return begin + int(np.argmax(differs)) if differs.any() else None


def measure(model: str, latency: float, touches: int, folder: Path) -> list[float]:
    """ms from each touch to its sound."""
    with real_time_priority():
        performer = Performer(latency=latency / 1000, folder=folder)
        host = ClockHost([performer], RATE, 1, keep=10 * RATE)
    sound, instances = Sound(host), Instances()
    instances.add(performer)
    server = Server(instances, 0, page="only-for-this-bench---")
    found: list[float] = []
    try:
        performer.handle("load", model)
        performer.handle("generate")
        with chromium(folder) as browser:
            assert server.web is not None and server.web.invitation is not None
            browser.get(server.web.invitation.here)
            until(browser, lambda: browser.find_element(By.ID, "play").text == "Stop", "the page shows that it plays")
            browser.execute_script(WATCH)
            freeze = browser.find_element(By.ID, "freeze")
            for _ in range(touches):
                found += one(browser, freeze, performer, sound)
    finally:
        server.close()
        host.close()
        performer.close()
    return found


def one(browser: Any, freeze: Any, performer: Performer, sound: Sound) -> list[float]:
    """A touch -> its milliseconds; nothing if the sound was not the same before it, since it ran out."""
    ActionChains(browser).click_and_hold(freeze).perform()
    end = time.monotonic() + 10
    while not performer.state.freeze and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(ROUNDS * LOOP / RATE)
    before = performer.now
    ActionChains(browser).release().perform()
    [touched] = browser.execute_script("return ups.splice(0)")
    later = performer.now + RATE // 4
    heard = sound.until(later)
    position, ns = performer.stream.clock()
    frame = changes(heard, before - 1)
    if frame is None or frame < before:
        return []
    handed_out = ns / 1e9 + (frame - position) / RATE  # s of the monotonic clock
    return [1000 * (handed_out - (touched / 1000 - (time.time() - time.monotonic())))]


def main() -> None:
    """Prints the median and the 99th percentile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--touches", type=int, default=100)
    parser.add_argument("--model", default="tabla")
    parser.add_argument("--latency", type=float, default=20, help="ms")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args.model, args.latency, args.touches, Path(folder))
    left_out = args.touches - len(found)
    print(
        f"{len(found)} touches at {args.latency:g} ms latency, {left_out} left out, for the sound ran out before them"
    )
    if found:
        median, p99 = np.percentile(found, (50, 99))
        print(
            f"from the touch to the sound: median {median:.1f} ms, 99 % under {p99:.1f} ms, longest {max(found):.1f} ms"
        )


if __name__ == "__main__":
    main()
