"""From the canonical model to the weights that the native engine multiplies with: exact folds, in float64, that save
work; and how many bits they take."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from sopilib.model import Config, Model, shapes
from sopilib.model.quantise import frame_table

if TYPE_CHECKING:
    from sopilib.native import _native

Weights = dict[str, np.ndarray]
LARGE = 1 << 20
"""Weights of the frame tiers beyond which "auto" keeps them in 4 bits: in bytes they no longer fit a core's own cache,
so that a byte costs more than taking it apart."""


def precision(config: Config, asked: str) -> str:
    """What `asked` stands for: "auto" depends on the model's shape alone, so that it sounds the same everywhere."""
    if asked != "auto":
        return asked
    tiers = sum(int(np.prod(s)) for name, s in shapes(config).items() if name.startswith("tier"))
    return "int4" if tiers > LARGE else "int8"


def fold_input(config: Config, weights: Weights) -> Weights:
    """A tier's input layer goes into the RNN layers that read it: nothing nonlinear stands between.

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
    """While no ReLU follows the sum of tables and conditioning, the layer after it goes into both, if that saves
    multiplications."""
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


def native_weights(model: Model, precision: str) -> _native.Weights:
    """The native engine's weights, ready to share between engines. precision: "f32", "int8" or "int4"."""
    from sopilib.native import _native

    config, folded = fold_sample_level(model.config, fold_input(model.config, model.weights))
    arrays = {k: np.ascontiguousarray(w, np.float32) for k, w in folded.items()}
    arrays["seen"] = frame_table(model.config)
    arrays["decode"] = model.decode_table
    return _native.make_weights({**config.to_dict(), "q_zero": config.q_zero}, arrays, precision)
