"""From an engine to sound, offline: voices that play from the beginning, as fast as they can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sopilib.engine import Engine

if TYPE_CHECKING:
    from sopilib.native._native import Envelope

__all__ = ["blocks"]

NUMBER = (int, float, np.number)


def blocks(
    engine: Engine,
    seconds: float,
    temperature: float | Sequence[float | Envelope],
    seed: int | Sequence[int],
    heard: np.ndarray | None = None,
    piece: float = 1.0,
    **sampling: Any,
) -> Iterator[np.ndarray]:
    """Lets an engine play from the beginning, as fast as it can, and gives audio, float32 (voices, n), in blocks of at
    most `piece` seconds until `seconds` are done.

    temperature  above 0; or for each voice a number or an envelope, of which time 0 is the first sample
    seed         as `Engine.reset` has it: the same one gives the same sound
    heard        codes [n], or (voices, n), of a sound that the voices hear first; it is not part of what is given
    sampling     top_k, top_p, min_p, rest and rest_level of `Engine.generate`

    Raises SopiError for values out of range.
    """
    engine.reset(seed)
    memory = engine.model.silence(engine.voices)
    if heard is not None:
        codes = np.broadcast_to(heard, (engine.voices, np.shape(heard)[-1]))
        engine.prime(codes)
        engine.model.decode(codes, memory)
    rate = engine.config.sample_rate
    end, most = round(seconds * rate), max(1, round(piece * rate))
    for begin in range(0, end, most):
        n = min(end - begin, most)
        levels = temperature if isinstance(temperature, NUMBER) else _levels(temperature, begin, n, rate)
        yield engine.model.decode(engine.generate(n, levels, **sampling), memory)


def _levels(each: Sequence[float | Envelope], begin: int, n: int, rate: int) -> np.ndarray:
    """float32 (voices, n): the temperatures of the n samples from `begin` on."""
    return np.stack([np.full(n, t, np.float32) if isinstance(t, NUMBER) else t.levels(begin, n, rate) for t in each])
