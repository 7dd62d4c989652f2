"""Python objects that travel from box to box (`@py 1`): Pd carries a number, and the object waits here."""

from __future__ import annotations

import itertools
from numbers import Real
from typing import Any

MOST = 1024  # objects that are kept: a message takes no time, so this is plenty
LAST = 1 << 24  # their numbers go round after this one: a float of Pd holds it exactly

_kept: dict[int, Any] = {}  # by number, the oldest first
_numbers = itertools.cycle(range(1, LAST + 1))


class Gone(LookupError):
    """The object is not kept any more."""


def is_plain(value: Any) -> bool:
    """Whether a value can be said in a message of Pd: nothing, a number, text, or a list or tuple of these."""
    if isinstance(value, list | tuple):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], list | tuple):
            return is_plain(value[1])
        return all(isinstance(item, Real | str) for item in value)
    return value is None or isinstance(value, Real | str)


def keep(value: Any) -> int:
    """Keep `value` for a while, and return the number under which it travels."""
    number = next(_numbers)
    _kept[number] = value
    while len(_kept) > MOST:
        _kept.pop(next(iter(_kept)), None)
    return number


def take(number: Any) -> Any:
    """The object that travels under `number`. Raises Gone."""
    try:
        return _kept[int(number)]
    except (KeyError, TypeError, ValueError):
        raise Gone(f"the Python object {number} is gone: only the last {MOST} are kept") from None
