"""Parts of realtime.py. [pyext gil_hog hog <ms>]: the worst that other Python code in Pd can do to an instrument.
[pyext gil_hog witness]: writes down what reached the instrument's stream, and when."""

from __future__ import annotations

import ctypes
import gc
import json
import threading
import time
from pathlib import Path
from typing import Any

import pyext

from sopilib.live import Performer


class hog(pyext._class):
    """A thread of pure Python that never rests, and once a second a C call that keeps the GIL for `held` ms."""

    _inlets = 1

    def __init__(self, held: int, *arguments: Any) -> None:
        self.held = held
        for work in (self.count, self.hold):
            threading.Thread(target=work, daemon=True).start()

    def count(self) -> None:
        n = 0
        while True:
            n += 1

    def hold(self) -> None:
        usleep = ctypes.PyDLL(None).usleep  # PyDLL: called without letting the GIL go
        while self.held:
            time.sleep(1)
            usleep(1000 * self.held)


class Watched:
    """A stream that remembers its timed commands, and by how much they were late."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.commands: list[tuple[str, int, tuple[Any, ...]]] = []
        self.late: list[tuple[int, int]] = []  # position at which it was heard, frames that it was late

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def post(self, name: str, t: int, *values: Any, **more: Any) -> None:
        if name in ("play", "temperature", "gain", "seed"):
            self.commands.append((name, t, values))
        self.stream.post(name, t, *values, **more)

    def events(self) -> list[Any]:
        self.late += self.stream.late_commands()
        return list(self.stream.events())


class witness(pyext._class):
    """`watch`: from now on; `write <path>`: what was seen, as JSON."""

    _inlets = 1

    def watch_1(self) -> None:
        performer = next(o for o in gc.get_objects() if isinstance(o, Performer))
        self.seen = Watched(performer.stream)
        performer.stream = self.seen  # type: ignore[assignment]

    def write_1(self, path: Any) -> None:
        self.seen.events()
        Path(str(path)).write_text(json.dumps({"commands": self.seen.commands, "late": self.seen.late}))
