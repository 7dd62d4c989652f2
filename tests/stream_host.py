"""A real-time host without Python in it (stream_host.c), and what real-time tests need on a busy machine."""

import ctypes
import os
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
TRIES = 3
QUIET = 0.003  # s: a machine that wakes a sleeper later than this has no time for real time
# of the running test: ("held", what failed before) or ("not judged", why); conftest.py collects them
VERDICTS: list[tuple[str, str]] = []


@cache
def _library():
    source, headers = HERE / "stream_host.c", HERE.parent / "sopilib" / "native"
    command = [
        "cc",
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fPIC",
        "-shared",
        "-I",
        str(headers),
        str(source),
    ]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*command, "-o", f"{folder}/stream_host.so"], check=True)
        library = ctypes.CDLL(f"{folder}/stream_host.so")
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
    """Returns what `attempt` returns, the first time that its assertions hold.

    It is tried three times, each time after a moment of quiet if there is one. A failure counts only if the machine was
    quiet while it ran, for another program may have kept the processors. If no try was on a quiet machine, the test is
    skipped as one that could not be judged. The end of the run tells how many those were, how late the machine was and
    what did not hold; and also which tests held only at a later try (conftest.py)."""
    latest, failure, quiet_failure = 0.0, None, None
    for _ in range(TRIES):
        wait_for_quiet()
        with watching() as late:
            try:
                returned = attempt()
                VERDICTS.append(("held", f"only after {failure}" if failure else ""))
                return returned
            except AssertionError as e:
                caught = e
        latest = max(latest, late())
        failure = (str(caught) or repr(caught)).splitlines()[0]
        if late() < QUIET:
            quiet_failure = caught
    if quiet_failure is not None:
        raise quiet_failure
    cannot_be_judged(f"the machine was up to {1000 * latest:.0f} ms late; what did not hold: {failure}")


def cannot_be_judged(why):
    """Skips a test of what happens in real time, and has it counted."""
    VERDICTS.append(("not judged", why))
    pytest.skip(why)


def wait_for_quiet():
    """Until the machine has been quiet for 0.2 s, or for 5 s if it never is."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with watching() as late:
            time.sleep(0.2)
        if late() < QUIET:
            return


@contextmanager
def watching():
    """Measures how late the machine wakes a sleeper: call what it gives afterwards, for the worst, in seconds."""
    stop, worst = ctypes.c_int(0), []
    library = _library()
    watcher = threading.Thread(target=lambda: worst.append(library.watch(ctypes.addressof(stop))), daemon=True)
    watcher.start()
    try:
        yield lambda: worst[0] * 1e-9
    finally:
        stop.value = 1
        watcher.join()
