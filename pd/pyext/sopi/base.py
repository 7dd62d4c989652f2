"""`_class`, from which the classes of boxes inherit, and `Bundle`.

A class of a user's may have attributes of any name. So nothing of ours is stored in an instance: which box it belongs
to is known by `box_of`, and what is read like an attribute gives way to an attribute of the user's.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import _pyext as _pd

from sopi import functions

if TYPE_CHECKING:
    from sopi.box import Box

_owners: dict[int, tuple[weakref.ref[Any], Box]] = {}  # by the id of the instance, which lives as long as its entry


def give_box(instance: Any, box: Box) -> None:
    """From now on `box_of(instance)` is `box`."""
    key = id(instance)
    _owners[key] = weakref.ref(instance, lambda _: _owners.pop(key, None)), box


def box_of(instance: Any) -> Box:
    """The box that `instance` was made for. Raises RuntimeError for an instance that Pd has not made."""
    owner = _owners.get(id(instance))
    if owner is None:
        name = type(instance).__name__
        raise RuntimeError(f"this {name} belongs to no Pd object: only [pyext] makes one that does")
    return owner[1]


class _FromBox:
    """What is read from the box like an attribute, unless the instance or its class has an attribute of that name."""

    def __init__(self, description: str, read: Callable[[Box], Any]) -> None:
        self.__doc__ = description
        self._read = read

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        try:
            box = box_of(instance)
        except RuntimeError as error:
            raise AttributeError(str(error)) from None
        return self._read(box)


class _class:
    """The base of the classes that [pyext module class] makes.

    A class sets `_inlets` and `_outlets` (numbers, or callables without arguments that return them), at the latest
    in `__init__`. A message to an inlet calls the method that `sopi.dispatch.find` chooses by its name.
    """

    _inlets: Any = 0
    _outlets: Any = 0

    _send = staticmethod(functions._send)
    _samplerate = staticmethod(functions._samplerate)
    _blocksize = staticmethod(functions._blocksize)
    _getvalue = staticmethod(functions._getvalue)
    _setvalue = staticmethod(functions._setvalue)
    _list = staticmethod(functions._list)
    _tuple = staticmethod(functions._tuple)
    _arraysupport = staticmethod(functions._arraysupport)
    _priority = staticmethod(functions._priority)
    _searchpaths = staticmethod(functions._searchpaths)
    _helppaths = staticmethod(functions._helppaths)

    def __init__(self, *args: Any) -> None:
        pass

    def _outlet(self, n: int, *msg: Any) -> None:
        """Send `msg` to message outlet `n`, counted from 1. It may be called on any thread.

        Raises ValueError if there is no such outlet, and RuntimeError if the object is gone.
        """
        n = operator.index(n)
        if n < 1:
            raise ValueError(f"_outlet: outlets count from 1, found {n}")
        box_of(self).send(n, msg)

    def _tocanvas(self, *msg: Any) -> None:
        """Send a message to the patch that holds the box: `self._tocanvas("obj", 150, 180, "print")` makes a box there.

        The first symbol is the selector. It may be called on any thread.
        """
        _pd.tocanvas(box_of(self).handle, msg)

    def _bind(self, name: str, function: Callable[..., Any]) -> None:
        """Call `function` with each message that is sent to the receive name `name`."""
        box_of(self).bind(functions.receive_name(name), function)

    def _unbind(self, name: str, function: Callable[..., Any]) -> None:
        """Undo `_bind`. Raises ValueError if `function` is not bound to `name`."""
        box_of(self).unbind(functions.receive_name(name), function)

    def _detach(self, value: int) -> None:
        """Where methods run. 0: on Pd's thread, 1: on one thread for all objects, 2: on a thread of its own each."""
        _pd.set_detach(box_of(self).handle, value)

    def _stop(self, ms: float = 100) -> None:
        """Ask detached methods to end, and return at once.

        `_shouldexit` is true until the next one starts, and none starts before `ms` are over: those whose turn comes
        until then are dropped.
        """
        _pd.stop(box_of(self).handle, ms)

    def _error(self, line: str) -> None:
        """Print a line as an error of this object, so that Pd's "find last error" finds it. Not in the original."""
        box_of(self).error(line)

    def _say(self, line: str, is_error: bool, outlet: int, outer: int) -> None:
        """Print a line, as an error or not, that message outlet `outlet` gets as well, unless a [print] hangs there: at
        the outlet of this box, or of its abstraction, where it is the one at `outer` from 0. Not in the original."""
        _pd.say(box_of(self).handle, f"{box_of(self).name}: {line}", is_error, outlet, outer)

    def _rings(self, out: Any = None, inp: Any = None, tick_outlet: int = 0, channels: int = 0) -> None:
        """Let audio go through rings instead of `_signal`: see README.md, ring mode. Not in the original.

        `out`, `inp`: capsules of sopilib, or None. `tick_outlet`: the message outlet that gets `tick` at each of
        `out`'s ticks, or 0 for none. `channels`: how many of a box with `@multichannel 1` go out from now on; 0: as
        before. It may be called on any thread. Raises ValueError for anything that is no ring.
        """
        _pd.rings(box_of(self).handle, out, inp, tick_outlet, channels)

    def _invec(self, i: int) -> Any:
        """Signal inlet `i`, counted from 0, as a float32 vector; None if the box has no audio.

        For use in `_dsp` and `_signal` only. Raises IndexError if there is no such inlet.
        """
        box = box_of(self)
        return box.vector(_pd.invec(box.handle, i))

    def _outvec(self, i: int) -> Any:
        """Signal outlet `i`, counted from 0: as `_invec`."""
        box = box_of(self)
        return box.vector(_pd.outvec(box.handle, i))

    _shouldexit = _FromBox("Whether a detached method is to end.", lambda box: _pd.should_exit(box.handle))
    _isthreaded = _FromBox("True: methods can be detached.", lambda box: True)
    _paths = _FromBox(
        "The folders in which Pd looks for files, those that the patch declares first; for `__init__` and "
        "`_init`. Not in the original.",
        lambda box: _pd.paths(box.handle),
    )
    _canvas_dir = _FromBox("The folder of the patch that holds the box.", lambda box: box.patch_directory)
    _this = _FromBox("A number that no other object has.", lambda box: _pd.address(box.handle))
    _time = _FromBox(
        "The host frame at which the message arrived that is being handled, and elsewhere that of now. None without "
        "rings. Not in the original.",
        lambda box: box.time(),
    )
    _signals = _FromBox(
        "How many signal inlets and signal outlets the box has, for `__init__` and `_init`. Not in the original.",
        lambda box: _pd.signals(box.handle),
    )
    _multichannel = _FromBox(
        "Whether the signal outlets are the channels of one, as `@multichannel 1` asks for; for `__init__` and "
        "`_init`. Not in the original.",
        lambda box: _pd.multichannel(box.handle),
    )


class Bundle:
    """Messages that Pd delivers together, at one logical time: `append` some, then `send` once."""

    def __init__(self) -> None:
        self._items: list[tuple[Any, ...]] | None = []

    def append(self, target: Any, *msg: Any) -> None:
        """Add a message: `append(receiver, *msg)` or `append(obj, outlet, *msg)`. Raises RuntimeError after `send`."""
        items = self._unsent()
        if isinstance(target, _class):
            items.append((box_of(target).handle, operator.index(msg[0]), msg[1:]))
        else:
            items.append((functions.receive_name(target), msg))

    def send(self) -> None:
        """Deliver all messages. Raises RuntimeError the second time."""
        items, self._items = self._unsent(), None
        _pd.bundle(items)

    def _unsent(self) -> list[tuple[Any, ...]]:
        if self._items is None:
            raise RuntimeError("Bundle: it was sent already, make a new one")
        return self._items
