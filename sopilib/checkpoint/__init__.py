"""From a path or a name to a `Model`, and back.

`load` takes our own .safetensors file, a folder that holds one, the name of a model under models/, or a checkpoint of
an older SampleRNN. The older systems' importers, and the readers of their files, are loaded when one is needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sopilib.checkpoint import native
from sopilib.checkpoint.native import save, say_about
from sopilib.errors import SopiError, SopiWarning, one_line
from sopilib.library import find
from sopilib.model import Model

__all__ = ["load", "save", "say_about"]


def _warn(text: str) -> None:
    warnings.warn(text, SopiWarning, stacklevel=3)


def load(path_or_name: str | Path, *, warn: Callable[[str], None] = _warn, **options: Any) -> Model:
    """Loads a model, ours or an older system's. Needs numpy only; nothing is ever executed from the file.

    options  what an older checkpoint doesn't say: the fields of `importers.Options`. They are kept, with all that was
             found and assumed, in model.about["import"].
    warn     called with each thing that had to be assumed; else it is a SopiWarning.

    Raises SopiError with what is wrong.
    """
    try:
        model, imported = _load(find(path_or_name), options)
    except SopiError as e:
        raise SopiError(one_line(str(e))) from None
    except OSError as e:
        raise SopiError(one_line(f"{path_or_name}: can't be read ({e.strerror or e})")) from None
    if imported:
        for text in model.about["import"]["assumed"]:
            warn(one_line(f"{model.name}: {text}"))
    return model


def _load(path: Path, options: dict[str, Any]) -> tuple[Model, bool]:
    """The model, and whether it had to be imported from an older system's checkpoint."""
    if native.recognise(path):
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise SopiError(f"{path}: a sopilib file says everything itself, expected no option {given[0]}")
        return native.load(path), False
    from sopilib.checkpoint import importers

    return importers.load(path, importers.Options.from_dict(options)), True
