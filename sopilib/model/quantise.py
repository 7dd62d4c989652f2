"""Audio in [-1, 1] <-> integer codes.

Both quantisers are stateless (no normalising per file, which is where the older systems' DC offset came from) and
clip. q levels, codes 0 .. q - 1, silence is code q // 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]


def _mu_law_encode(x: NDArray[np.float64], q: int) -> NDArray[np.float64]:
    mu = q - 1.0
    y = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log(q)
    return np.floor((y + 1) / 2 * mu + 0.5)


def _mu_law_decode(code: NDArray[np.float64], q: int) -> NDArray[np.float64]:
    one, mu = np.float32(1), np.float32(q - 1)
    y = 2 * (code.astype(np.float32) / mu) - one
    magnitude = (np.power(float(q), np.abs(y).astype(np.float64)).astype(np.float32) - one) * (one / mu)
    return np.sign(y) * np.minimum(magnitude, one).astype(np.float64)


def _linear_encode(x: NDArray[np.float64], q: int) -> NDArray[np.float64]:
    return np.rint(x * _linear_half(q)) + q // 2


def _linear_decode(code: NDArray[np.float64], q: int) -> NDArray[np.float64]:
    return np.clip((code - q // 2) / _linear_half(q), -1, 1)


def _linear_half(q: int) -> float:
    """Steps from silence to full scale: silence decodes to exactly 0, full scale to exactly 1."""
    return max(q - 1 - q // 2, 1)


def _linear_prism_encode(x: NDArray[np.float64], q: int) -> NDArray[np.float64]:
    y = (x.astype(np.float32) + np.float32(1)) / np.float32(2)
    return np.trunc(y * np.float32(q - 1e-5) + np.float32(0.5e-5)).astype(np.float64)


def _linear_prism_decode(code: NDArray[np.float64], q: int) -> NDArray[np.float64]:
    return code / (q / 2) - 1


_Map = Callable[[NDArray[np.float64], int], NDArray[np.float64]]
QUANTISERS: dict[str, tuple[_Map, _Map]] = {
    "mu-law": (_mu_law_encode, _mu_law_decode),
    "linear": (_linear_encode, _linear_decode),
    "linear-prism": (_linear_prism_encode, _linear_prism_decode),
}
"""q_type -> (encode, decode).

mu-law        mu = q - 1, rounded to the nearest level, as PRiSM has it (and decodes it, in float32)
linear        even steps around silence, which is exactly 0
linear-prism  PRiSM's: q even bins, a code decodes to its bin's lower edge; in float32, whose roundings are part of it
"""


def encode(audio: object, q_type: str, q_levels: int) -> Codes:
    """float audio (any shape) -> int32 codes. Beyond [-1, 1] it clips; NaN becomes silence."""
    x = np.asarray(audio, np.float64)
    x = np.clip(np.where(np.isnan(x), 0.0, x), -1, 1)
    return np.clip(QUANTISERS[q_type][0](x, q_levels), 0, q_levels - 1).astype(np.int32)


def decode_table(q_type: str, q_levels: int) -> Floats:
    """float32 [q_levels]: the audio value of each code."""
    return QUANTISERS[q_type][1](np.arange(q_levels, dtype=np.float64), q_levels).astype(np.float32)
