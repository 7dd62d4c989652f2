"""Rings for the tests' classes: ctypes face of testring.c, which the tests build."""

import ctypes
import os

_lib = ctypes.CDLL(os.environ["TESTRING"])
_lib.testring_new.restype = ctypes.c_void_p
_lib.testring_new.argtypes = [ctypes.c_uint32] * 3 + [ctypes.c_int, ctypes.c_uint64, ctypes.c_int]
_lib.testring_underruns.restype = ctypes.c_uint64
_lib.testring_read.restype = ctypes.c_uint64
_lib.testring_rate.restype = ctypes.c_double
_lib.testring_sample.restype = ctypes.c_float
for _name in ("release", "underruns", "read", "dsp", "block", "rate"):
    getattr(_lib, f"testring_{_name}").argtypes = [ctypes.c_void_p]
_lib.testring_sample.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64]

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class TestRing:
    __test__ = False

    def __init__(self, channels=1, capacity=8192, reserve=64, freewheel=False, tick_every=0, producing=True):
        self.pointer = _lib.testring_new(channels, capacity, reserve, freewheel, tick_every, producing)
        self.capsule = _new_capsule(self.pointer, b"sopilib.ring.1", None)

    def __getattr__(self, name):
        return getattr(_lib, f"testring_{name}")(self.pointer)

    def sample(self, channel, position):
        return _lib.testring_sample(self.pointer, channel, position)

    def release(self):
        _lib.testring_release(self.pointer)


def destroyed():
    return _lib.testring_destroyed()


def at_exit():
    """As a library that has a recording to close: prints "closed" when the process ends by exit()."""
    _lib.testring_at_exit()
