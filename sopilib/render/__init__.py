"""Rendering offline: from a model to sound files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sopilib.engine import Engine


def blocks(
    engine: Engine, seconds: float, temperature: float, seed: int, heard: np.ndarray | None = None, **sampling: float
) -> Iterator[np.ndarray]:
    """Lets an engine play from the beginning, as fast as it can, and gives audio, float32 (voices, n), in blocks of at
    most a second until `seconds` are done.

    temperature  above 0
    seed         0 to 2**64 - 1; the same one gives the same sound
    heard        codes [n] of a sound that every voice hears first; it is not part of what is given
    sampling     top_k, top_p, min_p, rest and rest_level of `Engine.generate`

    Raises SopiError for values out of range.
    """
    engine.reset(seed)
    memory = engine.model.silence(engine.voices)
    if heard is not None:
        codes = np.broadcast_to(heard, (engine.voices, len(heard)))
        engine.prime(codes)
        engine.model.decode(codes, memory)
    rate = engine.config.sample_rate
    left = round(seconds * rate)
    while left > 0:
        n = min(left, rate)
        yield engine.model.decode(engine.generate(n, temperature, **sampling), memory)
        left -= n
