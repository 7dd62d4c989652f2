"""One recording of a stream: its name, and how it goes."""

from __future__ import annotations

from pathlib import Path

from sopilib.errors import SopiError
from sopilib.native import _native

__all__ = ["Recording"]


class Recording:
    """Records what a stream hands out from host frame t on.

    folder  where it goes, made if it isn't there
    name    of a file in it, or a whole path; None: take-001.wav, or the first of that kind that is free

    Raises SopiError if the file is there already, or can't be written.
    """

    def __init__(self, stream: _native.Stream, folder: Path, name: str | None, t: int) -> None:
        wanted = Path(name).expanduser() if name else None
        if wanted is not None and not wanted.suffix:
            wanted = wanted.with_suffix(".wav")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path = folder / (wanted or _free_name(folder))
            self._rate = stream.sample_rate
            self._recorder = stream.record(str(self.path), t)
        except (OSError, RuntimeError) as e:
            reason = e.strerror if isinstance(e, OSError) else e
            raise SopiError(
                f"record {name or folder}: {reason}; expected a new file in a folder that can be written"
            ) from None
        self.shown = f"{folder.name}/{self.path.name}" if self.path.parent == folder else str(self.path)

    def end(self, t: int) -> None:
        """Frame t is the first that is not recorded."""
        self._recorder.end(t)

    @property
    def ended(self) -> bool:
        """The file is closed."""
        return bool(self._recorder.ended)

    @property
    def failure(self) -> str:
        return str(self._recorder.failure)

    @property
    def lost(self) -> int:
        """Frames."""
        return int(self._recorder.lost)

    @property
    def seconds(self) -> float:
        return float(self._recorder.frames / self._rate)


def _free_name(folder: Path) -> str:
    number = 1
    while (folder / f"take-{number:03}.wav").exists():
        number += 1
    return f"take-{number:03}.wav"
