"""What classes handle besides numbers and text: Pd's symbols and arrays."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Iterator
from typing import Any

import _pyext as _pd


def numpy_module() -> Any:
    """NumPy, which is imported when it is first needed. Raises ImportError if it is not installed."""
    return importlib.import_module("numpy")


class Symbol(str):
    """A name of Pd. It is a `str` in all respects, so `Symbol("a") == "a"` is true. Pd's symbols arrive as this."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Symbol {self}>"

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # other processes have no `pyext`


class Buffer:
    """A named array of Pd: one dimension of `float32` numbers.

    On Pd's thread a slice is a view of the array itself: call `dirty()` after writing to it, and do not keep it
    when the array is resized. On any other thread reading makes a copy, and Pd does the writing within about a
    millisecond; the caller waits for it, so it must hold no lock that Pd's thread may want. An array that was changed
    is redrawn when the last reference to the Buffer goes. If there is no array of that name, `len` is 0, a slice is
    None, a single frame raises IndexError, and writing raises ValueError.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"Buffer: expected the name of an array, found {name!r}")
        self._name = Symbol(name)
        self._dirty = False

    @property
    def symbol(self) -> Symbol:
        """The name of the array."""
        return self._name

    def __len__(self) -> int:
        return max(0, _pd.array_size(self._name))

    def resize(self, frames: int, keep: bool = True, zero: bool = True) -> Buffer:
        """Make the array `frames` long (at least 1) and return this Buffer.

        New frames are 0, and without `keep` all frames are. `zero` is there for compatibility: Pd always does it.
        Raises ValueError if there is no such array.
        """
        if not _pd.array_resize(self._name, max(1, int(frames)), keep):
            raise self._missing()
        return self

    def dirty(self) -> None:
        """Have the array redrawn when this Buffer goes: for after writing to a view of it."""
        self._dirty = True

    def __getitem__(self, key: Any) -> Any:
        data = self._data()
        if isinstance(key, slice):
            return None if data is None else data[key]
        if data is None:
            raise IndexError(f"there is no array {self._name}")
        return float(data[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        numpy = numpy_module()
        frames = _pd.array_size(self._name)
        if frames < 0:
            raise self._missing()
        if isinstance(key, slice):
            start, stop, step = key.indices(frames)
            room = len(range(start, stop, step))
        else:
            start, step, room = operator.index(key), 1, 1
            start += frames if start < 0 else 0
            if not 0 <= start < frames:
                raise IndexError(f"array {self._name} has {frames} frames, there is no {key}")
        values = numpy.asarray(value, numpy.float32)
        if values.ndim > 1:
            raise ValueError(f"array {self._name} has one dimension, found {values.ndim}")
        values = numpy.full(room, values) if values.ndim == 0 else values[:room]
        _pd.array_write(self._name, start, step, numpy.ascontiguousarray(values))
        self._dirty = True

    def __iter__(self) -> Iterator[float]:
        data = self._data()
        return iter(() if data is None else data.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        data = self._data()
        if data is None:
            raise self._missing()
        if copy is False and dtype not in (None, data.dtype):
            raise ValueError(f"an array of Pd is {data.dtype}: another dtype needs a copy")
        return data.astype(dtype or data.dtype, copy=bool(copy))

    def __del__(self) -> None:
        if getattr(self, "_dirty", False):
            _pd.array_redraw(self._name)

    def _data(self) -> Any:
        """The frames: a view on Pd's thread, a copy elsewhere, None if there is no such array."""
        numpy = numpy_module()
        if _pd.pd_thread():
            memory = _pd.array_memory(self._name)
            if memory is None:
                return None
            return numpy.ndarray(len(memory) // _pd.word_bytes, f"f{_pd.sample_bytes}", memory, 0, _pd.word_bytes)
        data = _pd.array_read(self._name)
        return None if data is None else numpy.frombuffer(bytearray(data), numpy.float32)

    def _missing(self) -> ValueError:
        return ValueError(f"Buffer: there is no array {self._name}; make one with [array define {self._name}]")

    def _operate(self, function: Callable[..., Any], *others: Any) -> Any:
        data = self._data()
        if data is None:
            raise self._missing()
        return function(data, *(o._data() if isinstance(o, Buffer) else o for o in others))

    def _operate_in_place(self, function: Callable[..., Any], other: Any) -> Any:
        result = self._operate(function, other)
        if not _pd.pd_thread():
            self[:] = result
        self._dirty = True
        return result


def _give_operators(cls: type) -> None:
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        function, in_place = getattr(operator, name), getattr(operator, f"i{name}")
        setattr(cls, f"__{name}__", lambda self, other, f=function: self._operate(f, other))
        setattr(cls, f"__r{name}__", lambda self, other, f=function: self._operate(lambda a, b: f(b, a), other))
        setattr(cls, f"__i{name}__", lambda self, other, f=in_place: self._operate_in_place(f, other))
    for name in ("abs", "neg", "pos"):
        setattr(cls, f"__{name}__", lambda self, f=getattr(operator, name): self._operate(f))


_give_operators(Buffer)


_s_ = Symbol("")
_s_bang = Symbol("bang")
_s_list = Symbol("list")
_s_symbol = Symbol("symbol")
_s_float = Symbol("float")
_s_int = Symbol("int")
