"""`sopi generate`: takes of a model as sound files, one or hundreds."""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import sopilib
from sopilib import checkpoint, library, sound
from sopilib.amounts import duration, size
from sopilib.cli import choosing
from sopilib.cli.words import NoEqual, refuse_no_equal
from sopilib.engine import Engine
from sopilib.errors import SopiError, SopiWarning
from sopilib.live import COMMANDS
from sopilib.live import score as scores
from sopilib.live.snapshots import fingerprint
from sopilib.model import Model
from sopilib.render import plan as plans
from sopilib.render import run as running
from sopilib.render.device import engine_on
from sopilib.render.means import Means
from sopilib.render.order import Order, listed, order, to_hear
from sopilib.render.place import File, Place
from sopilib.render.plan import BITS, SAMPLING, Heard, Plan, Sound, Take
from sopilib.threads import cores

MUCH = 10e9
"""Bytes that are asked about before they are written."""

OLD = {
    "--takes": ("--num-seqs", "--n-seqs"),
    "--seconds": ("--dur", "--n-secs"),
    "--output": ("--output-path", "--out"),
    "--rate": ("--sample-rate", "--out-sr"),
    "--temperature": ("--temp",),
    "--model": ("--checkpoint-path", "--ckpt-dir"),
}
"""What options were called in PRiSM's, the course's and Dadabots' generate."""
NO_EQUAL = {
    "--seed-sr": "leave it out, the sound file says its rate",
    "--resume": "leave it out, a line that is given again goes on",
    "--logdir-root": "name the model by its run's folder",
    "--exp": "name the model by the place of its .pkl",
    "--which-set": "leave it out, no data set is needed here",
    **dict.fromkeys(
        (
            *("--n-frames", "--frame-size", "--big-frame-size", "--frame-sizes", "--weight-norm", "--emb-size"),
            *("--skip-conn", "--dim", "--n-rnn", "--num-rnn-layers", "--rnn-type", "--learn-h0", "--q-levels"),
            *("--q-type", "--batch-size", "--seq-len"),
        ),
        "leave it out, the model says it",
    ),
}
"""Options of theirs that have no equal here, and what to use."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi generate` and its options."""
    parser = commands.add_parser("generate", help="takes of a model as sound files, one or hundreds")
    parser.add_argument("model", nargs="?", help="a name under models/, or a file, any SampleRNN's")
    parser.add_argument("--model", *OLD["--model"], dest="old_model", help=argparse.SUPPRESS)
    parser.add_argument("--config-file", type=Path, help=argparse.SUPPRESS)
    _what(parser)
    _sound(parser)
    choosing.add_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace takes or a sound file of this name")
    parser.add_argument("--yes", action="store_true", help="even if that needs very much of the disk")
    parser.add_argument("--precision", help="auto, int4, int8 or f32; on a GPU f16 or f32; default auto")
    parser.add_argument(
        "--device", help="cpu; gpu, the best there is; or torch's name of one, such as cuda:1 or mps; default cpu"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="cores that it may use; default: all")
    parser.add_argument("--voices", type=int, default=0, metavar="N", help="takes of one engine; default: by a trial")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="spread the takes over the Ray cluster at this address, or auto; without an address over a Ray of this "
        "machine's own",
    )
    for name, instead in NO_EQUAL.items():
        parser.add_argument(name, nargs="*", action=NoEqual, instead=instead)
    parser.set_defaults(run=run)


def _what(parser: argparse.ArgumentParser) -> None:
    """The options that decide how takes sound."""
    group = parser.add_argument_group("what is made")
    group.add_argument("-n", "--takes", *OLD["--takes"], type=int, metavar="N", help="how many takes; default 1")
    group.add_argument("--seconds", *OLD["--seconds"], type=float, help="of each take; default 10")
    group.add_argument(
        *("--seed",),
        nargs="+",
        metavar="SEED",
        help="same seed, same music: of the first take, the others count on, or one for each; default 0. A sound file "
        "is taken as by --prime",
    )
    group.add_argument(
        *("--temperature", *OLD["--temperature"]),
        nargs="+",
        metavar="T",
        help="a number, or an envelope such as 'Env([0.7,1.05],[4],[-2])'; of several each take has its own. Default: "
        "what the model's file says, else 1",
    )
    for name in SAMPLING[1:]:
        kind = int if COMMANDS[name].arguments[0].kind == "int" else float
        group.add_argument(f"--{name}", type=kind, metavar="X", help=COMMANDS[name].help.replace("%", "%%"))
    group.add_argument(
        "--prime",
        type=Path,
        metavar="SOUND",
        help="a sound, or a folder with one for each take, that the model hears first and goes on from",
    )
    group.add_argument("--prime-from", type=float, default=0.0, metavar="S", help="where it begins in that sound")
    group.add_argument("--prime-seconds", type=float, metavar="S", help="how much of it; default: 60 s at most")
    group.add_argument("--seed-offset", type=int, default=0, help=argparse.SUPPRESS)
    group.add_argument("--score", type=Path, metavar="FILE", help="messages with times, JSON or CSV, to perform")
    group.add_argument(
        *("--again",),
        nargs="+",
        metavar=("TAKES.JSON", "NUMBER"),
        help="make these takes of that description once more, with --seconds longer or shorter",
    )


