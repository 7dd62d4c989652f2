"""Which method a message calls. Knows nothing of Pd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sopi.values import _s_

VALUES = ("float", "int", "symbol", "list", "pointer")
"""Selectors of messages that are only values: `_anything` methods do not get these selectors."""

OBJECT = " py "
"""The selector of a message that carries a Python object."""


def find(
    instance: Any, n: int, selector: str, args: tuple[Any, ...]
) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    """The method of `instance` for a message to inlet `n`, and its arguments; None if there is none.

    For a message `s 1 2` to inlet 1 these are tried: s_1(1, 2), _anything_1(s, 1, 2), s_(1, 1, 2) and
    _anything_(1, s, 1, 2). A single number, `float 3`, also calls int_1(3) and int_(3), after the methods named float.
    A Python object calls py_1(object) or _anything_1(object).
    """

    def method(name: str) -> Callable[..., Any] | None:
        found: Callable[..., Any] | None = getattr(instance, name, None)
        return found

    number = selector == "float" and len(args) == 1
    full = args if selector in VALUES or selector == OBJECT else (selector, *args)
    name = "py" if selector == OBJECT else selector
    if found := method(f"{name}_{n}"):
        return found, args
    if number and (found := method(f"int_{n}")):
        return found, (int(args[0]),)
    if found := method(f"_anything_{n}"):
        return found, full
    if found := method(f"{name}_"):
        return found, (n, *args)
    if number and (found := method("int_")):
        return found, (int(args[0]),)
    if found := method("_anything_"):
        return found, (n, selector, _s_) if selector == "bang" and not args else (n, *full)
    return None


def as_text(selector: str, args: tuple[Any, ...]) -> str:
    """The message as Pd prints it."""
    return " ".join(str(a) for a in (args if selector in VALUES else (selector, *args)))
