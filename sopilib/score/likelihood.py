"""How well a model predicts a recording: the one definition, for training, `sopi score` and model cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sopilib.errors import SopiError
from sopilib.model import Config


class Predictor(Protocol):
    """What can be scored: an `Engine` with one voice, or a network in training."""

    config: Config

    def reset(self) -> None:
        """Goes back to the initial state."""

    def teacher_force(self, codes: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """Predicts codes. The state carries on from call to call, where the next codes overlap these by the lookback.

        codes     int [1, lookback + n]
        features  float [1, n, F] of the last n; None: zeros

        Returns float32 logits [1, n, q] for codes[:, lookback:].
        """


@dataclass(frozen=True)
class Likelihood:
    """How well a recording was predicted."""

    bits: float
    """How many bits it takes on average to say the next sample: the mean of -log2 of its probability."""
    accuracy: float
    """The share of samples, 0 to 1, whose code was the likeliest one."""
    samples: int
    """How many samples were scored."""
    density_bits: float
    """The same as `bits` of the sound itself, -log2 of its probability density at full scale 1, which is a model's
    coding taken out: bits + mean log2(width of the code's cell) - log2(gain before coding). Only these compare models
    of different codings."""

    def __add__(self, other: Likelihood) -> Likelihood:
        """The likelihood of both recordings together."""
        n = self.samples + other.samples
        share = self.samples / n

        def mean(mine: float, theirs: float) -> float:
            return share * mine + (1 - share) * theirs

        return Likelihood(
            mean(self.bits, other.bits),
            mean(self.accuracy, other.accuracy),
            n,
            mean(self.density_bits, other.density_bits),
        )


def likelihood(predictor: Predictor, codes: np.ndarray, features: np.ndarray | None = None) -> Likelihood:
    """Scores how well a recording is predicted, from the initial state and a past of silence on.

    predictor  is reset first
    codes      int [n]; the largest multiple of the lookback within n is scored
    features   float [n, F]; None: zeros

    Raises SopiError if there are fewer codes than one lookback.
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
    bits = total / usable / float(np.log(2))
    return Likelihood(bits, correct / usable, usable, bits + coding_bits(c, codes[:usable]))


def coding_bits(config: Config, codes: np.ndarray) -> float:
    """What a model's coding of a sound, int codes [n], adds to its code bits to make them density bits: the mean of
    log2(width of the code's cell), less log2 of the gain before coding. Fine codes and a loud coding have less of it,
    and as many code bits more. Emphasis adds nothing: it takes from each sample what is known already."""
    widths = np.log2(np.maximum(config.quantiser.cells(), 1e-12))
    return float(widths[codes].mean()) + float(np.log2(config.level))


def bits_per_sample(predictor: Predictor, codes: np.ndarray) -> float:
    """Scores as `likelihood` does, and gives the bits per sample alone. Raises SopiError if there are fewer codes than
    one lookback."""
    return likelihood(predictor, codes).bits
