"""How still a sound ever is: what tells a drone, which models fall into, from what their recordings do.

A sound is looked at in frames of 50 ms, each as the levels of 20 bands on the mel scale, in dB, where what lies below
-70 dB counts as that. How much *moves* in two seconds is how far these levels deviate from their means, as a root mean
square over the bands. Two seconds that move less than the stillest hundredth of the recordings do are *still*: the
chord that is held, the hum between two strokes that never comes to an end. Silence is no stillness; it has a measure of
its own.

The stream's guard finds the same numbers natively (native/stream/stillness.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sopilib.model import Stillness

FRAME = 0.05
"""Seconds."""
WINDOW = 40
"""Frames in which movement is looked for."""
BANDS = 20
MOST = 6.0
"""dB: what moves more is no drone, however restless the recordings are."""
_ENOUGH, _LOWEST = 16000, 40.0  # Hz at which it looks at most, and where the bands begin
_FLOOR, _SILENCE = 1e-7, 1e-6  # -70 and -60 dB, as powers


def frames(audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The levels of the bands of each 50 ms of a sound, float [n], in dB, [frames, 20], and the power of each frame."""
    thinned = -(-sample_rate // _ENOUGH)
    rate = sample_rate // thinned
    if thinned > 1:
        audio = audio[: len(audio) // thinned * thinned].reshape(-1, thinned).mean(axis=1)
    n = round(FRAME * rate)
    size = 1 << (n - 1).bit_length()
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (_LOWEST, rate / 2))
    edges = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 1) / 2595) - 1)
    bins = np.minimum(size // 2, np.ceil(edges * size / rate - 1e-9).astype(int))
    windows = audio[: len(audio) // n * n].reshape(-1, n)
    powers = np.empty((len(windows), BANDS))
    for at in range(0, len(windows), 1024):  # not all at once, for recordings are long
        power = np.abs(np.fft.rfft(windows[at : at + 1024] * shape, size)) ** 2 * (2 / (size * np.sum(shape**2)))
        for b in range(BANDS):
            powers[at : at + 1024, b] = power[:, bins[b] : max(bins[b] + 1, bins[b + 1])].sum(axis=1)
    return 10 * np.log10(powers + _FLOOR), powers.sum(axis=1)


def movement(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """How much moves in each two seconds of a sound, float [n], in dB: one number for each 50 ms that end such a
    stretch, NaN where that is silent (below -60 dB). Empty if the sound is shorter."""
    levels, powers = frames(audio, sample_rate)
    if len(levels) < WINDOW:
        return np.zeros(0)
    means = _sliding(levels)
    moved = np.sqrt(np.maximum(_sliding(levels**2) - means**2, 0).mean(axis=1))
    return np.where(_sliding(powers[:, None])[:, 0] < _SILENCE, np.nan, moved)


def stillness(recordings: Sequence[np.ndarray], sample_rate: int) -> Stillness | None:
    """What a model's file says of its recordings, each float [n]: below which movement the stillest hundredth of them
    lies, but at most 6 dB, and how long they ever stay below that. None if they are shorter than two seconds, or
    silent."""
    moved = np.concatenate([movement(audio, sample_rate) for audio in recordings])
    if not np.isfinite(moved).any():
        return None
    below = round(min(MOST, float(np.nanquantile(moved, 0.01))), 3)
    return Stillness(below, max(longest_still(audio, sample_rate, below) for audio in recordings))


def longest_still(audio: np.ndarray, sample_rate: int, below: float) -> float:
    """How long a sound, float [n], ever stays still, in seconds: 0, or two at least. `below` is the movement, in dB,
    that a model's file says."""
    with np.errstate(invalid="ignore"):
        still = movement(audio, sample_rate) < below
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return round(float((runs.max() - 1 + WINDOW) * FRAME), 3) if runs.size else 0.0


def is_drone(audio: np.ndarray, sample_rate: int, still: Stillness) -> bool:
    """Whether a sound, float [n], ever stays still for longer than the recordings do, by half, and for four seconds at
    least: what the guard calls a drone."""
    return longest_still(audio, sample_rate, still.below) >= max(4.0, 1.5 * still.longest)


def _sliding(values: np.ndarray) -> np.ndarray:
    """The means over each `WINDOW` frames of values [frames, k]."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
