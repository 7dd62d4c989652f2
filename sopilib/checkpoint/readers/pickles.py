"""Reads pickles as data: an interpreter of pickle's opcodes that can build nothing but plain values.

Python's own unpickler calls whatever a file names. This one knows a fixed table of names (NumPy's arrays; the torch
files add tensors), each with a function of ours that looks at inert arguments; any other name is an error. Protocols 0
to 5, Python 2 included, whose strings come back as bytes (dictionary keys as str).

Costs are bounded by the file: every opcode adds at most one value, arrays are views of the file's bytes and may not add
up to more than it holds, numbers are short, and containers are not nested deeply.
"""

from __future__ import annotations

import codecs
import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sopilib.errors import SopiError

__all__ = ["Array", "Builder", "Global", "NUMPY", "integers", "read", "read_file"]

_MOST_OPCODES = 2_000_000
_MOST_DIGITS = 64
_MOST_LETTERS = 256
_MOST_AXES = 8
_DEEPEST = 50
_LARGEST_FILE = 4 << 30
_MARK = object()
_DAMAGE = (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error, DeprecationWarning)
"""The last is what Python may say about an escape that Python 2 never writes, if warnings are errors."""

Builder = Callable[..., Any]
"""From a name's inert arguments to an inert value. May raise TypeError or ValueError: wrong arguments."""


@dataclass(frozen=True)
class Global:
    """A class or function that a file names, as a value: nothing but the name, and what stands in for calling it."""

    name: str
    build: Builder | None


@dataclass
class Dtype:
    """The type of an array's numbers. A pickle makes one first and sets its byte order afterwards."""

    code: str
    order: str = "="

    def set_state(self, state: Any) -> None:
        """Takes what the pickle says of the byte order. Raises ValueError if that describes something other than plain
        numbers."""
        version, order, *rest = state
        if version not in (1, 2, 3, 4) or any(field is not None for field in rest[:3]):
            raise ValueError("an array of records")
        self.order = _text(order)
        if self.order not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {self.order!r}")

    @property
    def numpy(self) -> np.dtype[Any]:
        """The same as a NumPy type, its byte order said outright."""
        # a file that names no order was written where little-endian was meant by "="
        return np.dtype((">" if self.order == ">" else "<") + self.code)


@dataclass
class Array:
    """An array of numbers. A pickle makes an empty one first and fills it afterwards."""

    value: NDArray[Any] | None = None

    def set_state(self, state: Any) -> None:
        """Takes shape, type and bytes, of which the array becomes a view. Raises ValueError if they don't fit together
        or are no numbers."""
        shape, dtype, fortran, data = state[-4:]  # before them a version, not in the oldest files
        if not isinstance(dtype, Dtype) or not isinstance(data, bytes):
            raise ValueError("an array of something other than numbers")
        sizes = integers(shape)
        kind = dtype.numpy
        if len(data) != math.prod(sizes) * kind.itemsize:
            raise ValueError(f"{len(data)} bytes for an array of shape {sizes}, {kind}")
        self.value = np.frombuffer(data, kind).reshape(sizes, order="F" if fortran else "C")


def integers(value: Any) -> tuple[int, ...]:
    """A shape or strides as a tuple. Raises ValueError unless it is a short tuple or list of whole numbers from 0 to
    2**48."""
    if (
        not isinstance(value, (tuple, list))
        or len(value) > _MOST_AXES
        or not all(type(n) is int and 0 <= n < 1 << 48 for n in value)
    ):
        raise ValueError("sizes that are none")
    return tuple(value)


def _text(value: Any) -> str:
    """A short text, such as a name."""
    if not isinstance(value, (str, bytes)) or len(value) > _MOST_LETTERS:
        raise TypeError(f"{type(value).__name__} where a short text is expected")
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _dtype(code: Any, *_: Any) -> Dtype:
    text = _text(code)
    if text not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
        raise ValueError(f"numbers of type {text!r}")
    return Dtype(text)


def _scalar(dtype: Any, data: Any) -> float | int:
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes):
        raise TypeError("something other than a number")
    (value,) = np.frombuffer(data, dtype.numpy)
    return value.item()


