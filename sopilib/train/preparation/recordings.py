"""Which sound files there are, and their sound in one array."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sopilib.errors import SopiError
from sopilib.sound import read_sound, resample
from sopilib.train.preparation.dataset import HOP, Stretch
from sopilib.train.preparation.options import Preparation

SUFFIXES = {
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64"),
    *(".rf64", ".m4a", ".aac", ".mp4", ".wma", ".webm", ".mkv"),  # from here through ffmpeg
}
"""The kinds of files that are looked for in folders. What is named itself may be of any kind."""


def find_audio(paths: Sequence[str | Path]) -> list[Path]:
    """Finds the sound files that are named, lie in folders that are named, or fit patterns. Each is there once; those
    of a folder are sorted by name. Raises SopiError if there are none, or a name means nothing."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        elif path.is_file():
            found.append(path)
        elif fits := sorted(glob.glob(str(path), recursive=True)):
            found += [Path(p) for p in fits]
        else:
            raise SopiError(f"{path}: no such file or folder, expected audio to train on")
    found = list(dict.fromkeys(found))
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        raise SopiError(f"no audio found in {', '.join(map(str, paths))}, expected {kinds} files")
    return found


@dataclass
class Recordings:
    """What was read of the files, and where it lies in the data set's audio."""

    used: list[str] = field(default_factory=list)
    """The files that could be read."""
    stretches: list[Stretch] = field(default_factory=list)
    """Of each of these, where its sound lies."""
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
                sound, rate = _read(path, options)
            except SopiError as e:
                out.sources.append({"file": str(path), "left_out": str(e).removeprefix(f"{path}: ")})
                continue
            offset = float(sound.mean(dtype=np.float64))
            if not options.keep_dc:
                sound = sound - np.float32(offset)
            out.stretches.append((file.tell() // 4, len(sound)))
            append(file, sound)
            out.used.append(str(path))
            out.sources.append(
                {
                    "file": str(path),
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    "seconds": round(len(sound) / options.sample_rate, 3),
                    "rate": rate,
                    "dc": offset,
                }
            )
    if not out.used:
        why = "; ".join(f"{Path(s['file']).name}: {s['left_out']}" for s in out.sources[:3])
        raise SopiError(f"none of {len(files)} file(s) could be read ({why})")
    return out


def _read(path: Path, options: Preparation) -> tuple[np.ndarray, int]:
    """The sound of a file, float32 [n] at the data set's rate, and the file's own rate."""
    sound, rate = read_sound(path, options.channel or None)
    sound = resample(sound, rate, options.sample_rate)
    if not len(sound):
        raise SopiError(f"{path}: is empty")
    if not np.isfinite(sound).all():
        raise SopiError(f"{path}: holds values that are no numbers")
    return sound, rate


def append(file: BinaryIO, sound: np.ndarray) -> None:
    """Writes sound, float [n], to the end of the data set's audio, then silence up to the next multiple of HOP samples,
    so that a row of features never covers two recordings."""
    file.write(sound.astype("<f4").tobytes())
    file.write(bytes(4 * (-len(sound) % HOP)))
