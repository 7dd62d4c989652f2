"""From a path or a name to a `Model`, and back.

`load` takes our own .safetensors file, a folder that holds one, the name of a model under models/, or a checkpoint of
an older SampleRNN. Each of these has its importer, a module with
    NAME                     what the system is called
    DESCRIPTION              what files it leaves, for people
    recognise(path)          whether the path is one of its checkpoints, by content
    load(path, options)      -> Model, with `Record.about` as about["import"]
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sopilib.checkpoint import a2aaron, deepsound, native, prism, theano
from sopilib.checkpoint.importing import Options
from sopilib.checkpoint.native import save
from sopilib.errors import SopiError, SopiWarning, one_line
from sopilib.model import Model

__all__ = ["IMPORTERS", "Options", "available", "exists", "find", "load", "models_folders", "save"]

IMPORTERS: tuple[ModuleType, ...] = (prism, theano, deepsound, a2aaron)


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


def exists(path: Path) -> bool:
    """Whether there is a file or folder, or a TensorFlow checkpoint with this prefix."""
    return os.path.exists(path) or prism.is_prefix(path)


def find(path_or_name: str | Path) -> Path:
    """The file, folder or prefix meant by a path or by a name under models/. Raises SopiError naming what there is."""
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
    known = ", ".join(models) or "none"
    raise SopiError(f"{path_or_name}: no such model file, and no model of that name (there is: {known})")


def _warn(text: str) -> None:
    warnings.warn(text, SopiWarning, stacklevel=3)


def load(path_or_name: str | Path, *, warn: Callable[[str], None] = _warn, **options: Any) -> Model:
    """Loads a model, ours or an older system's. Needs numpy only; nothing is ever executed from the file.

    options  what an older checkpoint doesn't say: the fields of `Options`. Kept, with all that was found and assumed,
             in model.about["import"].
    warn     called with each thing that had to be assumed; else it is a SopiWarning.

    Raises SopiError with what is wrong.
    """
    try:
        model, imported = _load(find(path_or_name), Options.from_dict(options))
    except SopiError as e:
        raise SopiError(one_line(str(e))) from None
    except OSError as e:
        raise SopiError(one_line(f"{path_or_name}: can't be read ({e.strerror or e})")) from None
    if imported:
        for text in model.about["import"]["assumed"]:
            warn(one_line(f"{model.name}: {text}"))
    return model


def _load(path: Path, options: Options) -> tuple[Model, bool]:
    """-> the model, and whether it had to be imported."""
    if native.recognise(path):
        given = options.given()
        if given:
            raise SopiError(f"{path}: a sopilib file says everything itself, expected no option {next(iter(given))}")
        return native.load(path), False
    importer = next((i for i in IMPORTERS if i.recognise(path)), None)
    if importer is None:
        raise SopiError(f"{path}: {_describe(path)}, expected a sopilib .safetensors file or {_understood()}")
    return importer.load(path, options), True


def _understood() -> str:
    return "; ".join(f"{i.NAME}: {i.DESCRIPTION}" for i in IMPORTERS)


_BEGINNINGS = {
    b"RIFF": "a WAV or other RIFF file",
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    b"\x89HDF": "an HDF5 (Keras .h5) file",
    b"PK": "a ZIP archive of something else, or cut short",
    b"\x80": "a pickle of something else",
}


def _describe(path: Path) -> str:
    """What a path that nobody recognises is."""
    if path.is_dir():
        return "a folder without a checkpoint"
    with path.open("rb") as file:
        head = file.read(8)
    kind = next((text for start, text in _BEGINNINGS.items() if head.startswith(start)), None)
    return kind or (f"a file that begins with {head!r}" if head else "an empty file")
