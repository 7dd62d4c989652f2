"""A real-time host without Python in it (stream_host.c), and what real-time tests need on a busy machine."""

import ctypes
import os
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
TRIES = 3
QUIET = 0.003  # s: a machine that wakes a sleeper later than this has no time for real time


@cache
def _library():
    made = Path(tempfile.mkdtemp()) / "stream_host.so"
    command = ["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", str(HERE / "stream_host.c")]
    subprocess.run([*command, "-I", str(HERE.parent / "sopilib" / "native"), "-o", str(made)], check=True)
    library = ctypes.CDLL(str(made))
    library.play.restype = library.watch.restype = ctypes.c_uint64
    library.play.argtypes = [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_double, ctypes.c_uint32, ctypes.c_void_p,
    ]  # fmt: skip
    library.watch.argtypes = [ctypes.c_void_p]
    return library


class NativeHost(threading.Thread):
    """Plays a ring (a capsule) for some frames at `rate`; then `out` has them, `worst` the worst lateness in s,
    and `began` is when the first one was due, in ns of the monotonic clock.
    priority: of the real-time scheduler, 0 for an ordinary thread."""

    def __init__(self, ring, frames, rate=48000, block=128, priority=0):
        super().__init__(daemon=True)
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        self.ring, self.pointer = ring, pointer(ring, b"sopilib.ring.1")
        self.out, self.rate, self.block, self.worst = np.zeros(frames, np.float32), rate, block, 0.0
        self.priority, self.began = priority, 0
        _library()

    def run(self):
        if self.priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(self.priority))
        began, out = ctypes.c_uint64(), self.out
        began_at = ctypes.addressof(began)
        worst = _library().play(self.pointer, out.ctypes.data, len(out), self.rate, self.block, began_at)
        self.worst, self.began = worst * 1e-9, began.value


def in_real_time(attempt):
    """What `attempt` returns, the first time that its assertions hold. A failure counts only if the machine was quiet
    while it ran; if it never is, the test is skipped."""
    library, quiet_failure = _library(), None
    for _ in range(TRIES):
        stop, worst = ctypes.c_int(0), []
        watcher = threading.Thread(
            target=lambda s=stop, w=worst: w.append(library.watch(ctypes.addressof(s))), daemon=True
        )
        watcher.start()
        try:
            return attempt()
        except AssertionError as e:
            failure = e
        finally:
            stop.value = 1
            watcher.join()
        if worst[0] * 1e-9 < QUIET:
            quiet_failure = failure
    if quiet_failure is not None:
        raise quiet_failure
    pytest.skip("this machine is too busy for real time now")