def _encode(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes in protocols 0 to 2; but none at all as bytes()."""
    if _text(encoding) not in ("latin1", "latin-1") or not isinstance(text, str):
        raise ValueError("bytes in an encoding other than Latin-1")
    return text.encode("latin-1")


NUMPY: dict[str, Builder | None] = {
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": lambda: b"",
    **{f"{module}.multiarray._reconstruct": lambda *_: Array() for module in ("numpy.core", "numpy._core")},
    **{f"{module}.multiarray.scalar": _scalar for module in ("numpy.core", "numpy._core")},
}
"""Names that every reader knows, and what a call of them gives; None: it may be named but not called."""


def read(file: BinaryIO, known: Mapping[str, Builder | None] = NUMPY, persistent: Builder | None = None) -> Any:
    """The value of one pickle, which begins where the file stands; afterwards it stands behind it.

    known       "module.name" -> what stands in for calling it
    persistent  what stands for an object that is stored outside the pickle, from its id

    The value is of None, bool, int, float, str, bytes, list, tuple, dict, `Array` and what builders return.
    Raises SopiError.
    """
    machine = _Machine(file, known, persistent)
    try:
        value = machine.run()
        _check_depth(value)
    except _DAMAGE as e:
        raise SopiError(f"a damaged pickle, or one of something else (near byte {machine.at}: {_reason(e)})") from None
    return value


def read_file(path: Path) -> Any:
    """The value of the one pickle in a file. Raises SopiError if it is damaged, or names something that is not
    known."""
    try:
        with path.open("rb") as file:
            return read(file)
    except OSError as e:
        raise SopiError(f"can't be read ({e})") from None


def _reason(e: Exception) -> str:
    if isinstance(e, KeyError):
        return f"{e.args[0]!r} was never stored"
    if isinstance(e, IndexError):
        return "it takes more values than there are"
    return " ".join(str(e)[:200].split())


class _Machine:
    """Pickle's stack machine. `stack` holds values and marks, `memo` values by number."""

    def __init__(self, file: BinaryIO, known: Mapping[str, Builder | None], persistent: Builder | None) -> None:
        self.file, self.at = file, file.tell()
        self.size = file.seek(0, os.SEEK_END)
        file.seek(self.at)
        self.known, self.persistent = known, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.spent = 0

    def run(self) -> Any:
        if self.size > _LARGEST_FILE:
            raise ValueError(f"{self.size} bytes, more than a checkpoint may have")
        for _ in range(_MOST_OPCODES):
            code = self.file.read(1)
            self.at += 1
            step = _STEPS.get(code)
            if step is not None:
                step(self)
            elif code == b".":
                (value,) = self.stack
                return value
            else:
                raise ValueError(f"opcode {code!r}, which plain data doesn't need" if code else "the file is cut short")
        raise ValueError(f"more than {_MOST_OPCODES} steps")

    # ------------------------------------------------------------ bytes in

    def take(self, n: int) -> bytes:
        if n > self.size - self.at:
            raise ValueError("the file is cut short")
        self.at += n
        return self.file.read(n)

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        text = self.file.readline()
        if not text.endswith(b"\n"):
            raise ValueError("the file is cut short")
        self.at += len(text)
        return text[:-1]

    def digits(self) -> int:
        return _integer(self.line())

    # ------------------------------------------------------------ the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value is expected")
        return value

    def pop_to_mark(self) -> list[Any]:
        for k in range(len(self.stack) - 1, -1, -1):
            if self.stack[k] is _MARK:
                values = self.stack[k + 1 :]
                del self.stack[k:]
                return values
        raise ValueError("no mark")

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"{type(self.stack[-1]).__name__} where a {kind.__name__} is expected")
        return self.stack[-1]

    def store(self, number: int) -> None:
        if self.stack[-1] is _MARK:
            raise ValueError("a mark where a value is expected")
        self.memo[number] = self.stack[-1]

    # ------------------------------------------------------------ opcodes with more than one step

    def string_line(self) -> None:
        text = self.line().strip()
        if len(text) < 2 or text[:1] not in b"'\"" or text[:1] != text[-1:]:
            raise ValueError("a text without quotes")
        self.push(codecs.escape_decode(text[1:-1])[0])

    def int_line(self) -> None:
        text = self.line()
        self.push({b"00": False, b"01": True}.get(text, _integer(text)))

    def long(self, n: int) -> None:
        if n > _MOST_DIGITS:
            raise ValueError(f"a number of {n} bytes")
        self.push(int.from_bytes(self.take(n), "little", signed=True))

    def append(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, into: dict[Any, Any], values: list[Any]) -> None:
        if len(values) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(values[::2], values[1::2]):
            if isinstance(key, bytes):
                key = key.decode("latin-1")
            # numbers are kept small, since there are as many large ones of equal hash as one likes
            if not isinstance(key, (str, int)) or (isinstance(key, int) and abs(key) >= 1 << 63):
                raise TypeError(f"a {type(key).__name__} as a key")
            into[key] = value

    def fresh_dict(self) -> None:
        values: dict[Any, Any] = {}
        self.set_items(values, self.pop_to_mark())
        self.push(values)

    def set_items_on_top(self, values: list[Any]) -> None:
        self.set_items(self.top(dict), values)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items_on_top([key, value])

    def tuple_of(self, n: int) -> None:
        values = [self.pop() for _ in range(n)]
        self.push(tuple(values[::-1]))

    def name(self, module: str, attribute: str) -> None:
        full = f"{module}.{attribute}"
        if full not in self.known:
            raise ValueError(f"it refers to {full!r}, which is no array or plain container and is not run")
        self.push(Global(full, self.known[full]))

    def global_lines(self) -> None:
        self.name(self.line().decode(), self.line().decode())

    def global_stack(self) -> None:
        attribute, module = _text(self.pop()), _text(self.pop())
        self.name(module, attribute)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Global) or function.build is None or not isinstance(arguments, tuple):
            raise TypeError("a call of something that is none")
        value = function.build(*arguments)
        if isinstance(value, bytes):
            self.spend(len(value))
        self.push(value)

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, dict):
            return  # attributes of an ordered dictionary
        if not isinstance(target, (Array, Dtype)) or not isinstance(state, tuple):
            raise TypeError("a state for something that has none")
        target.set_state(state)
        if isinstance(target, Array):
            assert target.value is not None
            self.spend(target.value.nbytes)

    def spend(self, n: int) -> None:
        """Counts bytes of arrays and of what they are made from, since a file can name the same bytes any number of
        times. Raises ValueError if they come to more than the file can hold."""
        self.spent += n
        if self.spent > 2 * self.size:
            raise ValueError("arrays that hold more than the file")

    def persistent_object(self, identity: Any) -> None:
        if self.persistent is None:
            raise ValueError("it refers to an object outside the file")
        self.push(self.persistent(identity))


