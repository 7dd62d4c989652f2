"""The leftmost inlet: messages to the box, which the class doesn't get.

`reload`, `stop`, `detach` and `respond` are handled in object.cpp, on Pd's thread.
"""

from __future__ import annotations

import inspect
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import _pyext as _pd

if TYPE_CHECKING:
    from sopi.box import Box

ATTRIBUTES = ("args", "detach", "py", "respond")

HELP = """[pyext module class arguments...] is an instance of a Python class that inherits pyext._class.
[py module function arguments...] calls a function, [pym method arguments...] a method of what it gets.
Messages to this inlet: reload [arguments...], reload., doc, doc+, dir, dir+, get name, set name value...,
edit, stop [ms], detach 0|1|2, respond 0|1, py 0|1, args..., getattributes, getmethods.
The class gets what comes to the next inlets. The rightmost outlet answers."""


def get_attribute(box: Box, name: str = "", *_: Any) -> None:
    """`get name`: answers `get name value...`. Raises AttributeError."""
    if not hasattr(box.instance, name):
        raise AttributeError(f"get: there is no attribute {name!r}")
    value = getattr(box.instance, name)
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    box.dump("get", name, *values)


def set_attribute(box: Box, name: str = "", *values: Any) -> None:
    """`set name value...`: one value is set as it is, several as a tuple. Raises AttributeError."""
    if name.startswith("_") or not hasattr(box.instance, name):
        raise AttributeError(f"set: there is no attribute {name!r} that may be set")
    setattr(box.instance, name, values[0] if len(values) == 1 else values)


def edit(box: Box, *_: Any) -> None:
    """`edit`: opens the module in $EDITOR."""
    path = box.module and inspect.getsourcefile(box.module)
    if path:
        subprocess.Popen([*shlex.split(os.environ.get("EDITOR", "idle")), path])


def set_args(box: Box, *args: Any) -> None:
    """`args ...`: the arguments from the next `reload.` on."""
    box.args = args


def set_py(box: Box, on: Any = 1, *_: Any) -> None:
    """`py 1`: values that Pd doesn't know go out as Python objects, for other boxes."""
    box.passes_objects = bool(on)


def show_doc(box: Box, thing: Any) -> None:
    show(inspect.getdoc(thing) or f"{box.name}: no documentation")


def show(text: str) -> None:
    for line in text.splitlines():
        _pd.console(line)


ELSEWHERE = ("reload", "reload.", "stop", "detach", "respond")
"""The messages that object.cpp handles."""

METHODS: dict[str, Callable[..., None]] = {
    "doc": lambda box, *_: show_doc(box, box.module),
    "doc+": lambda box, *_: show_doc(box, box.described()),
    "dir": lambda box, *_: box.dump("dir", *dir(box.module)),
    "dir+": lambda box, *_: box.dump("dir+", *dir(box.described())),
    "get": get_attribute,
    "set": set_attribute,
    "edit": edit,
    "help": lambda box, *_: show(HELP),
    "args": set_args,
    "py": set_py,
    "getattributes": lambda box, *_: box.dump("attributes", *ATTRIBUTES),
    "getmethods": lambda box, *_: box.dump("methods", *ELSEWHERE, *METHODS),
    "getargs": lambda box, *_: box.dump("args", *box.args),
    "getdetach": lambda box, *_: box.dump("detach", _pd.detach(box.handle)),
    "getrespond": lambda box, *_: box.dump("respond", int(_pd.respond(box.handle))),
    "getpy": lambda box, *_: box.dump("py", int(box.passes_objects)),
}
"""The messages, with what handles them: called with the box and the message's arguments."""


def handle(box: Box, selector: str, args: tuple[Any, ...]) -> None:
    """A message to the leftmost inlet."""
    method = METHODS.get(selector)
    if method is None:
        box.error(f"the control inlet does not know '{selector}'; messages for the class go to the next inlets")
        return
    try:
        method(box, *args)
    except BaseException as error:
        box.report(error, selector)
