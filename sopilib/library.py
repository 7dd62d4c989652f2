"""Names of models -> files: where models lie, and which of them a name or a path means."""

from __future__ import annotations

import os
from pathlib import Path

from sopilib import shipped
from sopilib.errors import SopiError

__all__ = ["available", "exists", "find", "missing", "models_folders", "own_folders"]

COME_ALONG = ("drums", "piano", "tabla", "voice")
"""The models of a checkout and of the wheel. A package for Pd's menu has only one of them."""


def models_folders() -> list[Path]:
    """Where models are looked up by name: $SOPI_MODELS, ./models, and those that come along. What the variable names
    is looked at beside the others, not in their place."""
    return [*own_folders(), Path("models"), shipped.ROOT / "models"]


def own_folders() -> list[Path]:
    """The folders that $SOPI_MODELS names."""
    return [Path(os.path.expanduser(p)) for p in os.environ.get("SOPI_MODELS", "").split(os.pathsep) if p]


def available() -> dict[str, Path]:
    """The file of every model that can be loaded by its name, by that name; of two with one name, the one whose folder
    `models_folders` gives first. A folder that is given may also be that of one model."""
    found: dict[str, Path] = {}
    for folder in models_folders():
        for path in (*sorted(folder.glob("*/*.safetensors")), folder / f"{folder.name}.safetensors"):
            if not os.path.isfile(path):
                continue
            if path.stem == path.parent.name:
                found.setdefault(path.stem, path)
    return found


def missing() -> dict[str, str]:
    """Of the models that come along, those that are not here -> how to get them, in words."""
    there = available()
    how = "comes with sopilib's wheel and not with this package: put its folder models/{} into {}"
    return {name: how.format(name, shipped.ROOT / "models") for name in COME_ALONG if name not in there}


def exists(path: Path) -> bool:
    """Whether `path` is a file, a folder, or what the names of a TensorFlow checkpoint's files begin with."""
    return os.path.exists(path) or os.path.isfile(f"{path}.index")


def find(path_or_name: str | Path) -> Path:
    """The file, folder or TensorFlow prefix that a path or the name of a model means. Raises SopiError, which names the
    models that there are, if it means none."""
    path = Path(os.path.expanduser(path_or_name))
    if os.path.isdir(path):
        inside = sorted(path.glob("*.safetensors"))
        if len(inside) > 1:
            raise SopiError(f"{path}: a folder with {len(inside)} .safetensors files, expected one: name it")
        return inside[0] if inside else path
    if exists(path):
        return path
    models = available()
    if str(path_or_name) in models:
        return models[str(path_or_name)]
    if how := missing().get(str(path_or_name)):
        raise SopiError(f"{path_or_name}: {how}")
    known = ", ".join(models) or "none"
    raise SopiError(f"{path_or_name}: no such model file, and no model of that name (there is: {known})")
