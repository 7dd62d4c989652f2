"""The module `pyext` of classes that run in Pd, and the Python half of each [pyext] box.

Compiled into the library py, which calls `_start`, `_open` and the methods of `_Box`; it is never
imported from this file. `_pyext` is the native half. Who may call what on which thread: README.md.
"""

from __future__ import annotations

import importlib
import inspect
import io
import operator
import os
import shlex
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import _pyext as _pd  # type: ignore[import-not-found]

__all__ = ["Buffer", "Bundle", "Symbol"]

Number = int | float


# ---------------------------------------------------------------- types


class Symbol(str):
    """A name of Pd. It is a `str` in all respects, so `Symbol("a") == "a"`; Pd's symbols arrive as this."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Symbol {self}>"

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # other processes have no `pyext`


class Buffer:
    """A named array of Pd, `float32`, one-dimensional.

    On Pd's thread slices are views of the array itself: call `dirty()` after writing to one, and do not
    keep it over a resize. On other threads reading copies, and writing is done by Pd within about a
    millisecond. A changed array is redrawn when the Buffer is let go.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"Buffer: expected the name of an array, found {name!r}")
        self._name = Symbol(name)
        self._dirty = False

    @property
    def symbol(self) -> Symbol:
        return self._name

    def __len__(self) -> int:
        return max(0, _pd.array_size(self._name))

    def resize(self, frames: int, keep: bool = True, zero: bool = True) -> Buffer:
        """New frames are 0; without `keep` all are. (`zero` is accepted for compatibility: Pd always does.)"""
        if not _pd.array_resize(self._name, max(1, int(frames)), keep):
            raise self._missing()
        return self

    def dirty(self) -> None:
        self._dirty = True

    def __getitem__(self, key: Any) -> Any:
        data = self._data()
        if isinstance(key, slice):
            return None if data is None else data[key]
        if data is None:
            raise IndexError(f"there is no array {self._name}")
        return float(data[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        numpy = _numpy()
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
            raise ValueError("an array of Pd is float32: another dtype needs a copy")
        return data.astype(dtype or data.dtype, copy=bool(copy))

    def __del__(self) -> None:
        if getattr(self, "_dirty", False):
            _pd.array_redraw(self._name)

    def _data(self) -> Any:
        """The frames: a view on Pd's thread, a copy elsewhere, None if there is no such array."""
        numpy = _numpy()
        if _pd.pd_thread():
            memory = _pd.array_memory(self._name)
            if memory is None:
                return None
            return numpy.ndarray(len(memory) // _pd.word_bytes, numpy.float32, memory, 0, _pd.word_bytes)
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


class Bundle:
    """Messages that Pd delivers together, at one logical time: `append` some, then `send` once."""

    def __init__(self) -> None:
        self._items: list[tuple[Any, ...]] | None = []

    def append(self, target: Any, *msg: Any) -> None:
        """`append(receiver, *msg)` or `append(obj, outlet, *msg)`."""
        if self._items is None:
            raise RuntimeError("Bundle: it was sent already, make a new one")
        if isinstance(target, _class):
            self._items.append((target._box.handle, operator.index(msg[0]), msg[1:]))
        else:
            self._items.append((_receiver(target), msg))

    def send(self) -> None:
        if self._items is None:
            raise RuntimeError("Bundle: it was sent already, make a new one")
        items, self._items = self._items, None
        _pd.bundle(items)


# ---------------------------------------------------------------- functions


def _receiver(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"expected the name of a receiver, found {name!r}")
    return name


def _send(receiver: str, *msg: Any) -> None:
    """Send to a Pd receive name; without `msg` a bang. Nobody need be there. Any thread."""
    _pd.send(_receiver(receiver), msg)


def _samplerate() -> float:
    """Pd's sample rate in Hz."""
    return _pd.samplerate()


def _blocksize() -> int:
    """Pd's block in frames (not that of a sub-patch)."""
    return _pd.blocksize()


def _getvalue(name: str) -> float | None:
    """What [value name] holds; None if there is none."""
    return _pd.get_value(_receiver(name))


def _setvalue(name: str, x: float) -> None:
    _pd.set_value(_receiver(name), x)


def _list(*items: Any) -> list[Any]:
    return list(items)


def _tuple(*items: Any) -> tuple[Any, ...]:
    return items


def _arraysupport() -> bool:
    """Whether Buffer and signal vectors work, that is, numpy is installed."""
    try:
        _numpy()
    except ImportError:
        return False
    return True


def _priority(delta: int) -> bool:
    """Raise (or lower) the priority of the calling thread; False if the system refuses."""
    return _pd.priority(delta)


def _searchpaths() -> None:
    return None


def _helppaths() -> None:
    return None


def _numpy() -> Any:
    return importlib.import_module("numpy")


_s_ = Symbol("")
_s_bang = Symbol("bang")
_s_list = Symbol("list")
_s_symbol = Symbol("symbol")
_s_float = Symbol("float")
_s_int = Symbol("int")


# ---------------------------------------------------------------- base class


class _class:
    """Base of the classes that [pyext module class] makes.

    Set `_inlets` and `_outlets` (numbers, or callables without arguments) at the latest in `__init__`.
    Message methods are found by name: see `_Box.find`.
    """

    _inlets: Any = 0
    _outlets: Any = 0
    _given_box: _Box | None = None  # set by the box before `__init__`

    _send = staticmethod(_send)
    _samplerate = staticmethod(_samplerate)
    _blocksize = staticmethod(_blocksize)
    _getvalue = staticmethod(_getvalue)
    _setvalue = staticmethod(_setvalue)
    _list = staticmethod(_list)
    _tuple = staticmethod(_tuple)
    _arraysupport = staticmethod(_arraysupport)
    _priority = staticmethod(_priority)
    _searchpaths = staticmethod(_searchpaths)
    _helppaths = staticmethod(_helppaths)

    def __init__(self, *args: Any) -> None:
        pass

    @property
    def _box(self) -> _Box:
        if self._given_box is None:
            raise RuntimeError(f"this {type(self).__name__} belongs to no Pd object: only [pyext] makes one that does")
        return self._given_box

    def _outlet(self, n: int, *msg: Any) -> None:
        """Send `msg` to message outlet `n`, from 1. Any thread."""
        n = operator.index(n)
        if n < 1:
            raise ValueError(f"_outlet: outlets count from 1, found {n}")
        _pd.outlet(self._box.handle, n, msg)

    def _tocanvas(self, *msg: Any) -> None:
        """Send a message to the patch that holds the box. Any thread."""
        _pd.tocanvas(self._box.handle, msg)

    def _bind(self, name: str, function: Callable[..., Any]) -> None:
        """Call `function` with each message to the receive name."""
        self._box.bind(_receiver(name), function)

    def _unbind(self, name: str, function: Callable[..., Any]) -> None:
        self._box.unbind(_receiver(name), function)

    def _detach(self, value: int) -> None:
        """0: methods run on Pd's thread, 1: on one thread for all, 2: on a thread a call."""
        _pd.set_detach(self._box.handle, value)

    def _stop(self, ms: float = 0) -> None:
        """Ask detached methods to end: `_shouldexit` is true until the next one starts. Returns at once."""
        _pd.set_should_exit(self._box.handle, True)

    def _rings(self, out: Any = None, inp: Any = None, tick_outlet: int = 0) -> None:
        """Let audio go through rings (capsules of sopilib) instead of `_signal`; see README.md, ring mode.

        Any thread. `tick_outlet`: the message outlet that gets `tick` at each of `out`'s ticks, 0 for none.
        """
        _pd.rings(self._box.handle, out, inp, tick_outlet)

    def _invec(self, i: int) -> Any:
        """Signal inlet `i`, from 0, as float32 vector; None if the box has no audio. In `_dsp` and `_signal` only."""
        return self._box.vector(_pd.invec(self._box.handle, i))

    def _outvec(self, i: int) -> Any:
        """Signal outlet `i`, from 0, as `_invec`."""
        return self._box.vector(_pd.outvec(self._box.handle, i))

    @property
    def _time(self) -> int | None:
        """Host frame at which the message arrived that is being handled, or of now; None without rings."""
        return self._box.time()

    @property
    def _shouldexit(self) -> bool:
        return _pd.should_exit(self._box.handle)

    @property
    def _isthreaded(self) -> bool:
        return True

    @property
    def _canvas_dir(self) -> str:
        """Directory of the patch that holds the box."""
        return self._box.patch_directory

    @property
    def _signals(self) -> tuple[int, int]:
        """How many signal inlets and outlets the box has. In `__init__` and `_init`."""
        return _pd.signals(self._box.handle)

    @property
    def _this(self) -> int:
        return _pd.address(self._box.handle)


# ---------------------------------------------------------------- the Python half of a box

_MESSAGE, _BOUND, _CONTROL = 0, 1, 2  # enum class Kind in py.hpp

_VALUES = ("float", "int", "symbol", "list", "pointer")  # selectors that `_anything` does not get

_ATTRIBUTES = ("args", "detach", "py", "respond")


class _Box:
    """What a [pyext] box is made of in Python: module, class, instance, bindings."""

    def __init__(self, handle: Any, module: str, class_name: str, args: tuple[Any, ...], directory: str) -> None:
        self.handle = handle
        self.name = _pd.name(handle)
        self.module_name = module
        self.class_name = class_name
        self.args = args
        self.patch_directory = directory
        self.module: ModuleType | None = None
        self.instance: Any = None
        self.inlets = 0
        self.outlets = 0
        self.given_counts: tuple[int, int] | None = None
        self.deleted = False
        self.handler: tuple[int, int] | None = None  # thread and host frame of the message being handled
        self.running = 0  # detached calls
        self.lock = threading.Lock()  # of `running` and `deleted`
        self.bindings: dict[int, tuple[str, Callable[..., Any]]] = {}
        self.last_binding = 0
        self.vectors: dict[int, Any] = {}

    # ------------------------------------------------ making, reloading, deleting

    def make(self) -> bool:
        """Import the module and make the instance; False after saying why not."""
        try:
            self.module = _import(self.handle, self.module_name, self.patch_directory)
            cls = self.find_class()
        except BaseException as error:
            self.report(error)
            return False
        self.make_instance(cls)
        return True

    def find_class(self) -> type:
        cls = getattr(self.module, self.class_name, None)
        if not isinstance(cls, type):
            raise AttributeError(f"module {self.module_name} has no class {self.class_name}")
        if not issubclass(cls, _class):
            raise TypeError(f"class {self.class_name} of {self.module_name} must inherit pyext._class")
        return cls

    def make_instance(self, cls: type) -> None:
        """An `__init__` that fails leaves an instance behind, so that the box keeps its cords."""
        instance = None
        try:
            instance = cls.__new__(cls, *self.args)
            object.__setattr__(instance, "_given_box", self)
            if self.given_counts:
                instance._inlets, instance._outlets = self.given_counts
            self.instance = instance
            instance.__init__(*self.args)
        except BaseException as error:
            self.report(error, "__init__")

    def read_counts(self) -> bool:
        if self.given_counts:
            self.inlets, self.outlets = self.given_counts
            return True
        try:
            self.inlets, self.outlets = (self.count(name) for name in ("_inlets", "_outlets"))
        except BaseException as error:
            self.report(error)
            return False
        return True

    def count(self, name: str) -> int:
        value = getattr(self.instance, name, 0)
        value = value() if callable(value) else value
        if not isinstance(value, int) or not 0 <= value <= 1024:
            raise ValueError(f"{name} is {value!r}, expected an integer from 0 to 1024")
        return value

    def ready(self) -> bool:
        """Inlets and outlets exist. False if the box is not to be made."""
        init = getattr(self.instance, "_init", None)
        if init is None:
            return True
        try:
            init()
        except BaseException as error:
            self.report(error, "_init")
            return False
        return True

    def reload(self, args: tuple[Any, ...] | None) -> None:
        """Import the module again and make all its instances anew; a module that fails changes nothing."""
        try:
            if self.module is None:
                self.module = _import(self.handle, self.module_name, self.patch_directory)
            else:
                self.module = importlib.reload(self.module)
            self.find_class()
        except BaseException as error:
            self.report(error, "reload")
            return
        if args is not None:
            self.args = args
        for box in list(_boxes):
            if box.module_name == self.module_name:
                box.module = self.module
                box.remake()

    def remake(self) -> None:
        try:
            cls = self.find_class()
        except BaseException as error:
            self.report(error, "reload")
            return
        self.retire()
        if _pd.ring_now(self.handle) is not None:
            _pd.rings(self.handle, None, None, 0)
        self.make_instance(cls)
        self.ready()

    def retire(self) -> None:
        for binding in list(self.bindings):
            del self.bindings[binding]
            _pd.unbind(self.handle, binding)
        instance, self.instance = self.instance, None
        try:
            delete = getattr(instance, "_del", None)
            if delete is not None:
                delete()
        except BaseException as error:
            self.report(error, "_del")

    def delete(self) -> None:
        """The Pd object is gone. Detached calls may still run: then the last one to end does the rest."""
        _boxes.discard(self)
        with self.lock:
            self.deleted = True
            if self.running:
                return
        self.retire()

    # ------------------------------------------------ messages

    def message(self, kind: int, number: int, selector: Symbol, args: tuple[Any, ...], time: int) -> None:
        """Handle a message on this thread."""
        if kind == _CONTROL:
            self.control(selector, args)
        elif kind == _BOUND:
            self.bound(number, selector, args)
        else:
            handled = self.dispatch(number, selector, args)
            if _pd.respond(self.handle):
                _pd.outlet(self.handle, 0, ("response", (int(handled),)))

    def ring_message(self, kind: int, number: int, selector: Symbol, args: tuple[Any, ...], time: int) -> None:
        self.handler = threading.get_ident(), time
        try:
            self.message(kind, number, selector, args, time)
        finally:
            self.handler = None

    def detached_message(self, kind: int, number: int, selector: Symbol, args: tuple[Any, ...], time: int) -> None:
        with self.lock:
            if self.deleted:
                return
            if not self.running:
                _pd.set_should_exit(self.handle, False)
            self.running += 1
        try:
            self.message(kind, number, selector, args, time)
        finally:
            with self.lock:
                self.running -= 1
                last = self.deleted and not self.running
            if last:
                self.retire()

    def spawn_message(self, *message: Any) -> None:
        threading.Thread(target=self.detached_message, args=message, daemon=True, name=self.name).start()

    def find(self, n: int, selector: str, args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        """The method for a message to inlet `n`, and its arguments; None if the class has none."""

        def method(name: str) -> Callable[..., Any] | None:
            return getattr(self.instance, name, None)

        number = selector == "float" and len(args) == 1
        full = args if selector in _VALUES else (selector, *args)
        if found := method(f"{selector}_{n}"):
            return found, args
        if number and (found := method(f"int_{n}")):
            return found, (int(args[0]),)
        if found := method(f"_anything_{n}"):
            return found, full
        if found := method(f"{selector}_"):
            return found, (n, *args)
        if number and (found := method("int_")):
            return found, (int(args[0]),)
        if found := method("_anything_"):
            return found, (n, selector, _s_) if selector == "bang" and not args else (n, *full)
        return None

    def dispatch(self, n: int, selector: Symbol, args: tuple[Any, ...]) -> bool:
        if self.instance is None:
            return False
        try:
            found = self.find(n, selector, args)
        except BaseException as error:  # a property or __getattr__ of the class
            self.report(error, f"{selector}_{n}")
            return False
        if found is None:
            words = " ".join(str(a) for a in ((selector, *args) if selector not in _VALUES else args))
            self.error(f"no matching method found for '{words}' into inlet {n}")
            return False
        self.call(*found)
        return True

    def bound(self, binding: int, selector: Symbol, args: tuple[Any, ...]) -> None:
        found = self.bindings.get(binding)
        if found is not None:
            self.call(found[1], args if selector in _VALUES else (selector, *args))

    def call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            if function(*args):
                self.error(f"{getattr(function, '__name__', function)}: returned value is ignored")
        except BaseException as error:
            self.report(error, getattr(function, "__name__", "a message"))

    def bind(self, name: str, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"_bind: expected something to call, found {function!r}")
        with self.lock:
            self.last_binding += 1
            binding = self.last_binding
        self.bindings[binding] = name, function
        _pd.bind(self.handle, binding, name)

    def unbind(self, name: str, function: Callable[..., Any]) -> None:
        for binding, bound in list(self.bindings.items()):
            if bound == (name, function):
                del self.bindings[binding]
                _pd.unbind(self.handle, binding)
                return
        raise ValueError(f"_unbind: {function!r} is not bound to {name}")

    def time(self) -> int | None:
        handler = self.handler
        if handler and handler[0] == threading.get_ident():
            return handler[1]
        return _pd.ring_now(self.handle)

    # ------------------------------------------------ audio

    def dsp(self) -> Callable[[], Any] | None:
        """DSP is being built. The method to call each block, or None."""
        self.vectors.clear()
        prepare = getattr(self.instance, "_dsp", None)
        if prepare is not None:
            try:
                if not prepare():
                    return None
            except BaseException as error:
                self.report(error, "_dsp")
        return getattr(self.instance, "_signal", None)

    def signal_failed(self, error: BaseException) -> None:
        self.report(error, "_signal; its outlets are silent until DSP is rebuilt")

    def vector(self, memory: memoryview | None) -> Any:
        """One numpy array for each piece of memory, so that equal vectors are the same object."""
        if memory is None:
            return None
        numpy = _numpy()
        vector = numpy.frombuffer(memory, numpy.float32)
        return self.vectors.setdefault(vector.__array_interface__["data"][0], vector)

    # ------------------------------------------------ control inlet

    def control(self, selector: Symbol, args: tuple[Any, ...]) -> None:
        known: dict[str, Callable[[], None]] = {
            "doc": lambda: self.show_doc(self.module),
            "doc+": lambda: self.show_doc(type(self.instance)),
            "dir": lambda: self.show(" ".join(dir(self.module))),
            "dir+": lambda: self.show(" ".join(dir(self.instance))),
            "get": lambda: self.get_attribute(*args[:1]),
            "set": lambda: self.set_attribute(*args),
            "edit": self.edit,
            "help": lambda: self.show(_HELP),
            "args": lambda: setattr(self, "args", args),
            "py": self.pass_objects,
            "getattributes": lambda: self.dump("attributes", *_ATTRIBUTES),
            "getmethods": lambda: self.dump("methods", *known),
            "getargs": lambda: self.dump("args", *self.args),
            "getdetach": lambda: self.dump("detach", _pd.detach(self.handle)),
            "getrespond": lambda: self.dump("respond", int(_pd.respond(self.handle))),
            "getpy": lambda: self.dump("py", 0),
        }
        if selector not in known:
            self.error(f"the control inlet does not know '{selector}'; messages for the class go to the next inlets")
            return
        try:
            known[selector]()
        except BaseException as error:
            self.report(error, selector)

    def dump(self, selector: str, *values: Any) -> None:
        _pd.outlet(self.handle, 0, (selector, values))

    def show(self, text: str) -> None:
        for line in text.splitlines():
            _pd.console(line)

    def show_doc(self, thing: Any) -> None:
        self.show(inspect.getdoc(thing) or f"{self.name}: no documentation")

    def get_attribute(self, name: str = "") -> None:
        if not hasattr(self.instance, name):
            raise AttributeError(f"get: there is no attribute {name!r}")
        value = getattr(self.instance, name)
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        self.dump("get", name, *values)

    def set_attribute(self, name: str = "", *values: Any) -> None:
        if name.startswith("_") or not hasattr(self.instance, name):
            raise AttributeError(f"set: there is no attribute {name!r} that may be set")
        setattr(self.instance, name, values[0] if len(values) == 1 else values)

    def edit(self) -> None:
        path = self.module and inspect.getsourcefile(self.module)
        if path:
            subprocess.Popen([*shlex.split(os.environ.get("EDITOR", "idle")), path])

    def pass_objects(self) -> None:
        self.error("py: Python objects cannot be passed between boxes here, only numbers, symbols and lists")

    # ------------------------------------------------ errors

    def error(self, line: str) -> None:
        _pd.error(self.handle, f"{self.name}: {line}")

    def report(self, error: BaseException, where: str = "") -> None:
        """One line that names the object, then the traceback without the frames of this file."""
        trace = error.__traceback__
        while trace and trace.tb_frame.f_globals.get("__name__") in _OUR_FRAMES:
            trace = trace.tb_next
        summary = traceback.format_exception_only(type(error), error)[-1].strip()
        self.error(f"{summary} (in {where})" if where else summary)
        if trace is None:
            return
        for text in traceback.format_exception(type(error), error, trace):
            for line in text.splitlines():
                _pd.error(self.handle, line)


_HELP = """[pyext module class arguments...] is an instance of a Python class that inherits pyext._class.
Messages to this inlet: reload [arguments...], reload., doc, doc+, dir, dir+, get name, set name value...,
edit, stop, detach 0|1|2, respond 0|1, args..., getattributes, getmethods.
The class gets what comes to the next inlets."""


_OUR_FRAMES = (__name__, "importlib", "importlib._bootstrap", "importlib._bootstrap_external")

_boxes: set[_Box] = set()


def _open(
    handle: Any, module: str, class_name: str, args: tuple[Any, ...], directory: str, inlets: int, outlets: int
) -> _Box | None:
    """Called when Pd makes a box; None if it cannot be made. `inlets` is -1 where the class says how many."""
    box = _Box(handle, module, class_name, args, directory)
    if inlets >= 0:
        box.given_counts = inlets, outlets
    # With the numbers given the box is made all the same: its cords stay, and `reload` brings it to life.
    if not box.make() and not box.given_counts or not box.read_counts():
        return None
    _boxes.add(box)
    return box


# ---------------------------------------------------------------- modules


def _add_path(directory: str) -> None:
    if directory and directory not in sys.path:
        sys.path.append(directory)


def _import(handle: Any, name: str, directory: str) -> ModuleType:
    """Import a module: from where Python finds it, from the patch's folder, then from Pd's search path."""
    _add_path(directory)
    _add_path(os.getcwd())
    top = name.split(".")[0]
    for inside, ext in ((top, ".py"), (top, ".pyc"), (f"{top}/__init__", ".py")):
        found = _pd.find(handle, inside, ext)
        if found:
            _add_path(os.path.dirname(found[0]) if inside != top else found[0])
            break
    importlib.invalidate_caches()  # the file may have been written since the last look
    try:
        module = importlib.import_module(name.rsplit("/", 1)[-1])
    except ModuleNotFoundError as error:
        if error.name == top.rsplit("/", 1)[-1]:
            raise ModuleNotFoundError(
                f"there is no Python module {name} in the patch's folder, Pd's search path or {sys.prefix}"
            ) from None
        raise
    module.__dict__.setdefault("_registry", {})
    return module


# ---------------------------------------------------------------- console


class _Console(io.TextIOBase):
    """sys.stdout and sys.stderr: whole lines go to Pd's console, each thread's apart."""

    longest = 900  # characters of a line that Pd prints uncut

    def __init__(self, show: Callable[[str], None]) -> None:
        self.show = show
        self.begun = threading.local()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, rest = (getattr(self.begun, "line", "") + text).split("\n")
        while len(rest) > self.longest and "\r" not in rest:
            lines.append(rest[: self.longest])
            rest = rest[self.longest :]
        self.begun.line = rest.rsplit("\r", 1)[-1] if "\r" in rest[:-1] else rest
        for line in lines:
            line = line.rstrip("\r").rsplit("\r", 1)[-1]  # of a progress bar, the last state
            for start in range(0, max(1, len(line)), self.longest):
                self.show(line[start : start + self.longest])
        return len(text)


# ---------------------------------------------------------------- start


def _start(library: str) -> None:
    """Called once, when Pd loads the library at folder `library`."""
    sys.stdout = _Console(_pd.console)
    sys.stderr = _Console(lambda line: _pd.error(None, line))
    sys.setswitchinterval(0.0005)
    _add_path(os.path.dirname(library))
    # What classes need is imported now, because later it would stall running audio.
    for name, use in (("numpy", "Buffer and signals need it"), ("sopilib", "samplernn needs it")):
        try:
            importlib.import_module(name)
            if name == "sopilib":
                importlib.import_module("sopilib.live")
        except BaseException as error:
            _pd.error(None, f"py: cannot import {name} ({use}): {type(error).__name__}: {error}")
