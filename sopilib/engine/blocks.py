"""From an engine to sound, offline: voices that play from the beginning, as fast as they can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sopilib.engine import Engine
from sopilib.errors import SopiError

if TYPE_CHECKING:
    from sopilib.native._native import Envelope

__all__ = ["blocks"]

NUMBER = (int, float, np.number)


def blocks(
    engine: Engine,
    seconds: float,
    temperature: float | Sequence[float | Envelope],
    seed: int | Sequence[int],
    heard: np.ndarray | Sequence[np.ndarray] | None = None,
    piece: float = 1.0,
    **sampling: Any,
) -> Iterator[np.ndarray]:
    """Lets an engine play from the beginning, as fast as it can, and gives audio, float32 (voices, n), in blocks of at
    most `piece` seconds until `seconds` are done.

    temperature  above 0; or for each voice a number or an envelope, of which time 0 is the first sample
    seed         as `Engine.reset` has it: the same one gives the same sound
    heard        codes [n] of a sound that all voices hear first, or for each voice those of its own, whose lengths may
                 differ by whole numbers of the model's largest frame; they are not part of what is given
    sampling     top_k, top_p, min_p, rest and rest_level of `Engine.generate`

    Raises SopiError for values out of range.
    """
    engine.reset(seed)
    memory = engine.model.silence(engine.voices)
    if isinstance(heard, np.ndarray) and heard.ndim == 1:
        heard = [heard] * engine.voices
    if heard is not None:
        _hear(engine, list(heard), memory)
    rate = engine.config.sample_rate
    end, most = round(seconds * rate), max(1, round(piece * rate))
    for begin in range(0, end, most):
        n = min(end - begin, most)
        levels = temperature if isinstance(temperature, NUMBER) else _levels(temperature, begin, n, rate)
        yield engine.model.decode(engine.generate(n, levels, **sampling), memory)


def _hear(engine: Engine, heard: Sequence[np.ndarray], memory: np.ndarray) -> None:
    """Has each voice hear its own codes, [n]."""
    if len({len(codes) for codes in heard}) == 1:
        together = np.stack(heard)
        engine.prime(together)
        engine.model.decode(together, memory)
        return
    if any(len(codes) % engine.config.lookback for codes in heard):
        raise SopiError(f"sounds of different lengths, expected whole frames of {engine.config.lookback} codes")
    states = []
    for voice, codes in enumerate(heard):
        alone = engine.clone(1)
        alone.reset()
        alone.prime(codes[None])
        engine.model.decode(codes[None], memory[voice : voice + 1])
        states.append(alone.state())
    own = engine.state()
    for name in own.keys() - {"position", "seed", "drawn"}:
        own[name] = np.concatenate([state[name] for state in states])
    engine.set_state(own)


def _levels(each: Sequence[float | Envelope], begin: int, n: int, rate: int) -> np.ndarray:
    """float32 (voices, n): the temperatures of the n samples from `begin` on."""
    return np.stack([np.full(n, t, np.float32) if isinstance(t, NUMBER) else t.levels(begin, n, rate) for t in each])
