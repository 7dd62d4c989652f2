"""From a name or a file to a `Model`, and back.

`load` takes a .safetensors file, a folder that holds one, or the name of a model under models/.
"""

from __future__ import annotations

import os
from pathlib import Path

from sopilib.checkpoint import native
from sopilib.checkpoint.native import save
from sopilib.errors import SopiError
from sopilib.model import Model

__all__ = ["available", "find", "load", "models_folders", "save"]


def models_folders() -> list[Path]:
    """Where models are looked up by name: $SOPI_MODELS, ./models, and models/ beside the package."""
    places = [Path(p) for p in os.environ.get("SOPI_MODELS", "").split(os.pathsep) if p]
    return [*places, Path("models"), Path(__file__).resolve().parents[2] / "models"]


def available() -> dict[str, Path]:
    """name -> file of every model that can be loaded by name."""
    found: dict[str, Path] = {}
    for folder in models_folders():
        for path in sorted(folder.glob("*/*.safetensors")):
            if path.stem == path.parent.name:
                found.setdefault(path.stem, path)
    return found


def find(path_or_name: str | Path) -> Path:
    """The file meant by a path or by a name under models/. Raises SopiError naming what there is."""
    path = Path(path_or_name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        inside = sorted(path.glob("*.safetensors"))
        if len(inside) == 1:
            return inside[0]
        raise SopiError(f"{path}: a folder with {len(inside)} .safetensors files, expected one")
    models = available()
    if str(path_or_name) in models:
        return models[str(path_or_name)]
    known = ", ".join(models) or "none"
    raise SopiError(f"{path_or_name}: no such model file, and no model of that name (there is: {known})")


def load(path_or_name: str | Path) -> Model:
    """Loads a model. Needs numpy only; nothing is unpickled. Raises SopiError with what is wrong."""
    return native.load(find(path_or_name))
