"""The messages of the course "Deep Learning with Audio", as its patches and exercises write them.

    load --python <path> -- --num_seqs 2 --ckpt_dir <folder>
    generate --out_sr 16000 --dur 4 --temp 0.8 --out sound1 --temp Env([0.7,1.05],[4],[-2]) --out sound2

`--python` and other words for the course's own worker are of no use here and are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sopilib.engine import Engine
from sopilib.errors import SopiError
from sopilib.live.commands import Curve, parse
from sopilib.live.sound import to_model_rate
from sopilib.native import _native
from sopilib.sound import resample

__all__ = ["Request", "generate_request", "is_course", "load_request", "make_sounds"]


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


def make_sounds(
    request: Request, engine: Engine, seed: int, arrays: Callable[[str], np.ndarray | None]
) -> list[tuple[str, np.ndarray]]:
    """(array, float samples at the rate that was asked for), made at once by a clone of the engine, one voice each."""
    rate, voices = engine.config.sample_rate, len(request.outs)
    fresh = engine.clone(voices)
    fresh.reset(seed)
    if request.seed is not None:
        samples = arrays(request.seed)
        if samples is None:
            raise SopiError(f"--seed {request.seed}: no such array")
        heard = to_model_rate(np.asarray(samples), request.seed_rate, 0, None, rate)
        fresh.prime(np.tile(fresh.model.encode(heard), (voices, 1)))
    n = max(1, round(request.seconds * rate))
    temperatures = np.stack([_levels(t, n, rate) for t in request.temperatures[:voices]])
    made = fresh.model.decode(fresh.generate(n, temperatures))
    return [(name, resample(line, rate, request.sample_rate)) for name, line in zip(request.outs, made)]


def _levels(temperature: float | Curve, n: int, rate: int) -> np.ndarray:
    """float32 [n]: of each sample, from the first on."""
    if not isinstance(temperature, Curve):
        return np.full(n, temperature, np.float32)
    envelope = _native.Envelope(temperature.levels, temperature.times, temperature.curves)
    return np.array([envelope.at(i / rate) for i in range(n)], np.float32)


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
