"""A sound that a model is to hear: the part that is meant, at the model's rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sopilib.errors import SopiError
from sopilib.model import Model
from sopilib.sound import Part, part_of, read_audio

__all__ = ["LONGEST", "edges", "heard_of", "part_from", "to_model_rate"]

LONGEST = 60.0
"""Seconds of sound that are heard at most: the last ones before its end."""


def part_from(offset: float, length: float | None) -> Part:
    """The part of a sound that a message means: from `offset` ms on, `length` ms long (None: to the end), and of that
    the last LONGEST seconds."""
    return Part(offset / 1000, None if length is None else (offset + length) / 1000, LONGEST)


def heard_of(file: Path, part: Part, model_rate: int) -> np.ndarray:
    """The part of a sound file, float32 in [-1, 1] at `model_rate` Hz. Raises SopiError."""
    return _to_hear(read_audio(file, model_rate, part))


def to_model_rate(samples: np.ndarray, rate: float, part: Part, model_rate: int) -> np.ndarray:
    """The part of a sound, float32 in [-1, 1] at `model_rate` Hz.

    Raises SopiError if nothing is left or samples are not finite.
    """
    if not samples.size:
        raise SopiError("it is empty, expected some sound")
    if round(part.start * rate) >= samples.size:
        whole = 1000 * samples.size / rate
        raise SopiError(f"offset is {1000 * part.start:g} ms, expected less than its length of {whole:.0f} ms")
    return _to_hear(part_of(samples, rate, model_rate, part))


def _to_hear(sound: np.ndarray) -> np.ndarray:
    if not np.isfinite(sound).all():
        raise SopiError("it holds values that are not finite")
    if not sound.size:
        raise SopiError("what is left of it is shorter than one sample")
    return np.clip(sound, -1.0, 1.0)


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
