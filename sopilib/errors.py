"""The one error class whose text is meant for the player: what was found, what was expected, what to do."""

import sys
import traceback
from contextlib import suppress


class SopiError(Exception):
    """Something the user can mend. Its message is one sentence and is shown as it is, without a traceback."""


class SopiWarning(UserWarning):
    """Something was assumed that the user may know better: what, and how to say it. One sentence."""


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
