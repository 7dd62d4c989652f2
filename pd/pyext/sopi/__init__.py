"""The module of classes that run in Pd: `sopi`, or `pyext` unless another library in this Pd has one of that name.

The modules of this package are compiled into the library sopi, which runs them in the order that the Makefile gives and
calls `_start`, `_open` and the methods of `Box`; they are never imported from these files. `_pyext` is the native half.
Who may call what on which thread is in README.md.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from types import ModuleType
from typing import Any

import _pyext as _pd

from sopi.base import Bundle, _class
from sopi.box import Box, boxes
from sopi.calls import FunctionBox, MethodBox
from sopi.console import Console, report_thread
from sopi.functions import (
    _arraysupport,
    _blocksize,
    _error,
    _getvalue,
    _helppaths,
    _list,
    _priority,
    _samplerate,
    _searchpaths,
    _send,
    _setvalue,
    _tuple,
)
from sopi.modules import add_path
from sopi.values import Buffer, Symbol, _s_, _s_bang, _s_float, _s_int, _s_list, _s_symbol

__all__ = [
    "Buffer", "Bundle", "Symbol", "_arraysupport", "_blocksize", "_class", "_error", "_getvalue", "_helppaths", "_list",
    "_priority", "_s_", "_s_bang", "_s_float", "_s_int", "_s_list", "_s_symbol", "_samplerate", "_searchpaths", "_send",
    "_setvalue", "_tuple",
]  # fmt: skip


def _open(
    handle: Any,
    kind: str,
    module: str,
    name: str,
    args: tuple[Any, ...],
    directory: str,
    inlets: int,
    outlets: int,
    passes_objects: int,
) -> Box | None:
    """Called when Pd makes a box: `kind` is its first word. None if it cannot be made.

    `inlets` is -1 where the class says how many there are. With the numbers given the box is made even if the module
    fails: its cords stay, and `reload` brings it to life.
    """
    box_type = {"py": FunctionBox, "pym": MethodBox}.get(kind, Box)
    box = box_type(handle, module, name, args, directory)
    box.passes_objects = bool(passes_objects)
    if inlets >= 0:
        box.given_counts = inlets, outlets
    if not box.make() and not box.given_counts or not box.read_counts():
        box.delete()  # its instance may have begun something
        return None
    boxes.add(box)
    return box


def _start(library: str) -> None:
    """Called once, when Pd loads the library at folder `library`."""
    sys.stdout = sys.stderr = Console(_pd.console)
    threading.excepthook = report_thread
    sys.setswitchinterval(0.0005)
    if not any(sys.argv):
        sys.argv = ["py/pyext"]
    if "pyext" not in sys.modules:  # a module of its own: another library may put what it likes into it
        sys.modules["pyext"] = ModuleType("pyext", __doc__)
        vars(sys.modules["pyext"]).update({name: globals()[name] for name in __all__})
    sys.path[:0] = filter(None, os.environ.get("SOPI_PYTHONPATH", "").split(os.pathsep))
    add_path(os.path.dirname(library))
    # What classes need is imported now, because later it would stall running audio.
    for name, use in (("numpy", "Buffer and signals need it"), ("sopilib.live", "samplernn needs it")):
        try:
            importlib.import_module(name)
        except BaseException as error:
            what = f"sopi: cannot import {name.split('.')[0]} ({use}): {type(error).__name__}: {error}"
            _pd.error(None, f"{what}; if this folder was moved or renamed, run make play in it")
