"""Sound files in and out (libsndfile), resampled with soxr."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sopilib.errors import SopiError


def read_sound(path: str | Path, channel: int | None = None) -> tuple[np.ndarray, int]:
    """-> float32 [n], channels averaged or channel number `channel` (from 1), and its rate in Hz. What libsndfile
    doesn't know goes through ffmpeg, if that is installed. Raises SopiError if it is no readable sound file."""
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
    """float32 [n, channels] and the rate, or None without ffmpeg or if it can't read this either."""
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
    """float32 [n] at `rate` Hz -> at `sample_rate` Hz."""
    return audio if rate == sample_rate else soxr.resample(audio, rate, sample_rate, quality="VHQ")


def read_audio(path: str | Path, sample_rate: int) -> np.ndarray:
    """float32 [n] at `sample_rate`, channels averaged. Raises SopiError if it is no readable sound file."""
    return resample(*read_sound(path), sample_rate)


def write_audio(path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int) -> float:
    """Writes float blocks (channels, n) as a 24-bit file of the kind its suffix says; returns its seconds.

    The file appears under its name when it is complete; one that could not be finished leaves nothing behind.
    """
    path = Path(path)
    half = path.with_name(f".{path.stem}.part{path.suffix}")
    frames, file = 0, None
    try:
        for block in blocks:
            if file is None:
                file = soundfile.SoundFile(str(half), "w", sample_rate, len(block), "PCM_24")
            file.write(block.T)
            frames += block.shape[1]
        if file is None:
            raise SopiError(f"{path}: nothing to write, give a length above 0 seconds")
        file.close()
        os.replace(half, path)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError, TypeError) as e:
        raise SopiError(f"{path}: could not be written ({e})") from None
    finally:
        if file is not None:
            file.close()
        half.unlink(missing_ok=True)
    return frames / sample_rate
