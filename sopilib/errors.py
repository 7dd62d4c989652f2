"""The one error class whose text is meant for the player: what was found, what was expected, what to do."""

import os
import sys
import traceback
from contextlib import suppress
from typing import TypeGuard

from sopilib.names import shown


class SopiError(Exception):
    """Something the user can mend. Its message is one sentence and is shown as it is, without a traceback."""


class SopiWarning(UserWarning):
    """Something was assumed that the user may know better: what, and how to say it. One sentence."""


TROUBLES = (SopiError, OSError, UnicodeError, MemoryError)
"""What a file, its name or the machine can do to us: whoever tells a SopiError tells these just so, by `sentence`."""


def sentence(error: BaseException) -> str:
    """What is wrong, in one line for the player."""
    words = " ".join(str(error).split())
    if isinstance(error, OSError):
        reason = error.strerror or words or "it can't be read or written"
        return f"{shown(os.fsdecode(error.filename))}: {reason}" if _is_path(error.filename) else reason
    if isinstance(error, MemoryError):
        return f"there is not enough memory{': ' * bool(words)}{words}"
    if isinstance(error, UnicodeError):
        return f"a text is in no encoding that is known here ({words})"
    if isinstance(error, RecursionError) or not isinstance(error, SopiError | RuntimeError | ValueError):
        return f"it can't be done ({type(error).__name__}{': ' * bool(words)}{words})"
    return words or type(error).__name__


def _is_path(name: object) -> TypeGuard[str | bytes | os.PathLike[str]]:
    return isinstance(name, str | bytes | os.PathLike)


def print_fault(line: str = "") -> None:
    """Prints the exception that is being handled with its traceback on the console, after `line` if there is one. It
    never raises: that the console is gone is no reason for anything else to stop."""
    with suppress(Exception):
        if line:
            print(line, file=sys.stderr)
        traceback.print_exc()


LONGEST = 500  # characters of a message


def one_line(text: str) -> str:
    """`text`, which may quote a file that nobody has checked, as one printable line that is not too long."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
