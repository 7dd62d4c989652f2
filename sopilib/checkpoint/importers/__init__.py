"""The older SampleRNNs' checkpoints. Each system has its importer, a module with

NAME                     what the system is called
DESCRIPTION              what files it leaves, for people
recognise(path)          whether the path is one of its checkpoints, by content
load(path, options)      the `Model`, with `Record.about` as about["import"]
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from sopilib.checkpoint.importers import a2aaron, deepsound, prism, theano
from sopilib.checkpoint.importers.record import Options
from sopilib.errors import SopiError
from sopilib.model import Model

__all__ = ["IMPORTERS", "Options", "load"]

IMPORTERS: tuple[ModuleType, ...] = (prism, theano, deepsound, a2aaron)


def load(path: Path, options: Options) -> Model:
    """The model in an older system's checkpoint. Raises SopiError if no importer knows it, and then says what the file
    is and what would be understood."""
    importer = next((i for i in IMPORTERS if i.recognise(path)), None)
    if importer is None:
        raise SopiError(f"{path}: {_describe(path)}, expected a sopilib .safetensors file or {_understood()}")
    return importer.load(path, options)


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
    if os.path.isdir(path):
        return "a folder without a checkpoint"
    with path.open("rb") as file:
        head = file.read(8)
    kind = next((text for start, text in _BEGINNINGS.items() if head.startswith(start)), None)
    return kind or (f"a file that begins with {head!r}" if head else "an empty file")
