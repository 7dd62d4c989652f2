"""Addresses and values of the command table in OSC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sopilib import checkpoint
from sopilib.errors import SopiError
from sopilib.live import COMMANDS
from sopilib.live.commands import Argument, Command

__all__ = ["ROOT", "addresses", "as_sent", "check_names", "controls"]

ROOT = "samplernn"


def addresses(kind: str) -> list[str]:
    """The commands and events by whose name a status event is told: its own, and those whose state it is."""
    return [kind, *(c.name for c in COMMANDS.values() if c.told == kind)]


def as_sent(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values of an event or a setting under this name: a command's have no more than the command needs."""
    command = COMMANDS.get(name)
    if command is None or not command.arguments:
        return tuple(values)
    return tuple(values[: len(controls(command))])


def controls(command: Command) -> list[Argument]:
    """What a knob for it sets: what the command needs, or else its first argument."""
    needed = [a for a in command.arguments if a.default is None and not a.optional]
    return needed or list(command.arguments[:1])


def check_names(command: Command, arguments: Sequence[Any]) -> None:
    """Nobody reaches a file by OSC but by its name in its folder. Raises SopiError."""
    words = [a for a in arguments if isinstance(a, str)]
    for word in words:
        if "/" in word or "\\" in word or word.startswith((".", "~")) or not word.isprintable():
            raise SopiError(f"{word!r} is a path, expected a name: OSC reaches no other folders")
    if command.name == "load" and words and (name := " ".join(map(str, arguments))) not in checkpoint.available():
        raise SopiError(f"no model {name!r}, expected one of {', '.join(checkpoint.available())}")
