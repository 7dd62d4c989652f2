"""The words of a command line: what is wrong with them is one line that says what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: what was found, what was probably meant, and where to read on."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Reads the words. Ends the process with status 2 if they make no command. Options may be written with _ in
        place of -, as older systems write theirs."""
        args = [_dashed(word) for word in (sys.argv[1:] if args is None else args)]
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            of = self._named(found)
            word = unknown[0].partition("=")[0]
            if word.startswith("-") and len(word) > 1:
                of.error(f"no option {word}{meant(word, of.options())}")
            of.error(f"{word!r} is a word too many, expected {of.format_usage().split(None, 1)[1].split('[-h] ')[-1]}")
        return found

    def options(self) -> list[str]:
        """All options that it knows."""
        return [option for action in self._actions for option in action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2 and one line."""
        choice = re.fullmatch(r"argument (.+?): invalid choice: '(.*)' \(choose from (.*)\)", message)
        if choice is not None:
            of, word, known = choice.groups()
            names = [name.strip("' ") for name in known.split(",")]
            message = f"{of} is {word!r}{meant(word, names) or ', expected one of ' + ', '.join(names)}"
        required = re.fullmatch(r"the following arguments are required: (.*)", message)
        if required is not None:
            message = f"{required[1]} is missing"
        line = " ".join(message.removeprefix("argument ").split())
        print(f"{self.prog}: {line}; {self.prog} --help says more", file=sys.stderr)
        raise SystemExit(2)

    def _named(self, found: argparse.Namespace) -> Parser:
        """The parser of the command that was given."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parser = action.choices.get(getattr(found, action.dest, ""))
                if isinstance(parser, Parser):
                    return parser
        return self


def _dashed(word: str) -> str:
    option, given, value = word.partition("=")
    return option.replace("_", "-") + given + value if re.fullmatch("--[a-z][a-z0-9_-]*", option) else word


def meant(word: str, known: Iterable[str]) -> str:
    """ ", did you mean ...?" if something that is known is much like the word, else nothing."""
    like = difflib.get_close_matches(word.lower(), list(known), 1, 0.6)
    return f", did you mean {like[0]}?" if like else ""
