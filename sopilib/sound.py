"""Sound files are read and written with libsndfile, and resampled with soxr."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sopilib.errors import SopiError
from sopilib.files import whole_file


def read_sound(path: str | Path, channel: int | None = None) -> tuple[np.ndarray, int]:
    """Returns a sound file as float32 [n] in [-1, 1], and its rate in Hz.

    channel  the number of the one channel that is wanted, from 1; None: all of them are averaged

    A file that libsndfile does not know is converted by ffmpeg, if that is installed. Raises SopiError if the file is
    missing, if nothing can read it, or if it has no such channel.
    """
    if not Path(path).is_file():
        raise SopiError(f"{path}: no such sound file")
    try:
        audio, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as e:
        converted = _through_ffmpeg(path)
        if converted is None:
            raise SopiError(f"{path}: not a readable sound file ({e})") from None
        audio, rate = converted
    if channel is None:
        return audio.mean(axis=1), rate
    if not 1 <= channel <= audio.shape[1]:
        raise SopiError(f"{path}: has {audio.shape[1]} channel(s), no channel {channel}")
    return audio[:, channel - 1], rate


def _through_ffmpeg(path: str | Path) -> tuple[np.ndarray, int] | None:
    """Returns float32 [n, channels] and the rate in Hz, or None if there is no ffmpeg or it can't read this either."""
    if shutil.which("ffmpeg") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "sound.wav"
        command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-vn", "-c:a", "pcm_f32le", str(wav)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            return None
        audio, rate = soundfile.read(str(wav), dtype="float32", always_2d=True)
        return audio, rate


def resample(audio: np.ndarray, rate: float, sample_rate: float) -> np.ndarray:
    """Returns float32 [n] at `rate` Hz as it is at `sample_rate` Hz. The length changes with the rate."""
    return audio if rate == sample_rate else soxr.resample(audio, rate, sample_rate, quality="VHQ")


def read_audio(path: str | Path, sample_rate: int) -> np.ndarray:
    """Returns a sound file as float32 [n] in [-1, 1] at `sample_rate` Hz, its channels averaged. Raises SopiError if it
    is no readable sound file."""
    return resample(*read_sound(path), sample_rate)


def is_sound(path: Path) -> bool:
    """Whether this is a sound file that libsndfile can read."""
    try:
        soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        return False
    return True


def write_audio(path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int, *, overwrite: bool = True) -> float:
    """Writes float blocks, each [channels, n] in [-1, 1], as a 24-bit file of the kind that its suffix says (.wav,
    .flac), and returns its length in seconds.

    The file appears under its name when it is complete, in place of an old one unless `overwrite` is False. If it could
    not be finished, the old one is as it was, and SopiError says why; whatever the blocks raise is passed on.
    """
    path = Path(path)
    try:
        with whole_file(path, overwrite=overwrite) as half:
            frames = _write_blocks(half, path, blocks, sample_rate)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError, TypeError) as e:
        raise SopiError(f"{path}: could not be written ({e})") from None
    return frames / sample_rate


def _write_blocks(half: Path, path: Path, blocks: Iterable[np.ndarray], sample_rate: int) -> int:
    """Writes into `half` what is to be called `path`. Returns the number of frames."""
    frames, file = 0, None
    try:
        for block in blocks:
            if file is None:
                kind = path.suffix[1:].upper()
                file = soundfile.SoundFile(str(half), "w", sample_rate, len(block), "PCM_24", format=kind)
            file.write(block.T)
            frames += block.shape[1]
    finally:
        if file is not None:
            file.close()
    if file is None:
        raise SopiError(f"{path}: nothing to write, give a length above 0 seconds")
    return frames
