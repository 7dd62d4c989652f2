"""`Hands`: a thread that does for an asyncio loop what may have to wait: for a lock, a host, a folder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from sopilib.threads import ordinary_priority

__all__ = ["Hands"]

T = TypeVar("T")
Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Hands:
    """One thread, in the order of the calls. It ends with the process, or by `stop`, and keeps nothing that it has
    done; who waits for it bounds how much there is to do."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)
        self._thread.start()

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, called in the thread."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((work, future))
        return await future

    def stop(self) -> None:
        """It ends when it has done what it is doing."""
        self._jobs.put(None)

    def _run(self) -> None:
        ordinary_priority()
        while (job := self._jobs.get()) is not None:
            work, future = job
            try:
                result, error = work(), None
            except Exception as e:
                result, error = None, e
            with suppress(RuntimeError):  # the loop has ended
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            del job, work, future, result, error


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():  # nobody waits any more
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
