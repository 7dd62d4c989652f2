"""A model that plays at temperature 1 and at 0.5 is soon caught, in silence or in a tone."""

from __future__ import annotations

from pathlib import Path

import sopilib

SEED = 4
"""With this seed, after a second and a half at temperature 1, it is so within four seconds, in int8 and in int4."""


def model() -> sopilib.Model:
    """The tabla, to which the code of silence is more likely than it was taught."""
    tabla = sopilib.load("tabla")
    tabla.weights["sample.layer1.bias"] = tabla.weights["sample.layer1.bias"].copy()
    tabla.weights["sample.layer1.bias"][tabla.config.q_zero] += 1
    del tabla.about["stillness"]  # no drone is a trap then
    return tabla


def file(folder: Path) -> Path:
    """It, as a file in this folder."""
    path = folder / "is-caught.safetensors"
    sopilib.checkpoint.save(model(), path)
    return path
