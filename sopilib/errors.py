"""The one error class whose text is meant for the player: what was found, what was expected, what to do."""


class SopiError(Exception):
    """Something the user can mend. Its message is one sentence and is shown as it is, without a traceback."""


class SopiWarning(UserWarning):
    """Something was assumed that the user may know better: what, and how to say it. One sentence."""


LONGEST = 500  # characters of a message


def one_line(text: str) -> str:
    """`text`, which may quote a file that nobody has checked, as one printable line that is not too long."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
