"""Exact folds: linear layers with nothing nonlinear between them become one, in float64, which saves work.

`tables` and `below` make the canonical weights of what older systems, and our training, keep apart. `fold_input` and
`fold_sample_level` make of the canonical weights those that the native engine multiplies with.

q = q_levels, f = samples that the sample level looks back, E, W = widths, r = vectors handed down per frame, D = dim.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sopilib.model.config import Config

Array = NDArray[np.floating]
Weights = dict[str, NDArray[Any]]


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
    rows = tables(embedding, convolution, matrix)
    if matrix is None:
        return Below(rows, up_weight.astype(np.float32), up_bias.astype(np.float32))
    weight = np.stack([(matrix @ u).astype(np.float32) for u in up_weight])
    return Below(rows, weight, (up_bias @ matrix.T + offset).astype(np.float32))


def tables(embedding: Array | None, convolution: Array, matrix: Array | None = None) -> NDArray[np.float32]:
    """Folds an embedding into the rows that the sample level adds up, [f, q, W].

    embedding    [q, E]; None: one-hot codes, E = q
    convolution  [f, E, W before]: what each of the f samples adds to the sum
    matrix       [W, W before] of a linear layer after the sum; None: there is none
    """
    rows = None if embedding is None else embedding.astype(np.float64)
    return np.stack([_fold(c, rows, matrix) for c in convolution])


def _fold(convolution: Array, embedding: Array | None, matrix: Array | None) -> NDArray[np.float32]:
    """Folds one of the f samples, [E, W], to [q, W after the layers]. One at a time spares memory."""
    out = convolution.astype(np.float64)
    if embedding is not None:
        out = embedding @ out
    if matrix is not None:
        out = out @ matrix.T
    return out.astype(np.float32)


def fold_input(config: Config, weights: Weights) -> Weights:
    """Folds each tier's input layer into the RNN layers that read it, for nothing nonlinear stands between.

    rnn{l}.input of (A [u, features] + a + c), c being what the tier above hands down, becomes rnn{l}.frame [G*D, n + F]
    of the frame and the features, rnn{l}.condition [G*D, D] of c, and more bias. So c's product can be made before the
    frame is complete, and the top tier needs G*D*n multiplications instead of D*n + G*D*D.
    """
    out = dict(weights)
    for i in range(len(config.frame_sizes)):
        layer = None
        if config.has_input_layer(i):
            a = [out.pop(f"tier{i}.input.weight")]
            if i == 0 and config.features:
                a.append(out.pop("tier0.input.features"))
            layer = np.concatenate(a, 1).astype(np.float64), out.pop(f"tier{i}.input.bias").astype(np.float64)
        for rnn in (f"tier{i}.rnn{k}" for k in range(config.num_rnn_layers)):
            w = out.pop(f"{rnn}.input", None)
            if w is None:
                continue
            out[f"{rnn}.frame"] = w
            if layer is not None:
                out[f"{rnn}.frame"] = w.astype(np.float64) @ layer[0]
                out[f"{rnn}.bias"] = out[f"{rnn}.bias"] + w.astype(np.float64) @ layer[1]
            if i + 1 < len(config.frame_sizes):
                out[f"{rnn}.condition"] = w
    return out


def fold_sample_level(config: Config, weights: Weights) -> tuple[Config, Weights]:
    """Folds the layer after the sum of tables and conditioning into both, while no ReLU follows the sum and that saves
    multiplications. Gives the config and the weights of what is left."""
    out = dict(weights)
    relu, width = list(config.sample_relu), config.mlp_dim
    while len(relu) > 1 and not relu[0]:
        w = out["sample.layer0.weight"].astype(np.float64)
        if w.shape[0] * config.dim > width * config.dim + w.size:
            break
        up, bias = out["tier0.up.weight"].astype(np.float64), out["tier0.up.bias"].astype(np.float64)
        out["tier0.up.weight"] = w @ up
        out["tier0.up.bias"] = bias @ w.T + out["sample.layer0.bias"]
        out["sample.tables"] = out["sample.tables"].astype(np.float64) @ w.T
        relu, width = relu[1:], len(w)
        for k in range(len(relu)):
            for part in ("weight", "bias"):
                del out[f"sample.layer{k}.{part}"]
                if k + 1 < len(relu):
                    out[f"sample.layer{k}.{part}"] = out[f"sample.layer{k + 1}.{part}"]
    return dataclasses.replace(config, sample_relu=relu, mlp_dim=width), out
