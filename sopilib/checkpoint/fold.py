"""Linear layers with nothing nonlinear between them become one, in float64. Exact, and it saves work per sample.

q = q_levels, f = samples that the sample level looks back, E, W = widths, r = vectors handed down per frame, D = dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Below(NamedTuple):
    """What the sample level adds up before its first layer: rows of tables, and the vector that tier 0 hands down."""

    tables: NDArray[np.float32]
    """[f, q, W], oldest sample first."""
    up_weight: NDArray[np.float32]
    """[r, W, D]"""
    up_bias: NDArray[np.float32]
    """[r, W]"""


def below(
    embedding: Array | None,
    convolution: Array,
    up_weight: Array,
    up_bias: Array,
    layers: Sequence[tuple[Array, Array]] = (),
) -> Below:
    """Folds the way from the codes, and from tier 0, to the first nonlinearity of the sample level.

    embedding    [q, E]; None: one-hot codes, E = q
    convolution  [f, E, W]: what each of the f samples, oldest first, adds to the sum
    up_weight    [r, W, D], up_bias [r, W]: what tier 0 adds to it
    layers       (weight [out, in], bias [out]) of the linear layers after the sum that come before anything nonlinear
    """
    matrix, offset = None, np.zeros(up_bias.shape[1])
    for weight, bias in layers:
        w = weight.astype(np.float64)
        matrix = w if matrix is None else w @ matrix
        offset = w @ offset + bias
    rows = None if embedding is None else embedding.astype(np.float64)
    tables = np.stack([_fold(c, rows, matrix) for c in convolution])
    if matrix is None:
        return Below(tables, up_weight.astype(np.float32), up_bias.astype(np.float32))
    weight = np.stack([(matrix @ u).astype(np.float32) for u in up_weight])
    return Below(tables, weight, (up_bias @ matrix.T + offset).astype(np.float32))


def _fold(convolution: Array, embedding: Array | None, matrix: Array | None) -> NDArray[np.float32]:
    """[E, W] -> [q, W after the layers], one of the f samples at a time to spare memory."""
    out = convolution.astype(np.float64)
    if embedding is not None:
        out = embedding @ out
    if matrix is not None:
        out = out @ matrix.T
    return out.astype(np.float32)
