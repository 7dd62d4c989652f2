"""Offline generation: a model to sound files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sopilib.engine import Engine


def blocks(
    engine: Engine, seconds: float, temperature: float, seed: int, heard: np.ndarray | None = None, **sampling: float
) -> Iterator[np.ndarray]:
    """float32 (voices, n) audio in blocks of at most a second until `seconds` are done. `heard`: codes [n] of a sound
    that every voice hears first; it is not part of the output. sampling: top_k, top_p, min_p of `Engine.generate`."""
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
