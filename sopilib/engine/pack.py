"""From the canonical model to the weights that the native engine multiplies with, and how many bits these take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sopilib.model import Config, Model, frame_table, shapes
from sopilib.model.fold import fold_input, fold_sample_level

if TYPE_CHECKING:
    from sopilib.native import _native

LARGE = 1 << 20
"""Weights of the frame tiers beyond which "auto" keeps them in 4 bits: in bytes they no longer fit a core's own cache,
so that a byte costs more than taking it apart."""


def precision(config: Config, asked: str) -> str:
    """What `asked` stands for. "auto" depends on the model's shape alone, so that a model sounds the same
    everywhere."""
    if asked != "auto":
        return asked
    tiers = sum(int(np.prod(s)) for name, s in shapes(config).items() if name.startswith("tier"))
    return "int4" if tiers > LARGE else "int8"


def folded(model: Model) -> tuple[Config, dict[str, NDArray[np.float32]]]:
    """The config and the arrays that an engine of ours reads anywhere: float32, named as in docs/model.md."""
    config, weights = fold_sample_level(model.config, fold_input(model.config, model.weights))
    arrays = {k: np.ascontiguousarray(w, np.float32) for k, w in weights.items()}
    arrays["seen"] = frame_table(model.config)
    arrays["decode"] = model.decode_table
    return config, arrays


def native_weights(model: Model, precision: str) -> _native.Weights:
    """Packs a model's weights for the native engine; engines share them. `precision` is "f32", "int8" or "int4"."""
    from sopilib.native import _native

    config, arrays = folded(model)
    return _native.make_weights({**config.to_dict(), "q_zero": config.q_zero}, arrays, precision)
