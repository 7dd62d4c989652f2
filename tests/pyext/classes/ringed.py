"""Objects with rings."""

import ctypes
import threading
import time

import pyext
from testring import TestRing, destroyed


class player(pyext._class):
    """Plays the ramp. Prints each message with its host frame."""

    _inlets = 1
    _outlets = 2

    def __init__(self, freewheel=0, tick_every=0, reserve=64):
        self.ring = TestRing(freewheel=freewheel, tick_every=tick_every, reserve=reserve)
        self.pd_thread = threading.get_ident()
        self._rings(self.ring.capsule, None, 2 if tick_every else 0)
        self._bind("to-player", self.bound)

    def _anything_1(self, *message):
        print("message", self._time, *message, "elsewhere" if threading.get_ident() != self.pd_thread else "pd")
        self._outlet(1, message)

    def bound(self, *message):
        print("bound", self._time, *message)

    def host_1(self):
        print("host", self.ring.dsp, self.ring.block, self.ring.rate)

    def underruns_1(self):
        print("underruns", self.ring.underruns)

    def sleep_1(self, ms):
        time.sleep(ms / 1000)
        print("slept", ms)

    def again_1(self):
        self._outlet(1, "in-circles")
        print("again")

    def reply_1(self, n):
        print("reply", n)
        self._outlet(1, n)

    def later_1(self):
        def change():
            self.old = self.ring
            self.ring = TestRing(freewheel=1)
            self._rings(self.ring.capsule)
            self.old.release()

        threading.Thread(target=change).start()

    def destroyed_1(self):
        print("destroyed", destroyed())

    def wrong_1(self):
        try:
            self._rings(ctypes.py_object(3))
        except ValueError as error:
            print("refused", error)

    def array_1(self, name):
        b = pyext.Buffer(name)
        print("array", len(b), b[:3].tolist())
        b[1:3] = [5, 6]
        b.resize(20)
        print("array", len(b), b[:3].tolist())

    def _del(self):
        print("deleted", "elsewhere" if threading.get_ident() != self.pd_thread else "pd")
        self.ring.release()


class listener(pyext._class):
    """Takes signal inlets 1 and 2 into an input ring and plays the ramp on two outlets."""

    _inlets = 1
    _outlets = 1

    def __init__(self):
        self.out = TestRing(channels=2, freewheel=1)
        self.inp = TestRing(channels=2, producing=False)
        self._rings(out=self.out.capsule, inp=self.inp.capsule)

    def heard_3(self, start, frames):
        print("heard", [[self.inp.sample(c, start + i) for i in range(frames)] for c in range(2)])
