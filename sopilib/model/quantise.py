"""Quantisers: audio in [-1, 1] to integer codes and back.

A quantiser has no memory and clips what is beyond full scale. None of them normalises each file by itself, as some
older systems did: that is where their DC offset came from. Codes run from 0 to levels - 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]
_Map = Callable[[NDArray[np.float64], "Quantiser"], NDArray[Any]]


def _mu_law_encode(x: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    return np.floor((_compressed(x, c.levels) + 1) / 2 * (c.levels - 1) + 0.5)


def _mu_law_decode(code: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    one, mu = np.float32(1), np.float32(c.levels - 1)
    y = 2 * (code.astype(np.float32) / mu) - one
    magnitude = (np.power(float(c.levels), np.abs(y).astype(np.float64)).astype(np.float32) - one) * (one / mu)
    return np.sign(y) * np.minimum(magnitude, one).astype(np.float64)


def _mu_law_theano_encode(x: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    return np.trunc((_compressed(x, c.levels) + 1) / 2 * (c.levels - 1))


def _mu_law_theano_decode(code: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    y = 2 * (code - c.levels // 2) / c.levels
    return np.sign(y) * (float(c.levels) ** np.abs(y) - 1) / (c.levels - 1)


def _compressed(x: NDArray[np.float64], q: int) -> NDArray[np.float64]:
    return np.sign(x) * np.log1p((q - 1) * np.abs(x)) / np.log(q)


def _linear_encode(x: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    return np.rint(x * _linear_half(c)) + c.levels // 2


def _linear_decode(code: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    return np.clip((code - c.levels // 2) / _linear_half(c), -1, 1)


def _linear_half(c: Quantiser) -> float:
    """Steps from silence to full scale: silence decodes to exactly 0, full scale to exactly 1."""
    return max(c.levels - 1 - c.levels // 2, 1)


def _mu_law_centred_encode(x: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    return np.rint(_compressed(x, c.levels) * _linear_half(c)) + c.levels // 2


def _mu_law_centred_decode(code: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    y = np.clip((code - c.levels // 2) / _linear_half(c), -1, 1)
    return np.sign(y) * (float(c.levels) ** np.abs(y) - 1) / (c.levels - 1)


A_LAW = 87.6
"""As the telephone standard (ITU-T G.711) has it."""


def _a_law_encode(x: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    loud = A_LAW * np.abs(x)
    y = np.where(loud < 1, loud, 1 + np.log(np.maximum(loud, 1))) / (1 + np.log(A_LAW))
    return np.rint(np.sign(x) * y * _linear_half(c)) + c.levels // 2


def _a_law_decode(code: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    y = np.clip((code - c.levels // 2) / _linear_half(c), -1, 1)
    loud = np.abs(y) * (1 + np.log(A_LAW))
    return np.sign(y) * np.where(loud < 1, loud, np.exp(loud - 1)) / A_LAW


def _bins_encode(eps: float, kind: type[np.floating[Any]]) -> _Map:
    """Makes an encoder of q bins over [-1, 1], smaller by `eps` of a bin in all so that 1 falls into the last. It
    computes in `kind`."""

    def encode(x: NDArray[np.float64], c: Quantiser) -> NDArray[Any]:
        y = ((x + 1) / 2).astype(kind)
        return np.trunc(y * kind(c.levels - eps) + kind(eps / 2))

    return encode


def _bins_decode(code: NDArray[np.float64], c: Quantiser) -> NDArray[np.float64]:
    return code / (c.levels / 2) - 1


def _affine_encode(x: NDArray[np.float64], c: Quantiser) -> NDArray[np.float32]:
    return np.trunc(x.astype(np.float32) / np.float32(c.scale)) - np.float32(c.offset)


def _affine_decode(code: NDArray[np.float64], c: Quantiser) -> NDArray[np.float32]:
    return (code + c.offset).astype(np.float32) * np.float32(c.scale)


NEW = ("mu-law", "mu-law-centred", "a-law", "linear")
"""For models that begin their training here."""
CENTRED = ("mu-law-centred", "a-law", "linear")
"""Those whose code of silence is exactly 0."""

QUANTISERS: dict[str, tuple[_Map, _Map]] = {
    "mu-law": (_mu_law_encode, _mu_law_decode),
    "linear": (_linear_encode, _linear_decode),
    "mu-law-centred": (_mu_law_centred_encode, _mu_law_centred_decode),
    "a-law": (_a_law_encode, _a_law_decode),
    "linear-prism": (_bins_encode(1e-5, np.float32), _bins_decode),
    "mu-law-theano": (_mu_law_theano_encode, _mu_law_theano_decode),
    "linear-theano": (_bins_encode(1e-5, np.float64), _bins_decode),
    "linear-deepsound": (_bins_encode(0.01, np.float32), _bins_decode),
    "affine": (_affine_encode, _affine_decode),
}
"""q_type -> (encode, decode). The first four are for new models; the others are those of older systems, in the
precision in which these compute, whose roundings are part of them.

