"""The words of a command line: what is wrong with them is one line that says what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from sopilib.errors import SopiError

__all__ = ["NoEqual", "Parser", "refuse_no_equal"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: what was found, what was probably meant, and where to read on."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Reads the words. Ends the process with status 2 if they make no command. Options may be written with _ in
        place of -, as older systems write theirs."""
        args = [_dashed(word) for word in (sys.argv[1:] if args is None else args)]
        found, unknown = self.parse_known_args(args, namespace)
        of = self._named(found)
        end = unknown.index("--") if "--" in unknown else len(unknown)  # what follows it is no option
        if unknown and not any(word.startswith("-") for word in unknown[:end]) and (many := of._takes_many()):
            more = unknown[:end] + unknown[end + 1 :]  # named after options
            setattr(found, many, [*(getattr(found, many) or ()), *more])
        elif unknown:
            word = unknown[0].partition("=")[0]
            if word.startswith("-") and len(word) > 1:
                of.error(f"no option {word}{meant(word, of.options())}")
            of.error(f"{word!r} is a word too many, expected {of.format_usage().split(None, 1)[1].split('[-h] ')[-1]}")
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Reads the words that it knows. A switch may be followed by True or False, as in older systems."""
        switches = {o for a in self._actions if isinstance(a, argparse.BooleanOptionalAction) for o in a.option_strings}
        words: list[str] = []
        for word in sys.argv[1:] if args is None else args:
            if words and words[-1] in switches and word.lower() in ("true", "false"):
                if word.lower() == "false":
                    words[-1] = words[-1].replace("--", "--no-", 1).replace("--no-no-", "--", 1)
            else:
                words.append(word)
        return super().parse_known_args(words, namespace)

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

    def _takes_many(self) -> str:
        """What a command calls the words that it takes any number of, such as recordings; empty if it takes none."""
        return next((a.dest for a in self._actions if not a.option_strings and a.nargs == "*" and a.type is None), "")

    def _named(self, found: argparse.Namespace) -> Parser:
        """The parser of the command that was given."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parser = action.choices.get(getattr(found, action.dest, ""))
                if isinstance(parser, Parser):
                    return parser
        return self


class NoEqual(argparse.Action):
    """An option of an older system's that has no equal here."""

    def __init__(self, option_strings: list[str], dest: str, instead: str, **more: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, help=argparse.SUPPRESS, **more)
        self.instead = instead

    def __call__(
        self, parser: argparse.ArgumentParser, args: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        """Remembers it: all of them are told in one sentence."""
        no_equal: dict[str, list[str]] = {**getattr(args, "no_equal", {})}
        args.no_equal = {**no_equal, self.instead: [*no_equal.get(self.instead, []), option]}


def refuse_no_equal(args: argparse.Namespace) -> None:
    """Raises SopiError that says of the options without equal that were given what to use instead."""
    if getattr(args, "no_equal", None):
        raise SopiError("; ".join(f"{', '.join(names)}: {instead}" for instead, names in args.no_equal.items()))


def _dashed(word: str) -> str:
    option, given, value = word.partition("=")
    return option.replace("_", "-") + given + value if re.fullmatch("--[a-z][a-z0-9_-]*", option) else word


def meant(word: str, known: Iterable[str]) -> str:
    """ ", did you mean ...?" if something that is known is much like the word, else nothing."""
    like = difflib.get_close_matches(word.lower(), list(known), 1, 0.6)
    return f", did you mean {like[0]}?" if like else ""
