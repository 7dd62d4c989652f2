"""The command table: every message a performer understands, said once.

Pd methods, OSC addresses, the command line's help and the reference pages are made from it. Adding a control is one
entry here and one method `do_<name>` of `Performer`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sopilib.errors import SopiError

__all__ = ["COMMANDS", "STATUS", "Argument", "Command", "parse"]


@dataclass(frozen=True)
class Argument:
    """kind: "float", "int", "switch" (0 or 1), "text" (the rest of the message), "sound" (an integer, or the name of
    an array or a file). A range is inclusive. `default` None: the argument is required, unless `optional`."""

    name: str
    kind: str
    least: float = -math.inf
    most: float = math.inf
    default: float | None = None
    optional: bool = False
    unit: str = ""

    @property
    def expected(self) -> str:
        """In words: what may stand here."""
        if self.kind == "switch":
            return "0 or 1"
        if self.kind == "text":
            return "a name or a path"
        if self.kind == "sound":
            return f"a whole number from {self.least:g} up, an array or a file"
        what = {"float": "a number", "int": "a whole number"}[self.kind]
        unit = f" {self.unit}" if self.unit else ""
        if math.isinf(self.least) and math.isinf(self.most):
            return what + unit
        if math.isinf(self.most):
            return f"{what} from {self.least:g}{unit} up"
        return f"{what} from {self.least:g} to {self.most:g}{unit}"


@dataclass(frozen=True)
class Command:
    """One message. `query`: without arguments, or with `?` after its name, it answers with its present value.
    `told`: the status event that says its present state, where that has another name."""

    name: str
    arguments: tuple[Argument, ...]
    help: str
    query: bool = False
    told: str = ""

    @property
    def usage(self) -> str:
        words = [f"[{a.name}]" if a.optional or a.default is not None else f"<{a.name}>" for a in self.arguments]
        return " ".join([self.name, *words])


RAMP = Argument("ms", "float", 0, 3_600_000, default=0, unit="ms")

COMMANDS: dict[str, Command] = {
    c.name: c
    for c in (
        Command("load", (Argument("model", "text"),), "Loads a model in the background and crossfades to it."),
        Command(
            "generate",
            (Argument("on", "switch", default=1),),
            "Starts the sound where it was; with 0, stops it.",
            told="playing",
        ),
        Command("stop", (), "Stops the sound, as generate 0 does."),
        Command(
            "temperature",
            (Argument("temperature", "float", 0.01, 5), RAMP),
            "How far the model strays from the likeliest: 1 as it learned, less is tamer. Ramp in ms.",
            query=True,
        ),
        Command(
            "seed",
            (
                Argument("sound", "sound", 0, 2**64 - 1),
                Argument("offset", "float", 0, default=0, unit="ms"),
                Argument("length", "float", 1, 600_000, optional=True, unit="ms"),
            ),
            "A number: its music from the beginning. An array or file: the model hears it, then goes on.",
            query=True,
        ),
        Command("reset", (), "The music of the present seed from its beginning."),
        Command(
            "latency",
            (Argument("ms", "float", 2, 500, unit="ms"),),
            "Time from a message to the sound it changes. Must be longer than what the host computes at once.",
            query=True,
        ),
        Command(
            "gain", (Argument("gain", "float", 0, 4), RAMP), "Volume: 1 as the model has it. Ramp in ms.", query=True
        ),
        Command(
            "freewheel",
            (Argument("on", "switch"),),
            "1: the host waits for the sound, for rendering faster or slower than real time.",
            query=True,
        ),
        Command("tick", (Argument("on", "switch", default=1),), "Asks for a tick at each smallest frame."),
        Command("status", (), "Answers with everything at once."),
        Command("models", (), "Answers with the names of the models that load finds."),
    )
}

STATUS: dict[str, str] = {
    "loading": "name: a model is being loaded",
    "loaded": "name, sample rate in Hz: it is ready and sounds from now on",
    "primed": "name, milliseconds: the model has heard this sound and goes on from it",
    "playing": "0 or 1",
    "temperature": "value, milliseconds of its ramp",
    "gain": "value, milliseconds of its ramp",
    "seed": "number",
    "latency": "milliseconds, frames of the host",
    "freewheel": "0 or 1",
    "tick": "0 or 1",
    "level": "peak in dB (0: full scale)",
    "rtf": "seconds of sound made in one second of work",
    "underruns": "times the sound ran out",
    "late": "messages that came too late for their time, the worst lateness in milliseconds",
    "burst": "frames that the host takes at once",
    "model": "name, sample rate in Hz",
    "models": "names",
    "warning": "one line",
    "error": "one line: what was found, what was expected, what to do",
}


def parse(selector: str, atoms: Sequence[Any]) -> tuple[Command, list[Any] | None]:
    """-> the command and its arguments, checked, with defaults; None in their place if the message is a query.

    Numbers must be numbers: text is an error even if it looks like one. Raises SopiError.
    """
    name = selector.removesuffix("?")
    command = COMMANDS.get(name)
    if command is None or (name != selector and not command.query):
        raise SopiError(f"no message {selector!r}, expected one of {', '.join(COMMANDS)}")
    if command.query and (name != selector or not atoms):
        return command, None
    arguments = command.arguments
    if arguments and arguments[0].kind == "text":
        atoms = [" ".join(_text(a) for a in atoms)] if atoms else []
    if len(atoms) > len(arguments):
        raise SopiError(f"{name}: {len(atoms)} arguments, expected {command.usage}")
    values: list[Any] = []
    for i, argument in enumerate(arguments):
        if i < len(atoms):
            values.append(_value(name, argument, atoms[i]))
        elif argument.default is not None or argument.optional:
            values.append(argument.default)
        else:
            raise SopiError(f"{name}: {argument.name} is missing, expected {argument.expected}")
    return command, values


def _text(atom: Any) -> str:
    return str(math.floor(atom)) if isinstance(atom, numbers.Real) and float(atom).is_integer() else str(atom)


def _value(name: str, argument: Argument, atom: Any) -> Any:
    is_number = isinstance(atom, numbers.Real)
    found = _text(atom) if is_number else repr(_text(atom))
    wrong = SopiError(f"{name}: {argument.name} is {found}, expected {argument.expected}")
    if argument.kind == "text" or (argument.kind == "sound" and not is_number):
        text = _text(atom).strip()
        if not text:
            raise wrong
        return text
    if not is_number or not math.isfinite(atom) or not argument.least <= atom <= argument.most:
        raise wrong
    if argument.kind == "float":
        return float(atom)
    if atom != math.floor(atom) or (argument.kind == "switch" and atom not in (0, 1)):
        raise wrong
    return math.floor(atom)
