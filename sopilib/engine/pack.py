"""From the canonical model to the weights that a backend multiplies with: exact folds, in float64, that save work."""

from __future__ import annotations

import numpy as np

from sopilib.model import Config, Model


def fold_input(config: Config, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Features become more columns of the lowest tier's input layer. The top tier's input layer goes into the RNN
    layers that read it: nothing nonlinear stands between, and G*D*n multiplications replace D*n + G*D*D. (The lower
    tiers' inputs also take the tier above; theirs stays.)"""
    top = f"tier{len(config.frame_sizes) - 1}"
    out = dict(weights)
    if config.features:
        out["tier0.input.weight"] = np.concatenate([weights["tier0.input.weight"], out.pop("tier0.input.features")], 1)
    if not config.input_layer:
        return out
    a, b = (out.pop(f"{top}.input.{part}").astype(np.float64) for part in ("weight", "bias"))
    for name in [n for n in weights if n.startswith(top) and n.endswith(".input")]:
        w, bias = weights[name].astype(np.float64), name.removesuffix("input") + "bias"
        out[name] = (w @ a).astype(np.float32)
        out[bias] = (weights[bias] + w @ b).astype(np.float32)
    return out


def native_weights(model: Model, quantised: bool) -> object:
    """The native engine's weights, ready to share between engines."""
    from sopilib.native import _native

    arrays = {k: np.ascontiguousarray(w, np.float32) for k, w in fold_input(model.config, model.weights).items()}
    arrays["decode"] = model.decode_table
    return _native.make_weights({**model.config.to_dict(), "q_zero": model.config.q_zero}, arrays, quantised)
