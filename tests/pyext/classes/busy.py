"""Objects that keep Python busy."""

import ctypes
import threading
import time

import pyext


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
    """Handlers that do not come back soon."""

    _inlets = 1

    def sleep_1(self, seconds):
        print("stuck")
        time.sleep(seconds)

    def keep_1(self, seconds):
        print("stuck")
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))

    def count_1(self):
        threading.Thread(target=keeper.count, args=(self,)).start()
        print("stuck")
