"""Addresses and values of the command table in OSC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sopilib.live import COMMANDS
from sopilib.live.commands import Argument, Command
from sopilib.live.messages import number_text
from sopilib.names import escaped

__all__ = ["ROOT", "addresses", "as_sent", "controls", "names"]

ROOT = "samplernn"
LARGEST_INT = 2**31 - 1  # that every controller reads: above it a seed is text, as in Pd


def addresses(kind: str) -> list[str]:
    """The commands and events by whose name a status event is told: its own, and those whose state it is."""
    return [kind, *(c.name for c in COMMANDS.values() if c.told == kind)]


def as_sent(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values of an event or a setting under this name: a command's have no more than the command needs."""
    values = tuple(_as_sent(v) for v in values)
    command = COMMANDS.get(name)
    if command is None or not command.arguments:
        return values
    return values[: len(controls(command))]


def _as_sent(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    return number_text(value) if isinstance(value, int) and value > LARGEST_INT else value


def controls(command: Command) -> list[Argument]:
    """What a knob for it sets: what the command needs, or else its first argument."""
    needed = [a for a in command.arguments if a.default is None and not a.optional]
    return needed or list(command.arguments[:1])


def names(command: Command, arguments: Sequence[Any]) -> list[str]:
    """Those of the arguments that name a model, an array or a file."""
    last = len(command.arguments) - 1
    places = [command.arguments[min(i, last)] for i in range(len(arguments))] if command.arguments else []
    found = [a for a, place in zip(arguments, places) if place.kind in ("text", "sound", "slot")]
    return [a for a in found if isinstance(a, str)]
