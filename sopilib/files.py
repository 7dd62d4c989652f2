"""Files that are whole or not there: everything that sopilib writes goes through here.

What is written first goes into a file beside its own, `NAME.part`. Only when that is complete and on the disk does it
take the name, in one step. So whoever looks finds the old file or the new one, never half of one, even after a crash or
on a full disk. Nothing that may be the user's own is replaced: who writes over a file says that this is meant.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sopilib.errors import SopiError
from sopilib.names import shown

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["holds_others", "refuse_foreign", "whole_file", "whole_folder", "write_whole"]

_PART = re.compile(r"(\.\d+)?\.part$")
_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def whole_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Gives the path to write to in place of `path`. What lies there at the end takes the name `path`.

    overwrite  False: a file that has this name already is kept, and FileExistsError raised, at the end too, if one
               came to be meanwhile.

    A link stays one: the file that it leads to is replaced. A file that is replaced keeps its permissions. Who writes
    the same file at the same time, in this process or in another, has another path to write to. If the block raises
    anything, or OSError is raised because the disk is full or can't be written, `path` is as it was before and nothing
    is left beside it.
    """
    if overwrite:
        path = Path(os.path.realpath(path))
    elif os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is such a file already", str(path))
    with _claimed(path, _open_file) as half:
        try:
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
            if mode is not None:  # from the beginning: nobody else reads meanwhile what only some may
                os.chmod(half, mode | stat.S_IRUSR | stat.S_IWUSR)
            yield half
            _sync_file(half)
            if mode is not None:
                os.chmod(half, mode)
            if overwrite:
                os.replace(half, path)
            else:
                _name_if_free(half, path)
        except BaseException:
            half.unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives the folder to fill in place of `path`, whose name it takes at the end, when all its files are on the disk.

    Raises FileExistsError if there is something of that name, at the end too. If the block raises anything, or OSError
    is raised because the disk is full or can't be written, nothing is left.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is such a folder already", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _claimed(path, _open_folder) as half:
        try:
            for old in half.iterdir():  # of one that was cut off
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
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
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
    _sync_folder(path.parent)


@contextmanager
def _claimed(path: Path, opened: Callable[[Path], int]) -> Iterator[Path]:
    """Gives a path beside `path` that nobody else writes to: the first of NAME.part, NAME.1.part... that can be locked.
    What a process left there that is gone is not locked any more, and is used again."""
    if fcntl is None:
        half = path.with_name(f"{path.name}.{os.getpid()}.part")
        os.close(opened(half))
        yield half
        return
    for number in itertools.count():
        half = path.with_name(path.name + (f".{number}" if number else "") + ".part")
        while True:
            descriptor = opened(half)
            try:
                if not _locked(descriptor):
                    break  # somebody writes to it: the next number
                if _is_at(descriptor, half):  # whoever had it may have given it its name meanwhile
                    yield half
                    return
            finally:
                os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Locks a file until it is closed. False if somebody has; True too where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _open_file(half: Path) -> int:
    return os.open(half, os.O_WRONLY | os.O_CREAT | _PLAIN, 0o666)


def _open_folder(half: Path) -> int:
    with suppress(FileExistsError):
        half.mkdir()
    return os.open(half, os.O_RDONLY | _PLAIN)


def write_whole(path: Path, content: bytes | memoryview | str, *, overwrite: bool = True) -> None:
    """Writes a file of these bytes, or of a text for people (in UTF-8, names in it as `names.shown`), in place of an
    old one unless `overwrite` is False. If it raises OSError, which FileExistsError is too, the old one is as it was.
    """
    with whole_file(path, overwrite=overwrite) as half:
        half.write_bytes(shown(content).encode() if isinstance(content, str) else content)


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
    return any(_PART.sub("", name) not in own and not name.startswith(".") for name in os.listdir(folder))


def _name_if_free(half: Path, path: Path) -> None:
    """Gives `half` the name `path`, or raises FileExistsError if somebody has taken it."""
    try:
        os.link(half, path)
        half.unlink()
    except FileExistsError:
        raise
    except OSError:  # a file system without links, as on a memory stick: takes the name first, then fills it
        path.open("xb").close()
        try:
            os.replace(half, path)
        except BaseException:
            path.unlink()
            raise


def _sync_file(path: Path) -> None:
    """Puts what was written into a file on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Puts a new name on the disk, where the system can say so of a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    # some file systems over a network sync no folders, and some folders can't be read: the file itself is safe
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
