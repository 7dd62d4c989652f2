"""Objects without rings, which do what the original pyext documents."""

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyext


class witness(pyext._class):
    def _dsp(self):
        print("dsp is built")
        return False


class echo(pyext._class):
    """Prints what comes into each inlet and sends it out again."""

    _inlets = 2
    _outlets = 2

    def __init__(self, *args):
        print("init", args)
        print("folder", os.path.samefile(self._canvas_dir, os.getcwd()))

    def _anything_(self, n, *message):
        print("got", n, message)
        self._outlet(1, message)


class order(pyext._class):
    """One method of each kind."""

    _inlets = 6

    def note_1(self, *a):
        print("note_1", a)

    def float_1(self, x):
        print("float_1", repr(x))

    def int_2(self, x):
        print("int_2", repr(x))

    def _anything_2(self, *a):
        print("_anything_2", a)

    def note_(self, n, *a):
        print("note_", n, a)

    def int_(self, x):
        print("int_", x)

    def symbol_3(self, s):
        print("symbol_3", repr(s), s == "name", {"name": 1}[s], type(s) is pyext.Symbol)

    def list_3(self, *a):
        print("list_3", a)

    def bang_3(self):
        print("bang_3")

    def _anything_(self, n, *a):
        print("_anything_", n, a)


class few(pyext._class):
    _inlets = lambda self: 1  # noqa: E731

    def float_1(self, x):
        return "something"

    def wrong_1(self):
        return {}["missing"]


class sender(pyext._class):
    """Sends one of everything."""

    _inlets = 1
    _outlets = 1

    values = (
        None, [], 3, 2.5, True, "text", pyext.Symbol("sym"), ("tag", (1, 2)), ["worker", "on"], [7], ["x"], (1, "a", 2),
        np.float32(1.5), np.int64(3), np.array([1, 2], np.float32), b"\x01\x02", 2**40, {}, [1, {}],
    )  # fmt: skip

    def all_1(self):
        for value in self.values:
            self._outlet(1, value)
        self._outlet(1, "tag", (1, 2))
        self._outlet(1, 1, 2, 3)
        self._outlet(1)
        self._send("from-sender", "hey", [4])
        pyext._send(pyext.Symbol("from-sender"))
        pyext._send("nobody-there", 1)

    def errors_1(self):
        for call in (lambda: self._outlet(3, 1), lambda: self._outlet(0, 1), lambda: pyext._send("", 1)):
            try:
                call()
            except ValueError as error:
                print("ValueError", error)
        try:
            few()._outlet(1, 1)
        except RuntimeError as error:
            print("RuntimeError", error)

    def bundle_1(self):
        bundle = pyext.Bundle()
        bundle.append(self, 1, "first", [1])
        bundle.append("from-sender", 2)
        bundle.send()
        try:
            bundle.send()
        except RuntimeError as error:
            print("RuntimeError", error)

    def system_1(self):
        print("system", pyext._samplerate(), self._blocksize(), pyext._getvalue("v"), pyext._getvalue("none"))
        pyext._setvalue("v", 5)
        print("system", pyext._getvalue("v"), pyext._arraysupport(), pyext._list(1, 2), pyext._tuple(1, 2))
        print("system", self._isthreaded, self._shouldexit, isinstance(self._this, int), str(pyext._s_bang))
        print("system", sys.argv[0], Path(sys.executable).name, sys.prefix != sys.base_prefix)

    def print_1(self):
        print("one\ntwo ", end="")
        print("more")
        print("10 %\r20 %")
        print("file", hasattr(sys.stdout, "write"), sys.stdout.isatty())

    def canvas_1(self):
        self._tocanvas("obj", 10, 10, "objects/none")

    def thread_1(self):
        def work():
            for i in range(100):
                self._outlet(1, i)
            pyext._send("from-sender", "done")
            print("printed by the thread")
            self._tocanvas("obj", 300, 300, "print")

        threading.Thread(target=work).start()

    def flood_1(self):
        def work():
            for i in range(100000):
                self._outlet(1, i)

        threading.Thread(target=work).start()
        time.sleep(0.3)  # Pd stands still

    def policy_1(self):
        print("policy of Pd", os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        threading.Thread(target=lambda: print("policy of a thread", os.sched_getscheduler(0))).start()


class arrays(pyext._class):
    _inlets = 1

    def all_1(self):
        b = pyext.Buffer("tune")
        print("array", len(b), b.symbol, b[2], b[-1], b[2:4].tolist(), b[2:4].dtype)
        b[0:3] = [1, 2, 3, 4]
        b[4] = 9
        b[5:9:2] = [6, 7]
        print("array", list(b))
        b *= 2
        print("array", type(b) is np.ndarray, b.strides, pyext.Buffer("tune")[:3].tolist())
        b = pyext.Buffer("tune")
        b[:][0] = 42
        b.dirty()
        print("array", b[0], (b + 1)[0], (1 + b)[0], abs(-b)[0], np.array(b, dtype=np.float32).shape)
        print("array", len(b.resize(4)), list(b))
        print("array", b.resize(3, 0)[:].tolist())
        none = pyext.Buffer("nothing")
        print("array", len(none), none[:])
        try:
            none[0:2] = [1, 2]
        except ValueError as error:
            print("ValueError", error)


class waits(pyext._class):
    """A method on Pd's thread waits for a thread that waits for Pd."""

    _inlets = 1

    def wait_1(self):
        def work():
            try:
                len(pyext.Buffer("tune"))
            except RuntimeError as error:
                print("RuntimeError", error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        print("went on")


class binder(pyext._class):
    _inlets = 1

    def __init__(self):
        self._bind("bound-name", self.bound)
        self._bind("bound-name", print)

    def bound(self, *message):
        print("bound", message)

    def unbind_1(self):
        self._unbind("bound-name", self.bound)


class slow(pyext._class):
    """For @detach: says on which thread it runs, and in which order."""

    _inlets = 1
    _outlets = 1
    thread = threading.get_ident()

    def work_1(self, name, ms):
        print("begin", name, threading.get_ident() != self.thread)
        time.sleep(ms / 1000)
        self._outlet(1, name)

    def until_1(self):
        self._outlet(1)
        while not self._shouldexit:
            time.sleep(0.001)
        print("asked to end")

    def _del(self):
        print("del")


class broken_init(pyext._class):
    _inlets = 1

    def __init__(self):
        raise ValueError("no good")

    def hello_1(self):
        print("still there")


class refuses(pyext._class):
    def _init(self):
        raise ValueError("not to be made")


class first_outlet(pyext._class):
    _inlets = 1
    _outlets = 1

    def __init__(self, number=1):
        print("counts", self._inlets, self._outlets)

    def _init(self):
        print("ready")

    def _del(self):
        print("del")


class miscounted(pyext._class):
    _inlets = -5
    _outlets = 1

    def _del(self):
        print("miscounted: _del")

    def __del__(self):
        print("miscounted: gone")
