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
    if heard is not None:
        engine.prime(np.broadcast_to(heard, (engine.voices, len(heard))))
    rate = engine.config.sample_rate
    left = round(seconds * rate)
    while left > 0:
        n = min(left, rate)
        yield engine.model.decode(engine.generate(n, temperature, **sampling))
        left -= n
