"""How many threads the engine may have, and the priorities of Python's own. Native threads set theirs themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["cores", "ordinary_priority", "real_time_priority", "thread_count"]

PRIORITY = 60
"""Of the real-time scheduler, from 1 to 99: below JACK, above what is ordinary."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(text: str) -> int | None:
    """How many threads of the engine a text asks for, 1 to 64; None for "auto", as many as a model needs. Raises
    ValueError for anything else."""
    if text == "auto":
        return None
    count = int(text)
    if not 1 <= count <= 64:
        raise ValueError(text)
    return count


def ordinary_priority() -> None:
    """Gives the calling thread an ordinary priority. Each thread of Python's calls it first, for threads inherit the
    real-time priority of the thread that starts them, and Python must not hold up the sound."""
    if hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            pass


@contextmanager
def real_time_priority() -> Iterator[None]:
    """Threads that are started inside get real-time priority, if this user may have it: the sound then goes on whatever
    else the machine does. Without the right to it nothing changes and nothing is raised."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except (OSError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        ordinary_priority()
