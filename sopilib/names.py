"""Names of files in three forms: as Python has them, as other libraries and formats take them, and as they are shown.

A name on a disk is bytes, and on an old disk of samples they need not be UTF-8. Inside it is a str, in which bytes
that are no text are surrogates, as `os.fsdecode` makes them. At the edges it becomes

    for_library   what a C library is given: bytes on POSIX, a str on Windows
    escaped       text for JSON, OSC and metadata, where each such byte is %XX; `unescaped` reads it back
    shown         text for people, where each such byte is the replacement character
    for_shell     a word of a command line that a shell reads back as this name
"""

from __future__ import annotations

import os
import re
import shlex
import sys

__all__ = ["SHOWN", "escaped", "for_library", "for_shell", "shown", "unescaped"]

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
