"""Reads messages: from a name and its atoms, as Pd and OSC have them, to a command of the table and checked values."""

from __future__ import annotations

import difflib
import math
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sopilib.errors import SopiError
from sopilib.live.commands import COMMANDS, SHAPES, Argument, Command

__all__ = [
    "LARGEST_FLOAT",
    "LARGEST_SHOWN",
    "Curve",
    "Message",
    "Numeral",
    "is_cut_off",
    "known",
    "number_text",
    "parse",
]


@dataclass(frozen=True)
class Curve:
    """levels[0] at once, and after each of the times, in seconds, the next level; by curves, numbers (0 is a line) or
    names, as SuperCollider's Env has them."""

    levels: tuple[float, ...]
    times: tuple[float, ...]
    curves: tuple[float | str, ...]


Message = tuple[Command, "list[Any] | None"]


LARGEST_SHOWN = 999_999
"""Of whole numbers, what Pd shows and saves in full."""
LARGEST_FLOAT = 2**24
"""Of whole numbers, up to which a 32-bit float has every one."""


def number_text(number: int) -> str:
    """A whole number as text that Pd neither takes for a number nor cuts short: s18446744073709551615."""
    return f"s{number}"


def _text_number(text: str) -> int | None:
    """The number that such a text is; None if it is none. Small ones are names: s1 may be an array."""
    found = re.fullmatch(r"s([0-9]{7,20})", text)
    return int(found[1]) if found and int(found[1]) > LARGEST_SHOWN else None


class Numeral(str):
    """A name that came as a number: Pd takes 007 for 7, and 1e3 for 1000."""


def known(name: str) -> str:
    """What to send in place of a name that no message has."""
    close = difflib.get_close_matches(name, COMMANDS, 1)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(COMMANDS)}"


def parse(selector: str, atoms: Sequence[Any]) -> Message:
    """-> the command and its arguments, checked, with defaults; None in their place if the message is a query. The
    argument of kind "message" is again such a pair.

    Numbers must be numbers: text is an error even if it looks like one. Raises SopiError.
    """
    if _is_number(selector):
        raise SopiError(f"{selector}: a number alone says nothing, expected a message such as temperature {selector}")
    name = selector.removesuffix("?")
    command = COMMANDS.get(name)
    if command is None or (name != selector and not command.query):
        if selector.lower().startswith("env("):
            raise SopiError(f"{selector}: an envelope is the value of a message: write temperature {ENVELOPE}")
        raise SopiError(f"no message {selector!r}, {known(name)}")
    if command.query and (name != selector or not atoms):
        return command, None
    arguments = command.arguments
    values: list[Any] = []
    for i, argument in enumerate(arguments):
        if i < len(atoms) and argument.kind in ("text", "message"):
            rest, atoms = atoms[i:], atoms[: i + 1]
            values.append(
                _message(name, argument, rest) if argument.kind == "message" else _text_of(name, argument, rest)
            )
        elif i < len(atoms) and argument.kind == "level" and not isinstance(atoms[i], numbers.Real):
            rest, atoms = atoms[i:], atoms[: i + 1]
            values.append(_curve(name, argument, rest))
        elif i < len(atoms):
            values.append(_value(name, argument, atoms[i]))
        elif argument.default is not None or argument.optional:
            values.append(argument.default)
        else:
            raise SopiError(f"{name}: {argument.name} is missing, expected {argument.expected}")
    if len(atoms) > len(arguments):
        raise SopiError(f"{name}: {len(atoms)} arguments, expected {command.usage}")
    return command, values


def _text_of(name: str, argument: Argument, atoms: Sequence[Any]) -> str:
    text = " ".join(_text(a) for a in atoms).strip()
    if not text:
        raise _wrong(name, argument, text)
    return Numeral(text) if len(atoms) == 1 and isinstance(atoms[0], numbers.Real) else text


def _message(name: str, argument: Argument, atoms: Sequence[Any]) -> Message:
    command, values = parse(_text(atoms[0]), atoms[1:])
    if not command.voice:
        known = ", ".join(c.name for c in COMMANDS.values() if c.voice)
        raise SopiError(f"{name}: {command.name} is for all voices together, expected one of {known}")
    return command, values


ENVELOPE = "env [0.7 1.1 0.9] [2 4] [-2 0]"
"""One, as an error shows it."""
_ENVELOPE = re.compile(r"env\s*\(?\s*\[([^\]]*)\]\s*,?\s*\[([^\]]*)\]\s*(?:,?\s*\[([^\]]*)\])?\s*\)?", re.IGNORECASE)


