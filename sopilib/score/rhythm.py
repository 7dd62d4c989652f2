"""When things begin in a sound, how often, and whether they do so in time: by the flux of its spectrum."""

from __future__ import annotations

import numpy as np

from sopilib.score.sound import mel_bands, power_of, windows_of

STEP = 0.016
"""Seconds between two values of an onset envelope."""
WINDOW = 0.064
"""Seconds that each of them looks at."""
RISE = 1.5
"""dB by which the flux of an onset rises above that of the second around it."""
_BANDS, _SOFT = 24, 1e-6  # what is softer than -60 dB in a band begins nothing


def onset_envelope(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """The flux of a sound, float [n]: by how many dB its mel bands rise within 32 ms, on average, where what falls is
    nothing. One value each 16 ms, [frames]; empty if it is shorter than 0.1 s."""
    size = round(WINDOW * sample_rate)
    if len(audio) < 2 * size:
        return np.zeros(0)
    weights = mel_bands(size, sample_rate, _BANDS)
    scale = 2 / (size * np.sum(np.hanning(size) ** 2))
    windows = windows_of(audio, size, round(STEP * sample_rate))
    levels = np.concatenate([10 * np.log10(power @ weights.T * scale + _SOFT) for power in power_of(windows)])
    flux = np.maximum(levels[2:] - levels[:-2], 0).mean(axis=1)
    return np.concatenate([np.zeros(2), flux])


def onsets(audio: np.ndarray, sample_rate: int) -> float:
    """How many onsets a second of sound, float [n], has: peaks of its flux, 64 ms apart at least, that rise above what
    is usual around them. 0 if it is shorter than 0.1 s."""
    flux = onset_envelope(audio, sample_rate)
    if not len(flux):
        return 0.0
    around, near = round(0.5 / STEP), 4
    usual = np.convolve(np.pad(flux, around, mode="reflect" if len(flux) > around else "edge"), _mean(around), "valid")
    most = np.lib.stride_tricks.sliding_window_view(np.pad(flux, near), 2 * near + 1).max(axis=1)
    before = np.lib.stride_tricks.sliding_window_view(np.pad(flux, (near, 0)), near + 1)[:, :-1].max(axis=1)
    return float(((flux == most) & (flux > before) & (flux > usual + RISE)).sum()) / (len(audio) / sample_rate)


def groove(audio: np.ndarray, sample_rate: int, beat: float) -> float | None:
    """How much each beat of a sound, float [n], is like the next: the median cosine of their onset envelopes, 0 to 1.
    `beat` is how long one is, in seconds. None for less than three beats."""
    flux = onset_envelope(audio, sample_rate)
    each = int(beat / STEP)
    starts = np.round(np.arange(0, len(flux) - 2 * each - 1, beat / STEP)).astype(int)
    if each < 2 or len(starts) < 2:
        return None
    beats = np.stack([flux[s : s + each] for s in starts])
    sizes = np.linalg.norm(beats, axis=1) + 1e-9
    return float(np.median((beats[:-1] * beats[1:]).sum(axis=1) / (sizes[:-1] * sizes[1:])))


def _mean(around: int) -> np.ndarray:
    return np.full(2 * around + 1, 1 / (2 * around + 1))
