"""The Python half of a [pyext] box: its module, its instance, what it has bound, and the messages on their way."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import _pyext as _pd

from sopi import control, dispatch, passing
from sopi.base import _class, give_box
from sopi.modules import import_for, read_again
from sopi.values import Symbol, numpy_module

MESSAGE, BOUND, CONTROL = 0, 1, 2  # enum class Kind in worker.hpp
MOST_INLETS = 1024

boxes: set[Box] = set()


class Box:
    """What a [pyext] box is made of in Python. The methods that C++ calls say on which thread."""

    handle: Any
    patch_directory: str

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
        self.passes_objects = False  # @py
        self.deleted = False
        self.handler: tuple[int, int] | None = None  # thread and host frame of the message being handled
        self.running = 0  # detached calls
        self.lock = threading.Lock()  # of `running` and `deleted`; never held while anything else is waited for
        self.bindings: dict[int, tuple[str, Callable[..., Any]]] = {}
        self.last_binding = 0
        self.vectors: dict[int, Any] = {}

    # ------------------------------------------------ making, reloading, deleting

    def make(self) -> bool:
        """Import the module and make the instance; False after saying why not."""
        try:
            self.load()
            cls = self.find_class()
        except BaseException as error:
            self.report(error)
            return False
        self.make_instance(cls)
        return True

    def load(self) -> None:
        """Import the module."""
        self.module = import_for(self.handle, self.module_name, self.patch_directory)

    def find_class(self) -> type:
        """The class that the box is an instance of. Raises AttributeError or TypeError if the module has none."""
        cls = getattr(self.module, self.class_name, None)
        if not isinstance(cls, type):
            raise AttributeError(f"module {self.module_name} has no class {self.class_name}")
        if not issubclass(cls, _class):
            ours = getattr(sys.modules.get("pyext"), "_class", None) is _class
            base = "pyext._class" if ours else "sopi._class (import sopi): pyext is another library's here"
            raise TypeError(f"class {self.class_name} of {self.module_name} must inherit {base}")
        return cls

    def described(self) -> Any:
        """What `doc+` and `dir+` are about."""
        return type(self.instance)

    def make_instance(self, cls: type) -> None:
        """Make the instance. An `__init__` that fails leaves one behind all the same: the box keeps its cords."""
        try:
            instance = cls.__new__(cls, *self.args)
            give_box(instance, self)
            self.instance = instance
            if self.given_counts:
                instance._inlets, instance._outlets = self.given_counts
            instance.__init__(*self.args)
        except BaseException as error:
            self.report(error, "__init__")

    def read_counts(self) -> bool:
        """Find out how many message inlets and outlets there are; False after saying what is wrong with the numbers."""
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
        if not isinstance(value, int) or not 0 <= value <= MOST_INLETS:
            raise ValueError(f"{name} is {value!r}, expected an integer from 0 to {MOST_INLETS}")
        return value

    def ready(self) -> bool:
        """Pd's thread: inlets and outlets exist. False if the box is not to be made."""
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
        """Pd's thread: read the module again and make all its instances anew.

        `args` replace those of this box. If the module fails, everything stays as it was.
        """
        before = self.module
        try:
            if before is None:
                self.load()
            else:
                read_again(before)
            self.find_class()
        except BaseException as error:
            self.report(error, "reload")
            return
        if args is not None:
            self.args = args
        for box in list(boxes):
            if box.module is self.module if before else box.module_name == self.module_name:
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
            _pd.rings(self.handle, None, None, 0, 0)
        self.make_instance(cls)
        self.ready()

    def retire(self) -> None:
        """Let the instance go: its bindings, its `_del`, itself."""
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
        boxes.discard(self)
        with self.lock:
            self.deleted = True
            if self.running:
                return
        self.retire()

    # ------------------------------------------------ messages from Pd

    def message(self, kind: int, number: int, selector: Symbol, args: tuple[Any, ...], time: int) -> None:
        """Handle a message on the thread that calls this."""
        if kind == CONTROL:
            control.handle(self, selector, args)
        elif kind == BOUND:
            self.bound(number, selector, args)
        else:
            handled = self.dispatch(number, selector, args)
            if _pd.respond(self.handle):
                _pd.outlet(self.handle, 0, ("response", (int(handled),)))

    def ring_message(self, kind: int, number: int, selector: Symbol, args: tuple[Any, ...], time: int) -> None:
        """The ring worker: handle a message that arrived at host frame `time`."""
        self.handler = threading.get_ident(), time
        try:
            self.message(kind, number, selector, args, time)
        finally:
            self.handler = None

    def detached_message(self, kind: int, number: int, selector: Symbol, args: tuple[Any, ...], time: int) -> None:
        """The detach worker, or a thread of this message's own: handle it, unless a `stop` keeps it from beginning."""
        with self.lock:
            if self.deleted or not _pd.may_begin(self.handle, not self.running):
                return
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
        """The spawner: start a thread that handles the message."""
        threading.Thread(target=self.detached_message, args=message, daemon=True, name=self.name).start()

    def dispatch(self, n: int, selector: Symbol, args: tuple[Any, ...]) -> bool:
        """Call the method for a message to inlet `n`; False after saying that there is none."""
        if self.instance is None:
            return False
        try:
            if selector == dispatch.OBJECT:
                args = (passing.take(args[0]),)
            found = dispatch.find(self.instance, n, selector, args)
        except passing.Gone as error:
            self.error(f"{error} (into inlet {n})")
            return False
        except BaseException as error:  # a property or __getattr__ of the class
            self.report(error, f"{selector}_{n}")
            return False
        if found is None:
            self.error(f"no matching method found for '{dispatch.as_text(selector, args)}' into inlet {n}")
            return False
        self.call(*found)
        return True

    def bound(self, binding: int, selector: Symbol, args: tuple[Any, ...]) -> None:
        found = self.bindings.get(binding)
        if found is not None:
            self.call(found[1], args if selector in dispatch.VALUES else (selector, *args))

    def call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            if function(*args):
                self.error(f"{getattr(function, '__name__', function)}: returned value is ignored")
        except BaseException as error:
            self.report(error, getattr(function, "__name__", "a message"))

    def bind(self, name: str, function: Callable[..., Any]) -> None:
        """Call `function` with what is sent to `name`. Raises TypeError if it can't be called."""
        if not callable(function):
            raise TypeError(f"_bind: expected something to call, found {function!r}")
        with self.lock:
            self.last_binding += 1
            binding = self.last_binding
        self.bindings[binding] = name, function
        _pd.bind(self.handle, binding, name)

    def unbind(self, name: str, function: Callable[..., Any]) -> None:
        """Undo `bind`. Raises ValueError if `function` is not bound to `name`."""
        for binding, bound in list(self.bindings.items()):
            if bound == (name, function):
                del self.bindings[binding]
                _pd.unbind(self.handle, binding)
                return
        raise ValueError(f"_unbind: {function!r} is not bound to {name}")

    def time(self) -> int | None:
        """The host frame at which the message arrived that this thread handles, or that of now; None without rings."""
        handler = self.handler
        if handler and handler[0] == threading.get_ident():
            return handler[1]
        return _pd.ring_now(self.handle)

    # ------------------------------------------------ messages to Pd

    def send(self, outlet: int, message: tuple[Any, ...]) -> None:
        """Send to message outlet `outlet`, from 1. With @py a value that Pd doesn't know goes as a Python object."""
        if self.passes_objects:
            value = message[0] if len(message) == 1 else message
            if not passing.is_plain(value):
                message = (dispatch.OBJECT, (passing.keep(value),))
        _pd.outlet(self.handle, outlet, message)

    def dump(self, selector: str, *values: Any) -> None:
        """Send `selector` with `values` to the rightmost outlet."""
        _pd.outlet(self.handle, 0, (selector, values))

    # ------------------------------------------------ audio

    def dsp(self) -> Callable[[], Any] | None:
        """Pd's thread: DSP is being built. The method to call each block, or None."""
        self.vectors.clear()
        prepare = getattr(self.instance, "_dsp", None)
        if prepare is not None:
            try:
                if not prepare():
                    return None
            except BaseException as error:
                self.report(error, "_dsp")
        signal: Callable[[], Any] | None = getattr(self.instance, "_signal", None)
        return signal

    def signal_failed(self, error: BaseException) -> None:
        """Pd's thread: `_signal` has raised `error`."""
        self.report(error, "_signal; its outlets are silent until DSP is rebuilt")

    def vector(self, memory: memoryview | None) -> Any:
        """A numpy array on `memory`, the same one each time, so that equal vectors are the same object."""
        if memory is None:
            return None
        vector = numpy_module().frombuffer(memory, f"f{_pd.sample_bytes}")
        return self.vectors.setdefault(vector.__array_interface__["data"][0], vector)

    # ------------------------------------------------ errors

    def error(self, line: str) -> None:
        """Print a line as an error of this object."""
        _pd.error(self.handle, f"{self.name}: {line}")

    def report(self, error: BaseException, where: str = "") -> None:
        """Print one error line that names the object, then the traceback without the frames of this package."""
        trace = error.__traceback__
        while trace and is_ours(trace.tb_frame.f_globals.get("__name__", "")):
            trace = trace.tb_next
        summary = traceback.format_exception_only(type(error), error)[-1].strip()
        self.error(f"{summary} (in {where})" if where else summary)
        if trace is None:
            return
        for text in traceback.format_exception(type(error), error, trace):
            for line in text.splitlines():
                _pd.console(line)


def is_ours(module: str) -> bool:
    """Whether frames of this module say nothing to a user."""
    return module.split(".")[0] in ("sopi", "importlib")
