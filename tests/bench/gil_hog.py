"""[pyext gil_hog hog <ms>]: the worst that other Python code in Pd can do to an instrument. Part of realtime.py."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any

import pyext


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