mu-law            mu = q - 1, rounded to the nearest level, as PRiSM has it (and decodes it, in float32)
mu-law-centred    mu = q - 1, q // 2 - 1 steps of it to either side of silence, which is exactly 0
linear            even steps around silence, which is exactly 0
a-law             even steps around silence, which is exactly 0, of the telephones' logarithm, A = 87.6
linear-prism      q even bins, a code decodes to its bin's lower edge
mu-law-theano     mu = q - 1, rounded down over q - 1 steps, but decoded as q steps around code q // 2
linear-theano     q even bins. The system first scales each file's minimum and maximum to the ends; here the ends are -1
                  and 1. It has no decoder; here a code decodes to its bin's lower edge
linear-deepsound  the same with slightly other bins, and that decoder
affine            a2aaron's: audio is (code + q_offset) * q_scale, rounded towards 0. The system takes both from its one
                  training file's minimum and maximum (q_scale is negative: high codes are low); here the model has them
"""


@dataclass(frozen=True)
class Quantiser:
    """One way to write audio as codes.

    q_type  a key of `QUANTISERS`
    levels  how many codes there are
    scale, offset  of q_type "affine" alone, where audio is (code + offset) * scale
    """

    q_type: str
    levels: int
    scale: float = 0.0
    offset: int = 0

    @property
    def zero(self) -> int:
        """The code of silence."""
        return min(max(-self.offset, 0), self.levels - 1) if self.q_type == "affine" else self.levels // 2

    def encode(self, audio: object) -> Codes:
        """The codes, int32, of float audio of any shape. What is beyond [-1, 1] is clipped, and NaN becomes silence."""
        x = np.asarray(audio, np.float64)
        x = np.clip(np.where(np.isnan(x), 0.0, x), -1, 1)
        return np.clip(QUANTISERS[self.q_type][0](x, self), 0, self.levels - 1).astype(np.int32)

    def table(self) -> Floats:
        """The audio value of each code, float32 [levels]."""
        return QUANTISERS[self.q_type][1](np.arange(self.levels, dtype=np.float64), self).astype(np.float32)

    def cells(self) -> NDArray[np.float64]:
        """How much of [-1, 1] becomes each code, float64 [levels], 2 in all: where a code's edges lie is asked of
        `encode`, which rises or falls all the way."""
        codes = np.arange(1, self.levels)
        sign = 1 if self.encode(1.0) >= self.encode(-1.0) else -1
        low, high = np.full(len(codes), -1.0), np.full(len(codes), 1.0)
        for _ in range(48):
            middle = (low + high) / 2
            reached = self.encode(sign * middle) >= codes
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        edges = np.concatenate([[-1.0], low, [1.0]])
        return np.maximum(np.diff(edges), 0.0)
