"""The one error class whose text is meant for the player: what was found, what was expected, what to do."""


class SopiError(Exception):
    """Something the user can mend. Its message is one sentence and is shown as it is, without a traceback."""


class SopiWarning(UserWarning):
    """Something was assumed that the user may know better: what, and how to say it. One sentence."""
