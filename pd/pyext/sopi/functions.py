"""The functions of the module: what there is in Pd outside the box."""

from __future__ import annotations

from typing import Any

import _pyext as _pd

from sopi.values import numpy_module


def receive_name(name: Any) -> str:
    """`name` itself if it can be a receive name of Pd, that is, text that is not empty. Raises ValueError."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"expected the name of a receiver, found {name!r}")
    return name


def _send(receiver: str, *msg: Any) -> None:
    """Send a message to everything in Pd that receives this name; without `msg` it is a bang.

    Nothing happens if there is no such receiver. It may be called on any thread.
    """
    _pd.send(receive_name(receiver), msg)


def _samplerate() -> float:
    """Pd's sample rate in Hz."""
    return _pd.samplerate()


def _blocksize() -> int:
    """Pd's block size in frames, which is not that of a sub-patch with [block~]."""
    return _pd.blocksize()


def _getvalue(name: str) -> float | None:
    """What the objects [value name] hold, or None if there are none."""
    return _pd.get_value(receive_name(name))


def _setvalue(name: str, x: float) -> None:
    """Set what the objects [value name] hold. Nothing happens if there are none."""
    _pd.set_value(receive_name(name), x)


def _list(*items: Any) -> list[Any]:
    """A list of the arguments, for [py pyext _list]."""
    return list(items)


def _tuple(*items: Any) -> tuple[Any, ...]:
    """A tuple of the arguments, for [py pyext _tuple]."""
    return items


def _arraysupport() -> bool:
    """Whether Buffer and signal vectors work, that is, numpy is installed."""
    try:
        numpy_module()
    except ImportError:
        return False
    return True


def _priority(delta: int) -> bool:
    """Raise the priority of the calling thread by `delta`, or lower it; False if the system refuses."""
    return _pd.priority(delta)


def _searchpaths() -> None:
    """None: Pd does not tell its search path. (The original may.)"""
    return None


def _helppaths() -> None:
    """None: Pd does not tell where it looks for help. (The original may.)"""
    return None


def _error(line: str) -> None:
    """Print a line to Pd's console as an error. A class's own `self._error` names the object too."""
    _pd.error(None, line)
