"""Where the module of a box is found, and how it is read again."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

import _pyext as _pd

_loaded: dict[str, ModuleType] = {}  # by the real path of their file
_others = set(map(id, sys.modules.values()))  # what another library has imported, whose `pyext` is not ours


def add_path(directory: str) -> None:
    """Let Python look for modules in `directory` too, after all other places."""
    if directory and directory not in sys.path:
        sys.path.append(directory)


def import_for(handle: Any, name: str, directory: str) -> ModuleType:
    """The module `name` of a box in a patch in `directory`, imported once for all boxes.

    It is looked for in the folder of the patch, then in Pd's search path, then where Python finds modules. `name` may
    have folders before it ("sub/module") and submodules behind it ("package.module"). Raises ModuleNotFoundError, or
    what the module itself raises.
    """
    add_path(directory)
    add_path(os.getcwd())
    last = name.rsplit("/", 1)[-1]
    top = last.split(".")[0]
    folder = name[: len(name) - len(last)]
    importlib.invalidate_caches()  # the file may have been written since the last look
    path = None if top in ("pyext", "sopi") else find(handle, folder + top)
    try:
        if path is None:
            module = importlib.import_module(last)
        else:
            module = import_file(top, path)
            if top != last:
                module = importlib.import_module(module.__name__ + last[len(top) :])
    except ModuleNotFoundError as error:
        if error.name == top:
            raise ModuleNotFoundError(
                f"there is no Python module {name} in the patch's folder, Pd's search path or {sys.prefix}"
            ) from None
        raise
    module.__dict__.setdefault("_registry", {})
    return module


def find(handle: Any, name: str) -> str | None:
    """The file of a module in the patch's folder or in Pd's search path; the folder it is in gets into `sys.path`."""
    for inside, ext in ((name, ".py"), (name, ".pyc"), (f"{name}/__init__", ".py")):
        found = _pd.find(handle, inside, ext)
        if found:
            directory, file = found
            add_path(os.path.dirname(directory) if inside != name else directory)
            return os.path.join(directory, file)
    return None


def import_file(name: str, path: str) -> ModuleType:
    """The module in the file `path`. It is called `name`, unless another file's module has that name already."""
    real = os.path.realpath(path)
    if real in _loaded:
        return _loaded[real]
    present = sys.modules.get(name)
    if present is not None:
        if id(present) not in _others and os.path.realpath(getattr(present, "__file__", None) or "") == real:
            return _loaded.setdefault(real, present)
        name = f"{name} in {os.path.dirname(real)}".replace(".", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["_registry"] = {}
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _loaded[real] = module
    return module


def read_again(module: ModuleType) -> None:
    """Run the module's file again in its namespace, so that names which it does not set keep what they were.

    Raises what the module raises; what it had set until then stays set.
    """
    spec = module.__spec__
    loader: Any = spec.loader if spec is not None else None
    if loader is None:
        raise ImportError(f"module {module.__name__} cannot be read again: it is built in")
    path = getattr(module, "__file__", None) or ""
    if path.endswith(".py"):  # not the compiled file, which may be older by less than a file's time tells
        exec(loader.source_to_code(loader.get_data(path), path), module.__dict__)
    else:
        loader.exec_module(module)
