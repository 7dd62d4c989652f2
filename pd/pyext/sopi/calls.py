"""[py module function args...] calls a function, [pym method args...] a method of whatever comes in.

Both have a message inlet beside the control inlet, and an outlet for what the call returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sopi.base import _class, box_of
from sopi.box import Box


class Function(_class):
    """The instance of [py]: a message calls the function with it, a bang calls it without arguments, and a bang into
    the left inlet calls it with the arguments of the box."""

    def bang_0(self) -> None:
        self.answer(*box_of(self).args)

    def bang_1(self) -> None:
        self.answer()

    def _anything_1(self, *message: Any) -> None:
        self.answer(*message)

    def answer(self, *args: Any) -> None:
        box = box_of(self)
        box.send(1, (getattr(box.module, box.class_name)(*args),))


class Method(_class):
    """The instance of [pym]: calls the method of the object, number or symbol that comes in, or of the list of
    everything else, with the arguments of the box. A bang into the left inlet calls that of the last one again."""

    last: Any = None

    def bang_0(self) -> None:
        box = box_of(self)
        box.send(1, (getattr(self.last, box.class_name)(*box.args),))

    def py_1(self, value: Any) -> None:
        self.last = value
        self.bang_0()

    float_1 = symbol_1 = py_1

    def _anything_1(self, *message: Any) -> None:
        self.py_1(list(message))


class FunctionBox(Box):
    """A [py] box: `class_name` is the name of the function."""

    def find_class(self) -> type:
        self.described()
        return Function

    def described(self) -> Callable[..., Any]:
        function = getattr(self.module, self.class_name, None)
        if not callable(function):
            raise AttributeError(f"module {self.module_name} has no function {self.class_name}")
        return function


class MethodBox(Box):
    """A [pym] box: `class_name` is the name of the method, and there is no module."""

    def load(self) -> None:
        pass

    def find_class(self) -> type:
        return Method
