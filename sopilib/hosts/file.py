"""A sound file as host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from sopilib.errors import SopiError
from sopilib.hosts.clock import ClockHost
from sopilib.live import Performer
from sopilib.sound import NewSound
from sopilib.threads import ordinary_priority

__all__ = ["FileHost"]

KEPT = 30  # s of sound that a slow disk may hold up
WRITES = 0.1  # s between writes to the file


class FileHost(ClockHost):
    """Writes performers into a new sound file (WAV of 24 bits, FLAC and others, as its name says), at the pace of the
    system's clock.

    failed  called with one line, on the writer's thread, if the file can't be written any more (a full disk), which
            then keeps what it has, and once if the disk was so slow that sound is missing in it: the performers play on

    Raises SopiError if there is such a file already, or if it can't be made.
    """

    def __init__(
        self,
        performers: Sequence[Performer],
        rate: float | None,
        channels: int,
        path: Path,
        failed: Callable[[str], None] = print,
    ) -> None:
        self.name = str(path)
        self._failed = failed
        self._file = NewSound(path, int(rate or 48000), channels, new=True)
        super().__init__(performers, rate, channels, keep=int(KEPT * (rate or 48000)))
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True, name="sound-file")
        self._writer.start()

    def _write(self) -> None:
        ordinary_priority()
        told = False
        try:
            while not self._closing.wait(WRITES):
                self._file.write(self._output.take())
                if self._output.lost and not told:
                    told = True
                    self._failed(f"{self.name}: sound is missing in it, the disk is too slow")
            self._file.write(self._output.take())
            self._file.close()
        except Exception as e:  # whatever it is, somebody is told
            reason = str(e) if isinstance(e, SopiError) else f"{self.name}: {_line(e)}"
            self._failed(f"{reason}; it ends here, and the sound plays on without it")

    def close(self) -> None:
        """Stops the clock and completes the file."""
        super().close()
        self._closing.set()
        self._writer.join()


def _line(e: BaseException) -> str:
    return " ".join(str(e).split()) or type(e).__name__
