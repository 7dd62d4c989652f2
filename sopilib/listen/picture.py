"""What a sound looks like: its spectrogram as a PNG, and its level, for a page."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from sopilib.score import mel_power

WIDTH, HEIGHT = 640, 88  # of a spectrogram, in pixels; fewer wide if the sound has fewer windows
LEVELS = 240
DARK, LIGHT = -100.0, -15.0
"""dB of a band that are the first and the last colour. They are the same for all sounds, so that these compare."""
COLOURS = ((0, (9, 9, 14)), (70, (52, 22, 92)), (140, (168, 42, 96)), (200, (238, 124, 54)), (255, (253, 237, 190)))


@dataclass(frozen=True)
class Picture:
    """A sound to look at."""

    png: bytes
    """The spectrogram: time from left to right, pitch upwards, on a mel scale from 40 Hz to Nyquist."""
    levels: list[int]
    """The level in dB below full scale, -80 to 0, of at most 240 parts of equal length."""
    seconds: float
    rms_db: float


def draw(audio: np.ndarray, sample_rate: int) -> Picture:
    """Draws a sound, float [n] in [-1, 1], of at least one sample."""
    power = mel_power(np.pad(audio, (0, max(0, 1024 - len(audio)))), sample_rate, HEIGHT)  # [windows, HEIGHT]
    loud = 10 * np.log10(_parts(power, WIDTH) + 1e-12) - 54  # of a sine at full scale: 0
    colours = np.clip((loud - DARK) / (LIGHT - DARK) * 255, 0, 255).astype(np.uint8)
    levels = 10 * np.log10(_parts(np.square(audio, dtype=np.float64)[:, None], LEVELS)[:, 0] + 1e-8)
    whole = 10 * float(np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-12))
    shown = [round(float(x)) for x in np.clip(levels, -80, 0)]
    return Picture(_png(colours.T[::-1]), shown, len(audio) / sample_rate, round(whole, 1))


def _parts(rows: np.ndarray, most: int) -> np.ndarray:
    """The means of at most so many parts of equal length of the rows of an array [n, any]."""
    count = min(most, len(rows))
    edges = np.arange(count) * len(rows) // count
    sizes = np.diff(np.append(edges, len(rows)))
    return np.add.reduceat(rows, edges) / sizes[:, None]


def _png(pixels: np.ndarray) -> bytes:
    """A PNG file of a picture, uint8 [height, width], in COLOURS."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    at = [a for a, _ in COLOURS]
    palette = np.stack([np.interp(np.arange(256), at, [c[k] for _, c in COLOURS]) for k in range(3)], 1)
    height, width = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels], 1)  # 0: a line that is not filtered
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", palette.round().astype(np.uint8).tobytes()),
            chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            chunk(b"IEND", b""),
        )
    )
