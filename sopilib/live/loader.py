"""Work that takes long, done in the background: by one thread, in order, and of most kinds only the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sopilib.errors import TROUBLES, SopiError, print_fault, sentence
from sopilib.threads import ordinary_priority

__all__ = ["Job", "Loader"]

MOST_WAITING = 32


@dataclass(eq=False)
class Job:
    """Something to be done in the background.

    kind    such as "load": the newest job of a kind takes the place of older ones, unless `every` one of it is wanted
    what    stands before the line that tells its failure, as "load tabla"
    work    does it. It looks at `dropped` from time to time, and after it has taken the lock of what it changes
    failed  called with the job and one line if `work` raised. It too looks at `dropped` after it has taken a lock
    every   it takes nobody's place, and nobody takes its place
    """

    kind: str
    what: str
    work: Callable[[Job], None]
    failed: Callable[[Job, str], None]
    every: bool = False
    dropped: bool = field(default=False)
    """Nobody wants it any more. What it made is to be thrown away."""


class Loader:
    """Does jobs one after the other, in a thread of ordinary priority that ends when nothing is left to do.

    name  of the thread

    It holds no performer but those that its jobs hold, and these only until they are done.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()  # of what follows
        self._waiting: list[Job] = []
        self._busy: Job | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._working = threading.RLock()  # held while a job is done

    def put(self, job: Job, in_thread: bool = True) -> list[Job]:
        """Adds a job -> those of its kind that were dropped for it. Without a thread it waits until `finish` is called.

        Raises SopiError if too many are waiting, or if no thread can be had: then nothing was dropped.
        """
        with self._lock:
            if self._closed:
                return []
            older = 0 if job.every else sum(j.kind == job.kind for j in self._waiting)
            if len(self._waiting) - older >= MOST_WAITING:
                raise SopiError(f"{job.what}: {MOST_WAITING} things are waiting to be done already, try it later")
            if in_thread and self._thread is None:
                self._start(job)
            dropped = [] if job.every else self._drop((job.kind,))
            self._waiting.append(job)
        return dropped

    def _start(self, job: Job) -> None:
        thread = threading.Thread(target=_work, args=(self,), daemon=True, name=self._name)
        try:
            thread.start()
        except RuntimeError:
            raise SopiError(f"{job.what}: the system gives no more threads, end other programs") from None
        self._thread = thread

    def drop(self, *kinds: str) -> list[Job]:
        """Gives up the jobs of these kinds, or of all kinds if none is given -> which ones."""
        with self._lock:
            return self._drop(kinds)

    def doing(self, kind: str) -> Job | None:
        """The newest job of this kind that is done now or waits."""
        with self._lock:
            jobs = [*([self._busy] if self._busy is not None else []), *self._waiting]
            return next((j for j in reversed(jobs) if j.kind == kind and not j.dropped), None)

    def finish(self) -> None:
        """Does everything that waits, in the calling thread, and returns when all of it is done."""
        with self._working:
            while (job := self._next()) is not None:
                self._do(job)

    def close(self) -> None:
        """Drops everything. A job that is being done ends by itself; nobody waits for it."""
        with self._lock:
            self._closed = True
            self._drop(())

    def _drop(self, kinds: tuple[str, ...]) -> list[Job]:
        jobs = [*([self._busy] if self._busy is not None else []), *self._waiting]
        found = [j for j in jobs if not j.dropped and (not kinds or j.kind in kinds)]
        for job in found:
            job.dropped = True
        self._waiting = [j for j in self._waiting if not j.dropped]
        return found

    def _next(self) -> Job | None:
        with self._lock:
            if self._waiting:
                self._busy = self._waiting.pop(0)
                return self._busy
            return None

    def _do(self, job: Job) -> None:
        try:
            job.work(job)
        except Exception as e:
            if not isinstance(e, (*TROUBLES, RuntimeError)):
                print_fault()
            self._fail(job, sentence(e))
        finally:
            with self._lock:
                self._busy = None

    def _fail(self, job: Job, reason: str) -> None:
        if not job.dropped:
            job.failed(job, f"{job.what}: {reason}")

    def _rest(self) -> bool:
        """Whether there is nothing more to do: the thread then ends."""
        with self._lock:
            if self._waiting:
                return False
            self._thread = None
            return True


def _work(loader: Loader) -> None:
    ordinary_priority()
    while True:
        loader.finish()
        if loader._rest():
            return
