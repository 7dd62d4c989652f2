"""What goes wrong: counted, and reported once a second for each kind of trouble."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

__all__ = ["REPORT", "Troubles"]

REPORT = 1.0  # s between lines about the same kind of trouble


class Troubles:
    """May be told of troubles by any thread.

    report  called with one line, by one thread at a time; what it raises is printed and stops nothing
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._lock = threading.RLock()
        self.counts: Counter[str] = Counter()
        """How many there were of each kind."""
        self._reported: dict[str, tuple[float, int]] = {}  # when, and how many there had been
        self._last_line: dict[str, str] = {}

    def add(self, kind: str, line: str) -> None:
        """One more of a kind; `line` says what it was."""
        with self._lock:
            self.counts[kind] += 1
            self._last_line[kind] = line
            if kind not in self._reported:
                self.tell(time.monotonic())

    def tell(self, now: float) -> None:
        """Reports what is due: of each kind the last, and how many like it there were."""
        with self._lock:
            for kind, line in list(self._last_line.items()):
                when, before = self._reported.get(kind, (-REPORT, 0))
                if now - when < REPORT:
                    continue
                del self._last_line[kind]
                more = self.counts[kind] - before
                self._reported[kind] = (now, self.counts[kind])
                self.report(line + (f"; {more} like it in the last second" if more > 1 else ""))

    def report(self, line: str) -> None:
        """One line, now."""
        with self._lock:
            try:
                self._report(line)
            except Exception:  # a console that is gone is no reason not to play
                with suppress(Exception):
                    traceback.print_exc()