def is_cut_off(atoms: Sequence[Any]) -> bool:
    """Whether these are the beginning of an envelope that Pd has ended at its first comma."""
    text = " ".join(map(str, atoms))
    return text.lower().startswith("env") and text.count("[") > text.count("]")


def _curve(name: str, argument: Argument, atoms: Sequence[Any]) -> Curve:
    """env [levels] [times] [curves], with spaces or commas between numbers, and Env([levels],[times],[curves])."""
    text = " ".join(str(a) for a in atoms).replace("\\", "")  # Pd's escapes
    if not text.lower().startswith("env"):
        raise _wrong(name, argument, text)
    if is_cut_off(atoms):
        raise SopiError(
            f"{name}: Pd ends a message at its first comma, here after {text!r}; write {ENVELOPE} "
            "with spaces, or \\, in place of each comma"
        )
    found = _ENVELOPE.fullmatch(text.strip())
    if found is None:
        raise SopiError(f"{name}: {text!r} is no envelope, expected env [levels] [times] [curves]")
    levels, times, curves = (_numbers(part or "") for part in found.groups())
    if len(curves) <= 1:
        curves = (curves or [0.0]) * len(times)
    if not levels or len(times) != len(levels) - 1 or len(curves) != len(times):
        raise SopiError(
            f"{name}: {len(levels)} levels, {len(times)} times and {len(curves)} curves in an envelope, expected one "
            "time less than levels, and as many curves as times, one curve or none"
        )
    for level in levels:
        if not isinstance(level, float) or not argument.least <= level <= argument.most:
            raise SopiError(f"{name}: level {level} in an envelope, expected {argument.least:g} to {argument.most:g}")
    for time in times:
        if not isinstance(time, float) or not 0 <= time <= 3600:
            raise SopiError(f"{name}: time {time} in an envelope, expected 0 to 3600 seconds")
    for curve in curves:
        if not (abs(curve) <= 100 if isinstance(curve, float) else curve in SHAPES):
            raise SopiError(f"{name}: curve {curve} in an envelope, expected -100 to 100 or one of {', '.join(SHAPES)}")
    return Curve(tuple(levels), tuple(times), tuple(curves))  # type: ignore[arg-type]  # just checked


def _numbers(text: str) -> list[float | str]:
    """The words of a list as numbers, where they are some."""
    words: list[float | str] = []
    for word in text.replace(",", " ").split():
        try:
            words.append(float(word))
        except ValueError:
            words.append(word)
    return words


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _text(atom: Any) -> str:
    whole = isinstance(atom, numbers.Real) and (isinstance(atom, int) or float(atom).is_integer())
    return str(math.floor(atom)) if whole else str(atom)


def _wrong(name: str, argument: Argument, atom: Any) -> SopiError:
    found = _text(atom) if isinstance(atom, numbers.Real) else repr(_text(atom))
    return SopiError(f"{name}: {argument.name} is {found}, expected {argument.expected}")


_NOTE = re.compile(r"[0-9]{1,9}/[0-9]{1,9}")


def _note(argument: Argument, atom: Any, wrong: SopiError) -> str:
    """A length in whole notes as a fraction in its lowest terms, or off."""
    if _text(atom) in ("off", "0"):
        return "off"
    text = _text(atom)
    try:
        # no exponent, which may stand for a number that fills the memory
        length = Fraction(text if _NOTE.fullmatch(text) else float(text)).limit_denominator(128)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise wrong from None
    if not 0 < length <= argument.most:
        raise wrong
    return str(length)


def _value(name: str, argument: Argument, atom: Any) -> Any:
    is_number = isinstance(atom, numbers.Real)
    wrong = _wrong(name, argument, atom)
    if argument.kind == "choice":
        if _text(atom) not in argument.choices:
            raise wrong
        return _text(atom)
    if argument.kind == "sound" and not is_number and (whole := _text_number(_text(atom))) is not None:
        atom, is_number = whole, True
    if argument.kind == "word":
        return _text_of(name, argument, [atom])
    if argument.kind == "note":
        return _note(argument, atom, wrong)
    if argument.kind in ("sound", "slot") and not is_number:
        if not _text(atom).strip():
            raise wrong
        return _text(atom).strip()
    if not is_number or not argument.least <= atom <= argument.most or abs(atom) == math.inf:
        raise wrong
    if argument.kind in ("float", "level"):
        return float(atom)
    if atom != math.floor(atom) or (argument.kind == "switch" and atom not in (0, 1)):
        raise wrong
    return math.floor(atom)
