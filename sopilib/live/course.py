"""The messages of the course "Deep Learning with Audio", as its patches and exercises write them.

    load --python <path> -- --num_seqs 2 --ckpt_dir <folder>
    generate --out_sr 16000 --dur 4 --temp 0.8 --out sound1 --temp Env([0.7,1.05],[4],[-2]) --out sound2
    unload

`load` loads as our own message does, and tells `worker on` when the model plays. `--python` and other words for the
course's own worker are of no use here and are passed over. `generate` makes sounds into arrays of the host, in the
background and beside what plays, each time others; `--seed` is the number that another one told, to have its sounds
again, or the name of an array that the model hears before. `stop` gives them up. `unload` lets the models go.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sopilib.engine import Engine
from sopilib.engine.blocks import blocks
from sopilib.errors import SopiError
from sopilib.live.gestures import Arrival, load, stop, tell_dropped
from sopilib.live.loader import Job
from sopilib.live.messages import Curve, parse
from sopilib.live.sound import part_from, to_model_rate
from sopilib.native import _native
from sopilib.sound import resample

if TYPE_CHECKING:
    from sopilib.live.performer import Performer

__all__ = ["MESSAGES", "Request", "generate_request", "is_course", "load_request", "make_sounds", "perform"]

MESSAGES = {
    "load --ckpt_dir <folder>": "Loads as `load` does, and answers `worker on` when the model is ready.",
    "generate --out <array> [--dur <s>] [--temp <temperature>] [--out_sr <Hz>] [--seed <number or array>] "
    "[--seed_sr <Hz>]": "Makes sounds into arrays, one for each `--out`, each time others. `stop` gives them up.",
    "unload": "Stops, lets the models go, and answers `worker off`.",
}
"""How they are written, and what they do, for the reference page."""

MOST_SOUNDS = 64  # that are made at once
LARGEST_SEED = 999_999  # Pd shows whole numbers up to it in full
PIECE = 0.25  # s of sound between two looks at whether it is still wanted
PATIENCE = 0.5  # s without a word about the progress


@dataclass
class Request:
    """Sounds that are to be made into arrays."""

    outs: list[str] = field(default_factory=list)
    """The names of the arrays, one for each sound."""
    temperatures: list[float | Curve] = field(default_factory=list)
    """The temperature of each sound."""
    seconds: float = 10.0
    """How long they are."""
    sample_rate: float = 16000.0
    """Theirs, in Hz."""
    number: int | None = None
    """The seed; None: one that chance gives."""
    seed: str | None = None
    """The name of an array that the model hears before."""
    seed_rate: float = 16000.0
    """The sample rate of that array, in Hz."""


def is_course(selector: str, atoms: Sequence[Any]) -> bool:
    """Whether a message is one of the course's."""
    if selector == "unload":
        return not atoms
    return selector in ("load", "generate") and bool(atoms) and str(atoms[0]).startswith("--")


def perform(performer: Performer, at: Arrival, selector: str, atoms: Sequence[Any]) -> None:
    """Does what a message of the course says. It is called with the performer's lock held. Raises SopiError."""
    if selector == "load":
        load(performer, at, load_request(atoms), then=lambda: performer.teller.tell("worker", "on"))
    elif selector == "generate":
        _generate(performer, generate_request(atoms))
    else:
        stop(performer, at)
        tell_dropped(performer, performer.loader.drop("load", "load2", "prime"), "unload")
        performer.loading = None
        performer.music.forget(at.t)
        performer.teller.tell("worker", "off")


def load_request(atoms: Sequence[Any]) -> str:
    """The folder with the checkpoint. Raises SopiError."""
    options = dict(_options(atoms))
    for name in ("--ckpt_dir", "--checkpoint_path"):
        if options.get(name):
            return " ".join(map(str, options[name]))
    raise SopiError("load: expected --ckpt_dir <folder> among the arguments, or load <name or path>")


def generate_request(atoms: Sequence[Any]) -> Request:
    """Reads the arguments of `generate`. Raises SopiError for what it does not know or what is out of range."""
    request = Request()
    for name, values in _options(atoms):
        if not values:
            raise SopiError(f"generate: {name} has no value")
        if name == "--out":
            request.outs.append(str(values[0]))
        elif name == "--temp":
            parsed = parse("temperature", [_as_number(v) for v in values])[1]
            assert parsed is not None
            request.temperatures.append(parsed[0])
        elif name == "--dur":
            request.seconds = _number(name, values[0], 0.01, 600)
        elif name == "--out_sr":
            request.sample_rate = _number(name, values[0], 1000, 400_000)
        elif name == "--seed_sr":
            request.seed_rate = _number(name, values[0], 1000, 400_000)
        elif name == "--seed":
            seed = _as_number(values[0])
            if isinstance(seed, str):
                request.seed = seed
            else:
                request.number = round(_number(name, seed, 0, 2**64 - 1))
        else:
            raise SopiError(
                f"generate: {name} is not known, expected --out, --temp, --dur, --out_sr, --seed or --seed_sr"
            )
    if not 1 <= len(request.outs) <= MOST_SOUNDS:
        what = "missing" if not request.outs else f"there {len(request.outs)} times"
        raise SopiError(f"generate: --out is {what}, expected the name of an array, of {MOST_SOUNDS} at most")
    missing = len(request.outs) - len(request.temperatures)
    request.temperatures += (request.temperatures or [1.0])[-1:] * max(0, missing)
    return request


