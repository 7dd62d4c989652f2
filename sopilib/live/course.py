"""The messages of the course "Deep Learning with Audio", as its patches and exercises write them.

    load --python <path> -- --num_seqs 2 --ckpt_dir <folder>
    generate --out_sr 16000 --dur 4 --temp 0.8 --out sound1 --temp Env([0.7,1.05],[4],[-2]) --out sound2

`--python` and other words for the course's own worker are of no use here and are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sopilib.errors import SopiError
from sopilib.live.commands import Curve, parse

__all__ = ["Request", "generate_request", "is_course", "load_request"]


@dataclass
class Request:
    """Sounds that are to be made into arrays, one a name in `outs`, each with its temperature."""

    outs: list[str] = field(default_factory=list)
    temperatures: list[float | Curve] = field(default_factory=list)
    seconds: float = 10.0
    sample_rate: float = 16000.0
    seed: str | None = None
    seed_rate: float = 16000.0


def is_course(atoms: Sequence[Any]) -> bool:
    return bool(atoms) and str(atoms[0]).startswith("--")


def load_request(atoms: Sequence[Any]) -> str:
    """The folder with the checkpoint. Raises SopiError."""
    options = dict(_options(atoms))
    for name in ("--ckpt_dir", "--checkpoint_path"):
        if options.get(name):
            return " ".join(map(str, options[name]))
    raise SopiError("load: expected --ckpt_dir <folder> among the arguments, or load <name or path>")


def generate_request(atoms: Sequence[Any]) -> Request:
    """Raises SopiError for what it does not know or what is out of range."""
    request = Request()
    for name, values in _options(atoms):
        if not values:
            raise SopiError(f"generate: {name} has no value")
        if name == "--out":
            request.outs.append(str(values[0]))
        elif name == "--temp":
            parsed = parse("temperature", values)[1]
            assert parsed is not None
            request.temperatures.append(parsed[0])
        elif name == "--dur":
            request.seconds = _number(name, values[0], 0.01, 600)
        elif name in ("--out_sr", "--seed_sr"):
            rate = _number(name, values[0], 1000, 400_000)
            if name == "--out_sr":
                request.sample_rate = rate
            else:
                request.seed_rate = rate
        elif name == "--seed":
            request.seed = str(values[0])
        else:
            raise SopiError(
                f"generate: {name} is not known, expected --out, --temp, --dur, --out_sr, --seed or --seed_sr"
            )
    if not request.outs:
        raise SopiError("generate: --out is missing, expected the name of an array")
    missing = len(request.outs) - len(request.temperatures)
    request.temperatures += (request.temperatures or [1.0])[-1:] * max(0, missing)
    return request


def _options(atoms: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    found: list[tuple[str, list[Any]]] = []
    for atom in atoms:
        if isinstance(atom, str) and atom.startswith("--"):
            found.append((atom, []))
        elif found:
            found[-1][1].append(atom)
    return found


def _number(name: str, value: Any, least: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not least <= number <= most:
        raise SopiError(f"generate: {name} is {value}, expected a number from {least:g} to {most:g}")
    return number
