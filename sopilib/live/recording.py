"""One recording of a stream: its name, and how it goes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sopilib.errors import SopiError
from sopilib.live.places import first_free
from sopilib.names import shown
from sopilib.native import _native

__all__ = ["Recording"]

LEAST_FREE = 1 << 30  # bytes that a network's recording leaves on the disk
LONGEST = 3600.0  # s of a network's recording


class Recording:
    """Records what a stream hands out, from host frame t on, into a new WAV file of 32-bit floats.

    folder  where it goes; made if it isn't there
    name    of a file in the folder, or a whole path, to which .wav is added if it has another end; None: take-001.wav,
            or the first of that kind that is free
    bounded  somebody in a network asked for it: it ends before the disk is full, and after an hour

    If the host goes on at another sample rate, so does the recording, in a new file: take-001-2.wav.

    Raises SopiError if there is such a file already, or if it can't be written, or may not.
    """

    def __init__(self, stream: _native.Stream, folder: Path, name: str | None, t: int, bounded: bool = False) -> None:
        wanted = Path(name) if name else None
        if wanted is not None and wanted.suffix.lower() != ".wav":
            wanted = wanted.with_name(wanted.name + ".wav")
        try:
            if wanted is None or not wanted.is_absolute():
                folder.mkdir(parents=True, exist_ok=True)
            self._folder, self._bounded = folder, bounded
            if self._bounded and (full := self._full()):
                raise SopiError(f"record: {full}, expected room for a recording")
            self._recorder = _recorder(stream, folder, wanted, t)
        except (OSError, RuntimeError) as e:
            reason = e.strerror if isinstance(e, OSError) else e
            raise SopiError(
                f"record {shown(name or folder)}: {reason}; expected a new file in a folder that can be written"
            ) from None

    @property
    def path(self) -> Path:
        """The file that is being written, or was last."""
        return Path(os.fsdecode(self._recorder.path))

    @property
    def shown(self) -> str:
        """The same, as it is told."""
        return self._shown(self.path)

    def closed(self) -> list[tuple[str, float]]:
        """Name and seconds of the files that were closed since last asked, because the host's rate changed."""
        return [(self._shown(Path(os.fsdecode(p))), frames / rate) for p, rate, frames in self._recorder.closed()]

    @property
    def rate(self) -> int:
        """The sample rate of the file that is being written, in Hz."""
        return int(self._recorder.rate)

    def _shown(self, path: Path) -> str:
        return f"{self._folder.name}/{path.name}" if path.parent == self._folder else str(path)

    def end(self, t: int) -> None:
        """Ends it: host frame t is the first that is not recorded. The file is closed in the background."""
        self._recorder.end(t)

    def _full(self) -> str:
        free = shutil.disk_usage(self._folder).free if self._folder.is_dir() else LEAST_FREE
        return f"less than {LEAST_FREE >> 30} GB is free where recordings lie" if free < LEAST_FREE else ""

    @property
    def too_much(self) -> str:
        """Why it is to end now; empty if it may go on."""
        if not self._bounded:
            return ""
        return f"it is {LONGEST / 60:g} minutes long" if self.seconds >= LONGEST else self._full()

    @property
    def ended(self) -> bool:
        """Whether the file is closed."""
        return bool(self._recorder.ended)

    @property
    def failure(self) -> str:
        """Why the file could not be written to its end; empty if it could."""
        return str(self._recorder.failure)

    @property
    def lost(self) -> int:
        """How many frames are missing, for the disk was too slow."""
        return int(self._recorder.lost)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return float(self._recorder.frames / self._recorder.rate)


def _recorder(stream: _native.Stream, folder: Path, wanted: Path | None, t: int) -> _native.Recorder:
    while True:
        path = first_free(folder, "take-{:03}.wav") if wanted is None else folder / wanted
        try:
            return stream.record(os.fsencode(path), t)
        except RuntimeError:
            if wanted is not None or not os.path.lexists(path):
                raise
            # else another process has taken the name just now
