"""A sound that a model is to hear: the part that is meant, at the model's rate."""

from __future__ import annotations

import numpy as np

from sopilib.errors import SopiError
from sopilib.model import Model
from sopilib.sound import resample

__all__ = ["LONGEST", "edges", "to_model_rate"]

LONGEST = 60.0
"""Seconds of sound that are heard at most: the last ones before its end."""


def to_model_rate(samples: np.ndarray, rate: float, offset: float, length: float | None, model_rate: int) -> np.ndarray:
    """The part from `offset` ms on, `length` ms long (None: to the end), float32 in [-1, 1] at `model_rate` Hz.

    Raises SopiError if nothing is left or samples are not finite.
    """
    if not samples.size:
        raise SopiError("it is empty, expected some sound")
    begin = round(offset / 1000 * rate)
    if begin >= samples.size:
        whole = 1000 * samples.size / rate
        raise SopiError(f"offset is {offset:g} ms, expected less than its length of {whole:.0f} ms")
    end = samples.size if length is None else min(samples.size, begin + max(1, round(length / 1000 * rate)))
    part = samples[max(begin, end - round(LONGEST * rate)) : end].astype(np.float32)
    if not np.isfinite(part).all():
        raise SopiError("it holds values that are not finite")
    part = resample(part, rate, model_rate)
    if not part.size:
        raise SopiError("what is left of it is shorter than one sample")
    return np.clip(part, -1.0, 1.0)


def edges(model: Model) -> np.ndarray:
    """float32 [q_levels - 1]: the least value that the model's quantiser gives code 1, 2, ... or a higher one; infinity
    if it never does, minus infinity if it always does."""
    encode = model.config.quantiser.encode

    # Floats, as integers that keep their order: so halving finds the very value.
    def ordered(x: float) -> np.int64:
        bits = np.float32(x).view(np.int32).astype(np.int64)
        return bits if bits >= 0 else -(bits & 0x7FFFFFFF)

    def as_float(integers: np.ndarray) -> np.ndarray:
        return np.where(integers < 0, -integers | 0x80000000, integers).astype(np.uint32).view(np.float32)

    codes = np.arange(1, model.config.q_levels)
    below, above = np.full(len(codes), ordered(-1) - 1), np.full(len(codes), ordered(1))
    while (above - below > 1).any():
        middle = (below + above) // 2
        reached = encode(as_float(middle)) >= codes
        above, below = np.where(reached, middle, above), np.where(reached, below, middle)
    found = as_float(above)
    found = np.where(encode(found) >= codes, found, np.inf)
    return np.where(encode(-1.0) >= codes, -np.inf, found).astype(np.float32)
