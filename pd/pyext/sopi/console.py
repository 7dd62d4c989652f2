"""What classes print: `sys.stdout` and `sys.stderr` are Pd's console."""

from __future__ import annotations

import io
import threading
import traceback
from collections.abc import Callable

import _pyext as _pd


class Console(io.TextIOBase):
    """A text file whose lines go to Pd's console.

    Lines are printed when they are complete, those of different threads are kept apart, and of a progress bar, which
    returns to the beginning of its line, only the last state is printed.
    """

    LONGEST = 900  # characters of a line that Pd prints uncut

    def __init__(self, show: Callable[[str], None]) -> None:
        self.show = show
        self.begun = threading.local()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, rest = (getattr(self.begun, "line", "") + text).split("\n")
        while len(rest) > self.LONGEST and "\r" not in rest:
            lines.append(rest[: self.LONGEST])
            rest = rest[self.LONGEST :]
        self.begun.line = rest.rsplit("\r", 1)[-1] if "\r" in rest[:-1] else rest
        for line in lines:
            line = line.rstrip("\r").rsplit("\r", 1)[-1]  # of a progress bar, the last state
            for start in range(0, max(1, len(line)), self.LONGEST):
                self.show(line[start : start + self.LONGEST])
        return len(text)


def report_thread(ended: threading.ExceptHookArgs) -> None:
    """`threading.excepthook`: an exception has ended a thread of a class. One error line, then the traceback."""
    if ended.exc_type is SystemExit:
        return
    thread = ended.thread.name if ended.thread is not None else "unknown"
    summary = traceback.format_exception_only(ended.exc_type, ended.exc_value)[-1].strip()
    _pd.error(None, f"sopi: {summary} (this has ended the thread {thread})")
    for text in traceback.format_exception(ended.exc_type, ended.exc_value, ended.exc_traceback):
        for line in text.splitlines():
            _pd.console(line)
