"""What every importer needs: the options that fill in what a checkpoint doesn't say, the record of an import, and the
checkpoint's arrays."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from sopilib.errors import SopiError, one_line

__all__ = ["Options", "Parameters", "Record", "newest"]


_EXPECTED = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}


def _option(help: str) -> Any:
    return field(default=None, metadata={"help": help})


def newest(folders: Iterable[Path], pattern: str) -> Path | None:
    """The last checkpoint in these folders: the file with the highest epoch, and of those with the highest iteration.

    pattern  a regular expression that whole names of checkpoints match; it captures epoch and iteration

    None if no name matches.
    """
    found = [
        (int(name[1][:18]), int(name[2][:18]), file)
        for folder in folders
        for file in folder.glob("*")
        if (name := re.fullmatch(pattern, file.name, re.ASCII)) and file.is_file()
    ]
    return max(found)[2] if found else None


@dataclass(frozen=True)
class Options:
    """What the older systems' checkpoints don't say. None: not given, so the importer takes what it finds beside the
    checkpoint, or else a default, and warns. Also the options of `sopi import`, with these helps."""

    sample_rate: int | None = _option("Hz of the sound that it was trained on")
    q_type: str | None = _option("how sound was quantised: mu-law or linear, as the system it comes from has them")
    final_relu: bool | None = _option("PRiSM before December 2020: a ReLU stands after the last layer")
    sound: str | None = _option("a2aaron: the sound file that it was trained on, or the run's _ground_truth.wav")
    lowest: float | None = _option("a2aaron: the lowest sample of the sound that it was trained on, such as -1")
    highest: float | None = _option("a2aaron: its highest sample, such as 1")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Options:
        """Options from names and values; None stands for not given. Raises SopiError for a name that is no option, and
        for a value of another type than the option has."""
        known = cls.types()
        for name, value in values.items():
            if name not in known:
                raise SopiError(f"option {name!r} is unknown, expected one of {', '.join(known)}")
            kind, expected = known[name], _EXPECTED[known[name]]
            if value is not None and not isinstance(value, (int, float) if kind is float else kind):
                raise SopiError(f"option {name} is {value!r}, expected {expected}")
        return cls(**values)

    @classmethod
    def types(cls) -> dict[str, type]:
        """The type of each option's value, by the option's name: int, float, str or bool."""
        return {
            name: next(t for t in get_args(hint) if t is not type(None)) for name, hint in get_type_hints(cls).items()
        }

    def given(self) -> dict[str, Any]:
        """The options that were given, by name."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


class Record:
    """What an import read, was given, and assumed. `about` of it is kept as `model.about["import"]`.

    peer     the system that the checkpoint comes from
    path     the checkpoint
    options  what the user said about it
    takes    names of the options that mean something to this peer; any other one given raises SopiError
    """

    def __init__(self, peer: str, path: Path, options: Options, takes: tuple[str, ...]) -> None:
        self.peer, self.path = peer, path
        self._given = options.given()
        self._found: dict[str, str] = {}
        self._assumed: list[str] = []
        for name in self._given:
            if name not in takes:
                raise SopiError(f"{path}: {name} is no option for {peer} checkpoints, which take {', '.join(takes)}")

    def found(self, name: str, value: Any, where: str) -> None:
        """Notes that `name` has this `value`, and `where` that was read: a file's name, or "shapes"."""
        self._found[name] = one_line(f"{value} ({where})")

    def choose(self, name: str, default: Any, found: Any = None, where: str = "", note: str = "") -> Any:
        """The value of option `name`: what the user gave, else what was found (`where`), else `default`, with a
        warning in which `note` says why just that."""
        if name in self._given:
            return self._given[name]
        if found is not None:
            self.found(name, found, where)
            return found
        reason = f", {note}" if note else ""
        self.warn(f"{name} is not in {self.peer} checkpoints, {default} is assumed{reason}: else give option {name}")
        return default

    def warn(self, text: str) -> None:
        """Notes what was assumed, and what to do if that is wrong: one clause, which the user is told."""
        self._assumed.append(one_line(text))

    @property
    def about(self) -> dict[str, Any]:
        """What is kept in a model's `about["import"]`: the system it is `from`, the `file`, what was `found` (by name,
        a value and where), what was `given`, and the sentences that were `assumed` and told as warnings."""
        return {
            "from": self.peer,
            "file": self.path.name,
            "found": self._found,
            "given": self._given,
            "assumed": self._assumed,
        }


class Parameters:
    """The named arrays of a checkpoint, each taken once and with the shape that it must have.

    shapes  of all of them
    read    name -> the array, of any number type
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], NDArray[Any]]) -> None:
        self.shapes, self._read = dict(shapes), read
        self._left = dict.fromkeys(shapes)

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """The shape of the array `name`. Raises SopiError if it is missing or has another number of axes."""
        if name not in self.shapes:
            raise SopiError(f"{name} is missing")
        if len(self.shapes[name]) != axes:
            raise SopiError(f"{name} has shape {self.shapes[name]}, expected {axes} axes")
        return self.shapes[name]

    def take(self, name: str, *shape: int) -> NDArray[np.float32]:
        """The array `name`, which counts as taken. Raises SopiError if it is missing, has another shape, or holds
        values that are not finite."""
        if self.shape(name, len(shape)) != shape:
            raise SopiError(f"{name} has shape {self.shapes[name]}, expected {shape}")
        self._left.pop(name, None)
        with np.errstate(over="ignore"):
            array = self._read(name).astype(np.float32)
        if not np.isfinite(array).all():
            raise SopiError(f"{name} holds values that are not finite: the file is damaged or its training failed")
        return array

    def check_all_taken(self, but: Callable[[str], bool] = lambda name: False) -> None:
        """Raises SopiError naming an array that nothing took, except those that `but` says are of no use."""
        for name in self._left:
            if not but(name):
                raise SopiError(f"{name} is unknown")
