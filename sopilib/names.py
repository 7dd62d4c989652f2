"""Names of files in three forms: as Python has them, as other libraries and formats take them, and as they are shown.

A name on a disk is bytes, and on an old disk of samples they need not be UTF-8. Inside it is a str, in which bytes
that are no text are surrogates, as `os.fsdecode` makes them. At the edges it becomes

    for_library   what a C library is given: bytes on POSIX, a str on Windows
    escaped       text for JSON, OSC and metadata, where each such byte is %XX; `unescaped` reads it back
    shown         text for people, where each such byte is the replacement character
    for_shell     a word of a command line that a shell reads back as this name

`named` finds what a name or a pattern means, and `files_in` what is in a folder.
"""

from __future__ import annotations

import codecs
import fnmatch
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

__all__ = [
    *(
        "SHOWN",
        "escaped",
        "files_in",
        "for_library",
        "for_shell",
        "in_json",
        "is_named",
        "named",
        "show_on",
        "shown",
        "unescaped",
    ),
]

SHOWN = "\N{REPLACEMENT CHARACTER}"
"""What stands for a byte that is no text."""

_NO_TEXT = re.compile("[\ud800-\udfff]")
_BYTE = "[89A-F][0-9A-F]"
_TO_ESCAPE = re.compile(f"%(?=(?:25)*{_BYTE})|[\udc80-\udcff]")
_ESCAPED = re.compile(f"%25(?=(?:25)*{_BYTE})|%({_BYTE})")


def for_library(path: str | os.PathLike[str]) -> bytes | str:
    """The path as a C library opens it."""
    return os.fspath(path) if sys.platform == "win32" else os.fsencode(path)


def escaped(name: str | os.PathLike[str]) -> str:
    """The name as text that is UTF-8 in any case. One that is already stays as it is, unless it looks escaped."""

    def escape(found: re.Match[str]) -> str:
        return "%25" if found[0] == "%" else f"%{ord(found[0]) - 0xDC00:02X}"

    return _NO_TEXT.sub(SHOWN, _TO_ESCAPE.sub(escape, os.fspath(name)))


def unescaped(text: str) -> str:
    """The name that `escaped` wrote."""
    return _ESCAPED.sub(lambda found: "%" if found[1] is None else chr(0xDC00 + int(found[1], 16)), text)


def in_json(value: Any, indent: int | None = None) -> str:
    """JSON that can be written in UTF-8, and is read back as it was, whatever names are in it."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if _NO_TEXT.search(text) is None else json.dumps(value, indent=indent)


def shown(name: str | os.PathLike[str]) -> str:
    """The name for people."""
    return _NO_TEXT.sub(SHOWN, os.fspath(name))


def for_shell(name: str | os.PathLike[str]) -> str:
    """The name as a word of a command that can be pasted into a shell (bash, zsh, ksh where it is no text)."""
    text = os.fspath(name)
    if _NO_TEXT.search(text) is None:
        return shlex.quote(text)
    printable = (chr(b) if 0x20 <= b < 0x7F and chr(b) not in "'\\" else f"\\x{b:02x}" for b in os.fsencode(text))
    return f"$'{''.join(printable)}'"


def show_on(stream: TextIO) -> None:
    """From now on names that are no text are shown on this stream as `shown` has them, or with question marks where
    its encoding has no better, instead of raising UnicodeEncodeError."""
    codecs.register_error("sopi-shown", _as_shown)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="sopi-shown")


def _as_shown(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # an encoder of UTF-8 takes no text that isn't ASCII from here, but bytes
    mark: str | bytes = SHOWN.encode() if error.encoding.lower().replace("-", "") == "utf8" else "?"
    return mark * (error.end - error.start), error.end


def named(wanted: str | os.PathLike[str]) -> list[str]:
    """The paths that a name or a pattern means: those of files and folders that there are. Each part of it means what
    has just that name, `a[1].wav` too; only if there is nothing it is a pattern, of *, ?, [...] and, for folders within
    folders, **. Those that a pattern fits are sorted."""
    text = os.path.expanduser(os.fspath(wanted))
    root, parts = ("/" if text.startswith("/") else ""), [part for part in text.split("/") if part]
    if os.path.lexists(text):
        return [text]
    return list(dict.fromkeys(_fitting(root, parts)))


def is_named(name: str, wanted: str) -> bool:
    """Whether a name is the one that is wanted, or fits it as a pattern."""
    return name == wanted or fnmatch.fnmatchcase(name, wanted)


def _fitting(base: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield base
        return
    part, *rest = parts
    if os.path.lexists(os.path.join(base, part)):
        yield from _fitting(os.path.join(base, part), rest)
    elif part == "**":
        for folder, _, _ in _walk(base or "."):
            inside = os.path.relpath(folder, base or ".")
            yield from _fitting(base if inside == "." else os.path.join(base, inside), rest or ["*"])
    elif any(letter in part for letter in "*?["):
        try:
            names = sorted(os.listdir(base or "."))
        except OSError:
            return
        for name in names:
            if fnmatch.fnmatchcase(name, part) and name.startswith(".") == part.startswith("."):
                yield from _fitting(os.path.join(base, name), rest)


def files_in(folder: str | os.PathLike[str], passed_over: Callable[[str], bool] = lambda folder: False) -> list[str]:
    """The paths of all files in a folder and in those within it, sorted. Links to folders are followed, and each folder
    is looked at once, so that a link that leads back makes no circle. A folder that can't be read is there itself.

    passed_over  says of a folder within this one whether it is left out, with all that is in it
    """
    found: list[str] = []
    for inside, files, readable in _walk(os.fspath(folder), passed_over):
        found += [os.path.join(inside, name) for name in files] if readable else [inside]
    return sorted(found, key=lambda path: path.split(os.sep))


def _walk(top: str, passed_over: Callable[[str], bool] = lambda folder: False) -> Iterator[tuple[str, list[str], bool]]:
    """-> each folder, the names of what it has beside folders, and whether it could be read. A folder that is there and
    is linked to, too, is told as it is there; a link out to where all of this lies is a circle as well."""
    seen = {_identity(str(parent)) for parent in Path(os.path.realpath(top)).parents}
    waiting, links = [top], list[str]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            identity, names = _identity(folder), sorted(os.listdir(folder))
        except OSError:
            yield folder, [], False
            continue
        if identity in seen or (folder != top and passed_over(folder)):
            continue
        seen.add(identity)
        folders = [path for name in names if os.path.isdir(path := os.path.join(folder, name))]
        yield folder, [name for name in names if os.path.join(folder, name) not in folders], True
        links += [path for path in folders if os.path.islink(path)]
        waiting += [path for path in folders if not os.path.islink(path)]


def _identity(folder: str) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino
