"""How loud recordings are, and which long silences are left out of them."""

from __future__ import annotations

import numpy as np

from sopilib.train.preparation.dataset import Stretch
from sopilib.train.preparation.options import Preparation

WINDOW = 0.02
"""Seconds over which levels are measured."""


def levels(audio: np.ndarray, stretch: Stretch, rate: int) -> np.ndarray:
    """The level, float [windows], of each whole window of a stretch: its RMS around its own mean, for an offset is not
    a sound."""
    start, length = stretch
    window = max(1, round(WINDOW * rate))
    count = length // window
    out = np.empty(count)
    for at in range(0, count, 10000):
        n = min(10000, count - at)
        out[at : at + n] = audio[start + at * window :][: n * window].reshape(n, window).std(axis=1)
    return out


def without_silence(audio: np.ndarray, stretch: Stretch, options: Preparation) -> list[Stretch]:
    """The stretch without what exceeds `longest_silence` in each silence: half of that stays at either side."""
    keep = options.longest_silence
    if not keep:
        return [stretch]
    start, length = stretch
    window = max(1, round(WINDOW * options.sample_rate))
    quiet = levels(audio, stretch, options.sample_rate) < 10 ** (options.silence_db / 20)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    out, at, margin = [], 0, round(keep * options.sample_rate / 2)
    for first, last in zip(edges[::2] * window, edges[1::2] * window):
        # silence at the very beginning or end has a sound on one side only
        cut_from, cut_to = first + margin * (first > 0), last - margin
        if last >= length - window:
            cut_to = length
        if last - first > 2 * margin:
            if cut_from > at:
                out.append((start + at, int(cut_from) - at))
            at = int(cut_to)
    if at < length:
        out.append((start + at, length - at))
    return out
