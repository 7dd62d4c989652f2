"""How the sound of a data set becomes codes: emphasised where the model has emphasis, and at its level."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from sopilib.model import Config
from sopilib.model.emphasis import emphasised
from sopilib.train.prepare import PEAK_DB, Dataset, Stretch

SEEN = 0.4
"""Root mean square of what the frame tiers see of a model with emphasis, about what they see of one without."""
PIECE = 1 << 22


def part(dataset: Dataset, config: Config, start: int, n: int) -> np.ndarray:
    """float32 [n]: what of the samples from `start` on is to be coded. The samples in front of them are heard too, so
    that two parts which overlap agree, and together are the whole."""
    audio = dataset.audio[start : start + n]
    if not config.emphasis and config.level == 1:
        return audio
    before = dataset.audio[max(0, start - len(config.emphasis)) : start]
    level = np.float32(config.level)
    return emphasised(audio / level, config.emphasis, before / level)


def codes(dataset: Dataset, config: Config, start: int, n: int) -> np.ndarray:
    """int32 [n]: the codes of the samples from `start` on."""
    return config.quantiser.encode(part(dataset, config, start, n))


def fitted(config: Config, dataset: Dataset) -> Config:
    """The config with its level and its gain of frames as these recordings need them, if it has emphasis and they are
    still as they usually are. The level brings the peak of what is coded to -1 dB; what is heard is as loud as the
    recordings."""
    if not config.emphasis:
        return config
    level, gain = config.level, config.frame_gain
    if level == Config.level:
        peak = max(float(np.abs(p).max()) for p in _pieces(dataset, config, [(0, len(dataset.audio))]))
        level = peak / 10 ** (PEAK_DB / 20) or level
        config = dataclasses.replace(config, level=level)
    if gain == Config.frame_gain:
        parts = [
            (float(np.sum(p.astype(np.float64) ** 2)), len(p))
            for p in _pieces(dataset, config, dataset.segments["train"])
        ]
        power = sum(p for p, _ in parts) / max(1, sum(n for _, n in parts))
        gain = SEEN / power**0.5 if power else gain
    return dataclasses.replace(config, level=level, frame_gain=gain)


def _pieces(dataset: Dataset, config: Config, stretches: list[Stretch]) -> Iterator[np.ndarray]:
    """What of these stretches is to be coded, not all at once: a corpus is large."""
    for start, length in stretches:
        for at in range(0, length, PIECE):
            yield part(dataset, config, start + at, min(PIECE, length - at))