def _sound(parser: argparse.ArgumentParser) -> None:
    """The options that decide how files are written."""
    group = parser.add_argument_group("how it is written")
    group.add_argument(
        *("-o", "--output", *OLD["--output"]),
        type=Path,
        help="a file, such as out.wav or out.flac, or a folder for takes and the takes.json that describes them; "
        "default out.wav, or the folder takes",
    )
    group.add_argument("--format", choices=[k.lower() for k in sound.WRITTEN], help="in a folder; default wav")
    group.add_argument("--rate", *OLD["--rate"], type=int, metavar="HZ", help="of the files; default: the model's")
    group.add_argument("--bits", choices=list(BITS), help="of a sample; default 24")
    group.add_argument("--fade-in", type=float, metavar="MS", help="default 0")
    group.add_argument("--fade-out", type=float, metavar="MS", help="default 0")
    group.add_argument(
        *("--normalise", "--normalize"),
        type=float,
        nargs="?",
        const=-1.0,
        metavar="DB",
        help="by one gain for all takes, so that their highest peak is there; default -1, and not at all without",
    )


def run(args: argparse.Namespace) -> int:
    """Makes the takes -> the exit status. Raises SopiError."""
    refuse_no_equal(args)
    if args.keep is not None:
        return choosing.keep(args)
    before = _described(args.again)
    args.score = None if args.score is None else scores.read(args.score)
    name = args.model or args.old_model or (before.model if before else _of_score(args.score))
    if name is None:
        raise SopiError("no model is named, expected sopi generate MODEL, a name under models/ or a file")
    model = _model(name, args.config_file, before)
    precision = args.precision or (before.engine["precision"] if before else "auto")
    engine = engine_on(args.device or (before.engine.get("device", "cpu") if before else "cpu"), model, precision)
    score = args.score if before is None else before.score
    if engine.backend == "batch" and score is not None:
        raise SopiError("a score is performed on the processor: leave --device out")
    heard = _heard(args, model, before)
    plan, place = _again(args, before, engine) if before else _wanted(args, engine, tuple(heard))
    _ask_for_room(plan, place, args.yes)
    with place.alone():
        missing = place.begin(plan, args.overwrite)
        if missing:
            choosing.drop_page(place)
        for of, audio in heard.items():
            place.keep(of, audio, model.config.sample_rate)
        codes = {of.sound: running.codes_heard(model, audio) for of, audio in heard.items()}
        with _makers(args, plan, missing, engine, name) as (make, means):
            status = _make(plan, place, running.units(plan, missing, means.voices, codes), means, make, model)
        if not status:
            choosing.write_page(args, plan, place, args.threads or cores(), model)
        return status


@contextmanager
def _makers(
    args: argparse.Namespace, plan: Plan, missing: list[Take], engine: Engine, name: str | Path
) -> Iterator[tuple[running.Make, Means]]:
    """Who makes the takes that are missing: this machine, or a cluster for as long as the block takes."""
    if args.ray is None or not missing:
        means = Means.chosen(engine, plan, missing, args.threads, args.voices)
        yield running.local(means.engine(engine), name), means
        return
    from sopilib.render.cluster import cluster

    with cluster(args.ray, engine.model, plan) as found:
        yield found.make, Means.spread(engine, missing, found.places, args.voices)


def _make(plan: Plan, place: Place, work: list[running.Unit], means: Means, make: running.Make, model: Model) -> int:
    missing = [take for unit in work for take in unit.takes]
    made_at = running.made_at(plan, model)
    progress, stop = _Progress(plan, missing), threading.Event()
    try:
        running.run(place, work, make, made_at, means.engines, stop, progress)
        running.complete(plan, place, stop)
    except KeyboardInterrupt:
        if place.keeps_half and progress.made:
            running.complete(plan, place, threading.Event())
        progress.say(progress.broken_off(place))
        return 130
    except SopiError as e:
        if place.keeps_half:
            place.finish()
        raise SopiError(f"{e}{progress.kept(place)}") from None
    progress.say(progress.finished(place))
    return 0


