"""Objects for what the original pyext does: dynamic patching, lists, `stop`, attributes of a user's own, forks."""

import math
import os
import sys
import threading
import time

import pyext


class flower(pyext._class):
    """Patches a flower: a [t b] in the middle, 13 petals around it, and a cord from the middle to each petal."""

    _inlets = 1
    petals = 13

    def bloom_1(self, first, file, folder):
        """`first`: how many boxes there are in the patch already. The patch is saved in the end."""
        self._tocanvas("obj", 300, 300, "t", "b")
        for i in range(self.petals):
            angle = 2 * math.pi * i / self.petals
            x, y = int(300 + 200 * math.cos(angle)), int(300 + 200 * math.sin(angle))
            self._tocanvas("obj", x, y, "print", f"petal-{i}")
            self._tocanvas("connect", first, 0, first + 1 + i, 0)
        self._tocanvas("savetofile", file, folder)

    def wilt_1(self):
        self._tocanvas("clear")

    def later_1(self, file, folder):
        def work():
            self._tocanvas("obj", 10, 300, "print", "from-a-thread")
            self._tocanvas("savetofile", file, folder)

        threading.Thread(target=work).start()


class lists(pyext._class):
    """Says which method gets a list."""

    _inlets = 3

    def list_1(self, *a):
        print("list_1", a)

    def float_1(self, x):
        print("float_1", x)

    def symbol_1(self, s):
        print("symbol_1", s)

    def bang_1(self):
        print("bang_1")

    def _anything_2(self, *a):
        print("_anything_2", a)

    def _anything_(self, n, *a):
        print("_anything_", n, a)


class stopped(pyext._class):
    """Detached methods: one that runs until it is asked to end, and one that is done at once."""

    _inlets = 1
    _outlets = 1

    def until_1(self):
        self._outlet(1, "began")
        while not self._shouldexit:
            time.sleep(0.001)
        print("asked to end")

    def work_1(self, name):
        print("work", name, bool(self._shouldexit))


class own_names(pyext._class):
    """Has attributes of its own with all kinds of names."""

    _inlets = 1
    _outlets = 1
    _time = 7
    _box = "a box"
    _given_box = None

    def __init__(self):
        self._signals = [1, 2]
        self._canvas_dir = "somewhere"
        self._this = self
        self._handle = self._owner = 3
        self._rings = self._error = "mine"
        self._shouldexit = self._isthreaded = "mine too"
        self.__dict__["_box"] = "another box"

    def bang_1(self):
        print("mine", self._time, self._box, self._given_box, self._signals, self._canvas_dir, self._this is self)
        self._time += 1
        self._given_box = 4
        self._outlet(1, self._time, self._given_box)


class elsewhere(pyext._class):
    """Has only what the base class gives."""

    def __init__(self):
        print("has", [n for n in ("_box", "_given_box", "_handle") if hasattr(self, n)], sorted(vars(self)))


class talker(pyext._class):
    """Writes to stderr as libraries do."""

    _inlets = 1

    def warn_1(self):
        print("one\ntwo", file=sys.stderr)

    def wrong_1(self):
        raise ValueError("all wrong")

    def thread_1(self):
        def fail():
            raise KeyError("lost")

        threading.Thread(target=fail, name="finder").start()


class forks(pyext._class):
    """A fork of Pd uses what there is of Pd, and ends."""

    _inlets = 1
    _outlets = 1

    def fork_1(self):
        child = os.fork()
        if child == 0:
            status = 0
            try:
                print("printed by the fork")
                self._outlet(1, "from the fork")
                len(pyext.Buffer("tune"))
                status = 1
            except RuntimeError as error:
                print("told the fork:", error)
            finally:
                os._exit(status)
        for _ in range(200):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                print("the fork ended with", os.waitstatus_to_exitcode(status))
                return
            time.sleep(0.01)
        os.kill(child, 9)
        os.waitpid(child, 0)
        print("the fork hung")


class thing(pyext._class):
    """Passes Python objects on."""

    _inlets = 1
    _outlets = 1

    def make_1(self):
        self._outlet(1, {"answer": 42})

    def plain_1(self):
        self._outlet(1, [1, "two", 3.5])

    def py_1(self, value):
        print("object", value)


def add(*numbers):
    """The sum."""
    return sum(numbers)


def words(*args):
    print("words", args)
    return "a", [len(args)]


def nothing():
    print("called")


def table(*items):
    return dict(enumerate(items))


def fails():
    raise KeyError("no such key")
