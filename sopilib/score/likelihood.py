"""How well a model predicts a recording: the one definition, for training, `sopi score` and model cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sopilib.errors import SopiError
from sopilib.model import Config


class Predictor(Protocol):
    """An `Engine` with one voice, or a network in training."""

    config: Config

    def reset(self) -> None: ...

    def teacher_force(self, codes: np.ndarray, features: np.ndarray | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Likelihood:
    bits: float
    """Mean negative log2 likelihood of a sample."""
    accuracy: float
    """Share of samples whose code was the likeliest one."""
    samples: int

    def __add__(self, other: Likelihood) -> Likelihood:
        """Of both recordings together."""
        n = self.samples + other.samples
        share = self.samples / n
        return Likelihood(
            share * self.bits + (1 - share) * other.bits, share * self.accuracy + (1 - share) * other.accuracy, n
        )


def likelihood(predictor: Predictor, codes: np.ndarray, features: np.ndarray | None = None) -> Likelihood:
    """Of `codes` [n] after a lookback of silence, from the initial state, which is carried to the end.

    Scores the largest multiple of the lookback within n. `predictor` is reset. features [n, F]; None: zeros.
    """
    c = predictor.config
    usable = len(codes) // c.lookback * c.lookback
    if not usable:
        raise SopiError(f"{len(codes)} samples to score, expected at least {c.lookback}")
    padded = np.concatenate([np.full(c.lookback, c.q_zero), codes[:usable]])
    predictor.reset()
    total, correct, chunk = 0.0, 0, max(c.lookback, 16384 // c.lookback * c.lookback)
    for at in range(0, usable, chunk):
        n = min(chunk, usable - at)
        piece = padded[at : at + c.lookback + n]
        given = None if features is None else features[None, at : at + n]
        logits = predictor.teacher_force(piece[None], given)[0]
        logits -= logits.max(axis=1, keepdims=True)
        target = piece[c.lookback :]
        of_code = logits[np.arange(n), target]
        correct += int((logits.argmax(axis=1) == target).sum())
        total += float((np.log(np.exp(logits).sum(axis=1, dtype=np.float64)) - of_code).sum())
    return Likelihood(total / usable / float(np.log(2)), correct / usable, usable)


def bits_per_sample(predictor: Predictor, codes: np.ndarray) -> float:
    """`likelihood(...).bits`."""
    return likelihood(predictor, codes).bits