def _described(again: list[str] | None) -> Plan | None:
    """The plan of the takes that are to be made once more, without the others."""
    if not again:
        return None
    path, *numbers = again
    if wrong := [number for number in numbers if not number.isdecimal()]:
        raise SopiError(f"--again: the number of a take is {wrong[0]!r}, expected such as --again {path} 17")
    described = plans.read(Path(path))
    return described.only([int(number) for number in numbers] or [t.number for t in described.takes])


def _model(name: str | Path, config: Path | None, before: Plan | None) -> Model:
    options: dict[str, Any] = {}
    if config is not None:
        try:
            options["q_type"] = json.loads(config.read_bytes())["q_type"]
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise SopiError(f"{config}: is no config of PRiSM's with a q_type ({e})") from None
    try:
        model = checkpoint.load(name, **options)
    except SopiError as e:
        if before is None or name != before.model:
            raise
        raise SopiError(f"{e}; the takes are of a model of that name: say sopi generate MODEL --again ...") from None
    if before is not None and fingerprint(model) != before.fingerprint:
        raise SopiError(
            f"{name} is another model than the {before.model} that the takes are of ({fingerprint(model)[:12]}, there "
            f"{before.fingerprint[:12]}): name that one, sopi generate MODEL --again ..."
        )
    return model


def _again(args: argparse.Namespace, before: Plan, engine: Engine) -> tuple[Plan, Place]:
    if before.score is None and engine.description != before.engine:
        was, now = (", ".join(said.values()) for said in (before.engine, engine.description))
        warnings.warn(SopiWarning(f"made with {now}, they are not what was made with {was}"), stacklevel=2)
        before = replace(before, engine=engine.description)
    if before.version != sopilib.__version__:
        told = (
            f"they were made by sopilib {before.version}, this is {sopilib.__version__}: CHANGELOG.md says what differs"
        )
        warnings.warn(SopiWarning(told), stacklevel=2)
        before = replace(before, version=sopilib.__version__)
    plan = before if args.seconds is None else before.lasting(args.seconds)
    if len(plan.takes) == 1:
        path = args.output or Path(plan.file(plan.takes[0]))
        if path.suffix:
            return plan, File(path)
    return plan, Place(args.output or Path("again"))


def _heard(args: argparse.Namespace, model: Model, before: Plan | None) -> dict[Heard, np.ndarray]:
    """The sounds that takes go on from, float32 [n] at the model's rate. Raises SopiError."""
    rate = model.config.sample_rate
    if before is not None:
        place = Place(Path(args.again[0]).parent)
        return {take.heard: place.heard(take.heard, rate) for take in before.takes if take.heard is not None}
    path, start = args.prime, args.prime_from
    if args.seed and len(args.seed) == 1 and not listed(args.seed)[0].isdecimal():
        path, args.seed = Path(args.seed[0]), None  # as PRiSM has it
    if path is None:
        return {}
    if args.score is not None:
        raise SopiError("--prime and --score: what a score goes on from stands in it, as seed <file> at its beginning")
    if args.seed_offset:
        start = args.seed_offset / sound.rate_of(path)
    return dict(to_hear(path, model, start, args.prime_seconds))


def _wanted(args: argparse.Namespace, engine: Engine, heard: tuple[Heard, ...]) -> tuple[Plan, Place]:
    """What the options say. Raises SopiError."""
    score, seconds, seeds, rate = args.score, args.seconds, _seeds(args.seed), engine.config.sample_rate
    if score is not None:  # what nobody asked for is as the score says
        if args.model or args.old_model or "model" in score.settings:  # by its name: takes.json holds no paths
            score = scores.with_settings(score, {"model": engine.model.name})
        rate = round(score.rate or rate)
        seconds = score.frames / rate if seconds is None and score.frames else seconds
        seeds = (score.settings["seed"],) if not args.seed and isinstance(score.settings.get("seed"), int) else seeds
        if score.doubt:
            warnings.warn(SopiWarning(f"--score: may sound otherwise than it did ({score.doubt})"), stacklevel=2)
    wanted = Order(
        takes=args.takes,
        seconds=10.0 if seconds is None else seconds,
        seeds=seeds,
        temperatures=tuple(listed(args.temperature or [])),
        settings=_settings(args),
        heard=heard,
        score=score,
        precision=args.precision or "auto",
    )
    one = wanted.count == 1
    output = args.output or Path("out.wav" if one else "takes")
    suffix = output.suffix[1:].lower() or args.format or "wav"
    sound.kind_of(Path(f"take.{suffix}"))
    how = {name: getattr(args, name) for name in ("bits", "fade_in", "fade_out", "normalise", "rate")}
    files = Sound(suffix=suffix, **{"rate": rate, **{name: x for name, x in how.items() if x is not None}})
    if not output.suffix:
        return order(wanted, engine, files, "take"), Place(output)
    plan = order(wanted, engine, files, output.stem)
    return plan, File(output) if one else Place(output.parent, f"{output.stem}.takes.json")