def _generate(performer: Performer, request: Request) -> None:
    """Has the sounds made, as soon as a model that is being loaded is there."""
    what = f"generate {' '.join(request.outs)}"
    if performer.music.engine is None and performer.loading is None:
        raise SopiError("generate: no model is loaded, load one first")
    if performer.arrays is None or performer.write_array is None:
        raise SopiError("generate: this host has no arrays, expected generate or generate 0")

    def make(job: Job) -> None:
        _into_arrays(performer, request, job)

    def hand_over(job: Job) -> None:
        if not job.dropped:
            performer.make(what, make)

    if performer.loading is None:
        performer.make(what, make)
    else:
        performer.background("make", what, hand_over, every=True)


def _into_arrays(performer: Performer, request: Request, job: Job) -> None:
    arrays, write_array, engine = performer.arrays, performer.write_array, performer.music.engine
    assert arrays is not None and write_array is not None
    if engine is None:
        raise SopiError("no model is loaded, load one first")
    for name in request.outs:
        if arrays(name) is None:
            raise SopiError(f"--out {name}: no such array, make it with [array define {name}]")
    number = random.SystemRandom().randint(0, LARGEST_SEED) if request.number is None else request.number
    told = time.monotonic()

    def goes_on(share: float) -> bool:
        nonlocal told
        if not job.dropped and time.monotonic() - told > PATIENCE:
            told = time.monotonic()
            performer.teller.tell("progress", round(100 * share))
        return not job.dropped

    for name, sound in make_sounds(request, engine, number, arrays, goes_on):
        if job.dropped:
            return
        if not write_array(name, sound):
            raise SopiError(f"--out {name}: no such array, make it with [array define {name}]")
        performer.teller.tell("generated", name, request.sample_rate, len(sound), number)


def make_sounds(
    request: Request,
    engine: Engine,
    seed: int,
    arrays: Callable[[str], np.ndarray | None],
    goes_on: Callable[[float], bool] = lambda share: True,
) -> list[tuple[str, np.ndarray]]:
    """Makes all sounds at once, by a clone of the engine that has a voice for each -> (array, float samples at the rate
    that was asked for). `goes_on` is called from time to time with the share that is made, from 0 to 1; if it says no,
    nothing is made. Raises SopiError."""
    rate, voices, codes = engine.config.sample_rate, len(request.outs), None
    if request.seed is not None:
        samples = arrays(request.seed)
        if samples is None:
            raise SopiError(f"--seed {request.seed}: no such array")
        codes = engine.model.encode(to_model_rate(np.asarray(samples), request.seed_rate, part_from(0, None), rate))
    temperatures = [
        _native.Envelope(t.levels, t.times, t.curves) if isinstance(t, Curve) else t
        for t in request.temperatures[:voices]
    ]
    made: list[np.ndarray] = []
    making = blocks(engine.clone(voices), request.seconds, temperatures, seed, codes, PIECE)
    while goes_on(min(1.0, len(made) * PIECE / request.seconds)):
        block = next(making, None)
        if block is None:
            lines = np.concatenate(made, axis=1)
            return [(name, resample(line, rate, request.sample_rate)) for name, line in zip(request.outs, lines)]
        made.append(block)
    return []


def _options(atoms: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """The options with what follows each of them: --name value ... or --name=value."""
    found: list[tuple[str, list[Any]]] = []
    for atom in atoms:
        if isinstance(atom, str) and atom.startswith("--"):
            name, given, value = atom.partition("=")
            found.append((name, [value] if given and value else []))
        elif found:
            found[-1][1].append(atom)
    return found


def _as_number(value: Any) -> Any:
    """What is written like a number is one, in --name=value too."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _number(name: str, value: Any, least: float, most: float) -> float:
    number = _as_number(value)
    if not isinstance(number, float) or not least <= number <= most:
        raise SopiError(f"generate: {name} is {value}, expected a number from {least:g} to {most:g}")
    return number
