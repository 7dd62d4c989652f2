"""Which sound files there are, and their sound in one array."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from sopilib.errors import TROUBLES, SopiError, sentence
from sopilib.names import escaped, for_library, shown, unescaped
from sopilib.sound import find_audio, read_sound, resample
from sopilib.train.preparation.dataset import HOP, Stretch
from sopilib.train.preparation.options import Preparation

__all__ = ["Recordings", "append", "digest", "find_audio", "read_recordings"]


@dataclass
class Recordings:
    """What was read of the files, and where it lies in the data set's audio."""

    used: list[str] = field(default_factory=list)
    """The files that could be read; one whose channels are apart is there once for each of them."""
    stretches: list[Stretch] = field(default_factory=list)
    """Of each of these, where its sound lies."""
    firsts: list[int] = field(default_factory=list)
    """Of each of these, which of them is the first channel of its file; without --no-mono it is that itself."""
    sources: list[dict[str, Any]] = field(default_factory=list)
    """Of every file, what dataset.json says: its checksum, seconds, rate and DC offset, or why it was left out."""

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """The sources that could not be read."""
        return [s for s in self.sources if "left_out" in s]


def read_recordings(files: Sequence[Path], audio: Path, options: Preparation) -> Recordings:
    """Writes the sound of every readable file to `audio`, one after the other, as float32 at the data set's rate. Each
    begins at a multiple of HOP samples. Raises SopiError if none can be read, and OSError if `audio` can't be written.
    """
    out = Recordings()
    with audio.open("wb") as file:
        for path in files:
            try:
                channels = [_read(path, options, channel) for channel in _channels(path, options)]
                checksum = digest(path)
            except TROUBLES as e:
                out.sources.append({"file": escaped(path), "left_out": shown(sentence(e).removeprefix(f"{path}: "))})
                continue
            first = len(out.used)
            for sound, rate in channels:
                offset = float(sound.mean(dtype=np.float64))
                if not options.keep_dc:
                    sound = sound - np.float32(offset)
                out.stretches.append((file.tell() // 4, len(sound)))
                append(file, sound)
                out.used.append(str(path))
                out.firsts.append(first)
                seconds = round(len(sound) / options.sample_rate, 3)
                about = {"file": escaped(path), "sha256": checksum, "seconds": seconds, "rate": rate, "dc": offset}
                out.sources.append(about)
    if not out.used:
        why = "; ".join(f"{Path(unescaped(s['file'])).name}: {s['left_out']}" for s in out.sources[:3])
        raise SopiError(f"none of {len(files)} file(s) could be read ({why})")
    return out


def _channels(path: Path, options: Preparation) -> Sequence[int | None]:
    """The channels of a file that are read, each for itself; None: their mean."""
    if options.mono or options.channel:
        return [options.channel or None]
    try:
        return range(1, soundfile.info(for_library(path)).channels + 1)
    except (soundfile.LibsndfileError, RuntimeError, OSError):  # ffmpeg reads it, or nobody does
        return [None]


def _read(path: Path, options: Preparation, channel: int | None) -> tuple[np.ndarray, int]:
    """The sound of a file, float32 [n] at the data set's rate, and the file's own rate."""
    sound, rate = read_sound(path, channel)
    sound = resample(sound, rate, options.sample_rate)
    if not len(sound):
        raise SopiError(f"{path}: is empty")
    if not np.isfinite(sound).all():
        raise SopiError(f"{path}: holds values that are no numbers")
    return sound, rate


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def append(file: BinaryIO, sound: np.ndarray) -> None:
    """Writes sound, float [n], to the end of the data set's audio, then silence up to the next multiple of HOP samples,
    so that a row of features never covers two recordings."""
    file.write(sound.astype("<f4").tobytes())
    file.write(bytes(4 * (-len(sound) % HOP)))