def _of_score(score: scores.Score | None) -> str | Path | None:
    """The model that a score begins with, which may lie beside it."""
    if score is None:
        return None
    loads = (" ".join(map(str, line.atoms)) for line in score.messages if line.selector == "load")
    name = score.settings.get("model") or next(loads, None)
    if not isinstance(name, str):
        return None
    beside = (score.folder or Path()) / name
    return beside if library.exists(beside) else name


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name.replace("-", "_")) for name in SAMPLING[1:]}
    return {name: value for name, value in given.items() if value is not None}


def _seeds(words: list[str] | None) -> tuple[int, ...]:
    found = listed(words or ["0"])
    if wrong := [word for word in found if not word.isdecimal()]:
        raise SopiError(f"--seed is {wrong[0]}, expected a whole number from 0 up, or a list of them")
    return tuple(int(word) for word in found)


def _ask_for_room(plan: Plan, place: Place, yes: bool) -> None:
    """Raises SopiError if the takes need very much of the disk, or more than it has, and nobody has said that they
    may."""
    needs, free = plan.size([t for t in plan.takes if not place.path(plan, t).exists()]), place.free()
    if plan.sound.suffix in ("wav", "aiff", "aif") and max(plan.size([take]) for take in plan.takes) >= 1 << 32:
        raise SopiError("a take of that length needs more than the 4 GB that such a file holds, expected .flac or .w64")
    if not yes and (needs > MUCH or needs > free):
        raise SopiError(
            f"{size(needs)} of disk are needed at most, and {size(free)} are free: say --yes to begin all the same"
        )


WAITS = 0.5
"""s between two lines on a terminal."""


class _Progress:
    """One line with how far it is, on a terminal.

    missing  the takes that are made
    """

    def __init__(self, plan: Plan, missing: Sequence[Take]) -> None:
        self.plan, self.takes = plan, len(missing)
        self.all, self.made, self.done = sum(take.seconds for take in missing), 0.0, 0
        self.begin, self.told = time.monotonic(), -math.inf
        self.shown = 0

    def __call__(self, takes: int, seconds: float) -> None:
        """Counts what was made."""
        self.done += takes
        self.made += seconds
        now = time.monotonic()
        if sys.stderr.isatty() and now - self.told > WAITS:
            self.told = now
            line = f"{self.done} of {self.takes} takes, {self.speed:.1f} s of sound a second, {self._left()} left"
            print(line.ljust(self.shown), end="\r", file=sys.stderr, flush=True)
            self.shown = len(line)

    @property
    def speed(self) -> float:
        """Seconds of sound in one second."""
        return self.made / max(1e-9, time.monotonic() - self.begin)

    def _left(self) -> str:
        return duration((self.all - self.made) / self.speed) if self.made else "some time"

    def say(self, line: str) -> None:
        """Prints a line that stays."""
        if self.shown:
            print(" " * self.shown, end="\r", file=sys.stderr, flush=True)
        print(line, flush=True)

    def finished(self, place: Place) -> str:
        """What there is now."""
        rate, takes = self.plan.sound.rate, self.plan.takes
        length = f"{takes[0].seconds:g} s" if len({take.seconds for take in takes}) == 1 else "each"
        first, last = place.path(self.plan, takes[0]), place.path(self.plan, takes[-1])
        if place.keeps_half:
            return f"{first}: {length} at {rate} Hz"
        files = f"{first} to {last.name}" if len(takes) > 1 else f"{first}"
        now = f", {self.takes} made now" if self.takes < len(takes) else ""
        speed = f", {self.speed:.1f} s of sound a second" if self.takes else ""
        described = f"described in {place.description.name}"
        return f"{files}: {len(takes)} takes of {length} at {rate} Hz{now}{speed}, {described}"

    def kept(self, place: Place) -> str:
        """What is there although it was broken off."""
        if place.keeps_half or not self.takes:
            return ""
        there = len(self.plan.takes) - self.takes + self.done
        return f"; {there} of {len(self.plan.takes)} takes are there, and the same line goes on with the others"

    def broken_off(self, place: Place) -> str:
        """What there is after Ctrl-C."""
        if place.keeps_half:
            path = place.path(self.plan, self.plan.takes[0])
            return f"{path}: broken off after {self.made:.1f} s" if self.made else f"{path}: nothing was made"
        return f"{place.folder}: broken off{self.kept(place)}"