def _integer(text: bytes) -> int:
    """Of decimal digits, as a long of Python 2 with an L behind them."""
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text.removesuffix(b"L"))


def _get(number: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.memo[number(m)])


def _put(number: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda m: m.store(number(m))


def _bytes(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.take(m.number(form)))


def _unicode(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.take(m.number(form)).decode("utf-8", "surrogatepass"))


def _value(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.number(form))


def _constant(value: Any) -> Callable[[_Machine], None]:
    return lambda m: m.push(value)


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # protocol
    b"\x95": lambda m: m.take(8),  # frame
    b"(": _constant(_MARK),
    b"0": lambda m: m.stack.pop(),
    b"1": lambda m: m.pop_to_mark(),
    b"2": lambda m: m.push(m.stack[-1]),
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"I": _Machine.int_line,
    b"J": _value("<i"),
    b"K": _value("<B"),
    b"M": _value("<H"),
    b"L": lambda m: m.push(m.digits()),
    b"\x8a": lambda m: m.long(m.number("<B")),
    b"\x8b": lambda m: m.long(m.number("<I")),
    b"F": lambda m: m.push(float(m.line())),
    b"G": _value(">d"),
    b"S": _Machine.string_line,
    b"T": _bytes("<I"),
    b"U": _bytes("<B"),
    b"B": _bytes("<I"),
    b"C": _bytes("<B"),
    b"\x8e": _bytes("<Q"),
    b"V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
    b"X": _unicode("<I"),
    b"\x8c": _unicode("<B"),
    b"\x8d": _unicode("<Q"),
    b"l": lambda m: m.push(m.pop_to_mark()),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.append([m.pop()]),
    b"e": lambda m: m.append(m.pop_to_mark()),
    b"d": _Machine.fresh_dict,
    b"}": lambda m: m.push({}),
    b"s": _Machine.set_item,
    b"u": lambda m: m.set_items_on_top(m.pop_to_mark()),
    b"t": lambda m: m.push(tuple(m.pop_to_mark())),
    b")": _constant(()),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"g": _get(_Machine.digits),
    b"h": _get(lambda m: m.number("<B")),
    b"j": _get(lambda m: m.number("<I")),
    b"p": _put(_Machine.digits),
    b"q": _put(lambda m: m.number("<B")),
    b"r": _put(lambda m: m.number("<I")),
    b"\x94": _put(lambda m: len(m.memo)),
    b"c": _Machine.global_lines,
    b"\x93": _Machine.global_stack,
    b"R": _Machine.call,
    b"b": _Machine.build,
    b"P": lambda m: m.persistent_object(m.line()),
    b"Q": lambda m: m.persistent_object(m.pop()),
}
"""Each opcode of protocols 0 to 5 that plain data needs. Not here: those that make objects, extensions and sets."""


def _check_depth(value: Any) -> None:
    """Raises ValueError if containers are nested deeply, or without end since one holds itself."""
    done: set[int] = set()
    path = [(value, _parts(value))]
    while path:
        container, parts = path[-1]
        for part in parts:
            if isinstance(part, (list, tuple, dict)) and id(part) not in done:
                path.append((part, _parts(part)))
                break
        else:
            path.pop()
            done.add(id(container))
        if len(path) > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} containers within each other, or one that holds itself")


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value) if isinstance(value, (list, tuple)) else iter(())
