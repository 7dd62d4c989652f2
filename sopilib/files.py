"""Files that are whole or not there: everything that sopilib writes goes through here.

What is written first goes into a file beside its own, `NAME.part`. Only when that is complete and on the disk does it
take the name, in one step. So whoever looks finds the old file or the new one, never half of one, even after a crash or
on a full disk. Nothing that may be the user's own is replaced: who writes over a file says that this is meant.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sopilib.errors import SopiError

__all__ = ["holds_others", "refuse_foreign", "whole_file", "whole_folder", "write_whole"]


_turns: weakref.WeakValueDictionary[str, threading.Lock] = weakref.WeakValueDictionary()
"""By file: whose turn it is to write it, as long as somebody does."""


@contextmanager
def whole_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Gives the path to write to in place of `path`. What lies there at the end takes the name `path`.

    overwrite  False: a file that has this name already is kept, and FileExistsError raised, at the end too, if one
               came to be meanwhile.

    Threads that write the same file take turns. If the block raises anything, or OSError is raised because the disk is
    full or can't be written, `path` is as it was before and nothing is left beside it.
    """
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is such a file already", str(path))
    half = path.with_name(path.name + ".part")
    with _turns.setdefault(os.path.abspath(half), threading.Lock()):
        try:
            yield half
            _sync_file(half)
            if overwrite:
                os.replace(half, path)
            else:
                _name_if_free(half, path)
            _sync_folder(path.parent)
        finally:
            if half.is_file() or half.is_symlink():
                half.unlink()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives the folder to fill in place of `path`, whose name it takes at the end, when all its files are on the disk.

    Raises FileExistsError if there is something of that name, at the end too. If the block raises anything, or OSError
    is raised because the disk is full or can't be written, nothing is left.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is such a folder already", str(path))
    half = path.with_name(path.name + ".part")
    shutil.rmtree(half, ignore_errors=True)
    try:
        half.mkdir(parents=True)
        yield half
        for inside in half.rglob("*"):
            if inside.is_file():
                _sync_file(inside)
            elif inside.is_dir():
                _sync_folder(inside)
        _sync_folder(half)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "somebody made such a folder meanwhile", str(path))
        half.rename(path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def write_whole(path: Path, content: bytes | memoryview, *, overwrite: bool = True) -> None:
    """Writes a file of these bytes, in place of an old one unless `overwrite` is False. If it raises OSError, which
    FileExistsError is too, the old one is as it was."""
    with whole_file(path, overwrite=overwrite) as half:
        half.write_bytes(content)


def refuse_foreign(path: Path, is_kind: Callable[[Path], bool], kind: str, overwrite: bool) -> None:
    """Raises SopiError unless `path` is free, or holds a file of the kind to be written and may be overwritten.

    is_kind    says whether a file that exists is of this kind
    kind       what that is, as in "no {kind}"
    overwrite  whether the user asked for it
    """
    if not os.path.lexists(path):
        return
    if not path.is_file() or not is_kind(path):
        raise SopiError(f"{path}: there is something of that name that is no {kind}, expected the name of a new file")
    if not overwrite:
        raise SopiError(f"{path}: there is such a file already, expected another name, or --overwrite to replace it")


def holds_others(folder: Path, own: Collection[str] = ()) -> bool:
    """True if there is something in this folder, or of its name, that may be the user's: all but hidden files, what has
    a name in `own`, and what is left of that where it was cut off. False if there is no such folder. Raises OSError if
    it can't be read."""
    if not folder.is_dir():
        return os.path.lexists(folder)
    return any(name.removesuffix(".part") not in own and not name.startswith(".") for name in os.listdir(folder))


def _name_if_free(half: Path, path: Path) -> None:
    """Gives `half` the name `path`, or raises FileExistsError if somebody has taken it."""
    try:
        os.link(half, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, as on a memory stick: takes the name first, then fills it
        path.open("xb").close()
        os.replace(half, path)


def _sync_file(path: Path) -> None:
    """Puts what was written into a file on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Puts a new name on the disk, where the system can say so of a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems over a network sync no folders: the file itself is safe
        pass
    finally:
        os.close(descriptor)
