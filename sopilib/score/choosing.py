"""What makes one take better than another: how much happens in it, loops, clipping, how far it is from others.

All of it is heard in mel spectra of 40 bands, in frames of 1024 samples, every 512.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sopilib.score.sound import describe, mel_power

BANDS = 40
FLOOR = 1e-6
"""Added to the power in a band: what is softer is silence, and not different from other silence."""
PART = 2.0  # s, of the parts whose difference is variety
LONGEST_LOOP = 8.0  # s
LOOPED = 0.1
"""A frame is part of a loop if what lies around it differs from what was a loop's length before by less than this share
of how much any two moments of these seconds differ."""


@dataclass(frozen=True)
class Character:
    """A sound, as it is compared with others."""

    spectrum: np.ndarray
    """Its mel spectrum over all, in dB: float [40]."""
    movement: np.ndarray
    """The standard deviation over time of each band, in dB: float [40]."""
    variety_db: float
    """How far its parts of 2 s are apart from the whole, in dB: the root mean square over parts and bands."""
    loops: float
    """The share of it, 0 to 1, that repeats what was there at most 8 s before."""
    silence: float
    """Its longest silence, in seconds."""
    clipped: float
    """The share of samples, 0 to 1, at full scale."""

    def distance(self, other: Character) -> float:
        """How far it is from another sound, in dB: in what is heard on the whole, and in how much that moves."""
        apart = np.concatenate([self.spectrum - other.spectrum, self.movement - other.movement])
        return float(np.sqrt(np.mean(apart**2)))


def character(audio: np.ndarray, sample_rate: int) -> Character:
    """Hears a sound, float [n] in [-1, 1], of at least one sample."""
    power = mel_power(np.pad(audio, (0, max(0, 1024 - len(audio)))), sample_rate, BANDS)
    frames = 10 * np.log10(power + FLOOR)  # [frames, BANDS]
    spectrum = 10 * np.log10(power.mean(axis=0) + FLOOR)
    second = sample_rate / 512
    parts = np.array_split(power, max(1, round(len(power) / (PART * second))))
    apart = np.stack([10 * np.log10(p.mean(axis=0) + FLOOR) for p in parts]) - spectrum
    return Character(
        spectrum=spectrum,
        movement=frames.std(axis=0),
        variety_db=float(np.sqrt(np.mean(apart**2))),
        loops=float(looped(frames, second).mean()),
        silence=describe(audio, sample_rate).longest_silence,
        clipped=float(np.mean(np.abs(audio) >= 0.999)),
    )


def looped(frames: np.ndarray, second: float) -> np.ndarray:
    """Which frames are part of a loop: bool [frames]. What hardly changes at all is one.

    frames  float [frames, bands], in dB
    second  how many frames a second has
    """
    found = np.zeros(len(frames), bool)
    differ = np.maximum(LOOPED * _differ(frames, round(LONGEST_LOOP * second)), 0.25)
    for lag in range(max(1, round(0.1 * second)), min(len(frames) // 2, round(LONGEST_LOOP * second)) + 1):
        change = np.square(frames[lag:] - frames[:-lag]).mean(axis=1)
        size = max(lag, round(0.5 * second))  # a whole turn must be as the one before
        if size > len(change):
            continue
        sums = np.concatenate([[0.0], np.cumsum(change)])
        turns = np.flatnonzero((sums[size:] - sums[:-size]) / size < differ[lag : lag + len(change) - size + 1])
        edges = np.zeros(len(frames) + 1, int)
        np.add.at(edges, turns + lag, 1)
        np.add.at(edges, turns + lag + size, -1)
        found |= edges.cumsum()[:-1] > 0
    return found


def _differ(frames: np.ndarray, size: int) -> np.ndarray:
    """How much any two of the `size` frames around each one differ: the mean square, [frames]."""
    sums = np.concatenate([np.zeros((1, frames.shape[1])), np.cumsum(frames, axis=0)])
    squares = np.concatenate([np.zeros((1, frames.shape[1])), np.cumsum(frames**2, axis=0)])
    at = np.arange(len(frames))
    begin, end = np.maximum(at - size // 2, 0), np.minimum(at + size // 2 + 1, len(frames))
    n = (end - begin)[:, None]
    variance = (squares[end] - squares[begin]) / n - ((sums[end] - sums[begin]) / n) ** 2
    return 2 * variance.mean(axis=1)
