"""Places where one process works at a time: a run in training, a search, a data set that is made, a folder of takes.

The lock is the kernel's, on a file of its own, so that it ends with its process, however that ends. Who holds it stands
in a file beside it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sopilib.errors import SopiError, SopiWarning, one_line
from sopilib.names import shown

__all__ = ["one_process"]

NAME = ".sopi-lock"
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL}
"""What systems say of a file system without locks."""


@contextmanager
def one_process(place: Path, what: str, beside: bool = False) -> Iterator[None]:
    """Keeps other processes, on this machine or on one that sees the same files, out of `place` for as long as the
    block takes, if they ask in the same way.

    place   a folder, which is made if there is none, and taken away at the end if nothing was put into it; or, if
            `beside` is True, anything that lies in such a folder, or is to be there
    what    the command, as in "sopi train"

    Raises SopiError that names the process and its machine if one works there already, or if the place can't be
    written. Where the file system has no locks, a SopiWarning says that nobody is kept out.
    """
    folder = place.parent if beside else place
    made = _make(folder)
    file = folder / (f".{place.name}{NAME}" if beside else NAME)
    try:
        with ExitStack() as stack:
            if _lock(stack, file, place, what):
                _tell(file, what)
                stack.callback(_forget, file)
            yield
    finally:
        for path in made:
            with suppress(OSError):  # something is in it
                path.rmdir()


def _make(folder: Path) -> list[Path]:
    """Makes a folder, and those that it lies in. Gives those that were not there, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise SopiError(f"{shown(folder)}: could not be written ({e.strerror})") from None
    return missing


def _lock(stack: ExitStack, file: Path, place: Path, what: str) -> bool:
    """Locks the file until the stack is closed. False if the file system has no locks."""
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(file, timeout=0, fallback_to_soft=False)
    except TypeError:  # before 4.0, which never falls back to a file that would outlive its process
        lock = FileLock(file, timeout=0)
    try:
        stack.enter_context(lock)
    except Timeout:
        if not file.exists():
            raise SopiError(f"{shown(place)}: could not be written (no file can be made there)") from None
        holder = _holder(file)
        raise SopiError(
            f"{shown(place)}: {holder.get('what', 'another program')} works there already (process "
            f"{holder.get('process', 'unknown')} on {holder.get('machine', 'some machine')}): "
            "wait until it ends, stop it, or give another place"
        ) from None
    except (OSError, NotImplementedError) as e:
        if isinstance(e, OSError) and e.errno not in NO_LOCKS:
            raise SopiError(f"{shown(place)}: could not be written ({e.strerror})") from None
        words = f"this file system has no locks, so nothing keeps a second {what} out: start one there at a time"
        warnings.warn(SopiWarning(f"{shown(place)}: {words}"), stacklevel=4)
        file.unlink(missing_ok=True)
        return False
    return True


def _by(file: Path) -> Path:
    return file.with_name(file.name + "-by")


def _tell(file: Path, what: str) -> None:
    with suppress(OSError):  # the disk is full: the lock holds without it
        _by(file).write_text(json.dumps({"what": what, "process": os.getpid(), "machine": socket.gethostname()}))


def _holder(file: Path) -> dict[str, Any]:
    """Who holds the lock; empty if it hasn't said so yet."""
    try:
        holder = json.loads(_by(file).read_text())
        return {key: one_line(str(value)) for key, value in holder.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _forget(file: Path) -> None:
    """Takes both files away while the lock is still held: whoever opens one now makes a new one."""
    with suppress(OSError):  # Windows keeps a file that is open
        _by(file).unlink()
        file.unlink()
