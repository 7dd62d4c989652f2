"""Objects that keep Python busy."""

import ctypes
import threading
import time

import pyext
from testring import TestRing, at_exit


class keeper(pyext._class):
    """A thread of pure Python, and one that keeps the GIL for `seconds` again and again."""

    _inlets = 1

    def __init__(self, seconds=0.2):
        self.seconds = seconds

    def start_1(self):
        threading.Thread(target=self.count, daemon=True).start()
        threading.Thread(target=self.keep, daemon=True).start()

    def count(self):
        n = 0
        while True:
            n += 1

    def keep(self):
        library = ctypes.PyDLL(None)
        while True:
            time.sleep(0.3)
            library.usleep(int(self.seconds * 1e6))


class stuck(pyext._class):
    """Handlers that do not come back soon. They say so at the outlet."""

    _inlets = 1
    _outlets = 1

    def sleep_1(self, seconds):
        self._outlet(1)
        time.sleep(seconds)

    def keep_1(self, seconds):
        self._outlet(1)
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))

    def count_1(self):
        self._outlet(1)
        threading.Thread(target=keeper.count, args=(self,)).start()


class ringed_stuck(stuck):
    def __init__(self):
        at_exit()
        self.ring = TestRing()
        self._rings(self.ring.capsule)
