from __future__ import annotations

import numpy as np

from sopilib.engine import Engine
from sopilib.errors import SopiError


def bits_per_sample(engine: Engine, codes: np.ndarray) -> float:
    """Mean negative log2 likelihood of `codes` [n] after a lookback of silence, state carried from the start.

    Scores the largest multiple of the lookback within n. `engine` has one voice; its state is reset.
    """
    c = engine.config
    usable = len(codes) // c.lookback * c.lookback
    if not usable:
        raise SopiError(f"{len(codes)} samples to score, expected at least {c.lookback}")
    padded = np.concatenate([np.full(c.lookback, c.q_zero), codes[:usable]])
    engine.reset()
    total, chunk = 0.0, max(c.lookback, 16384 // c.lookback * c.lookback)
    for at in range(0, usable, chunk):
        piece = padded[at : at + c.lookback + min(chunk, usable - at)]
        logits = engine.teacher_force(piece[None])[0].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        of_code = logits[np.arange(len(logits)), piece[c.lookback :]]
        total += float((np.log(np.exp(logits).sum(axis=1)) - of_code).sum())
    return total / usable / float(np.log(2))
