"""Makes the takes of a plan: work units of one engine's voices, and the files they go into.

A unit is made by whoever does it (an engine in this process, one on a GPU or on another machine), as an iterator of
blocks of sound; its files are written here. What a take sounds like depends on the plan alone: not on how takes are
divided into units, nor on who makes them, when, or in which order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sopilib.engine import Engine
from sopilib.engine.blocks import blocks
from sopilib.errors import SopiError
from sopilib.files import whole_file
from sopilib.live.commands import COMMANDS
from sopilib.live.messages import Curve, parse
from sopilib.live.score import perform, with_settings
from sopilib.model import Model
from sopilib.names import for_library
from sopilib.native import _native
from sopilib.render.place import Place
from sopilib.render.plan import SAMPLING, Plan, Take
from sopilib.sound import NewSound

__all__ = [
    "Make",
    "Progress",
    "Stopped",
    "Unit",
    "codes_heard",
    "complete",
    "local",
    "made_at",
    "made_by",
    "run",
    "units",
    "write",
]

SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
"""How libsndfile calls the ways to write a sample."""
PIECE = 0.25  # s of sound between two looks at whether it is still wanted


@dataclass(frozen=True)
class Unit:
    """Takes that one engine makes together, a voice each: all of one length.

    plan   that they are of
    takes  some of its takes
    heard  int32 [n] for each, a whole number of the model's largest frames: the codes that it goes on from; None: they
           begin in silence
    """

    plan: Plan
    takes: tuple[Take, ...]
    heard: tuple[np.ndarray, ...] | None = None


Make = Callable[[Unit], Iterator[np.ndarray]]
"""Makes a unit: gives float32 (takes, channels, n), block by block, at the rate that `made_at` says."""
Progress = Callable[[int, float], None]
"""Called with how many takes became whole just now, and how many seconds of sound were made."""


def units(plan: Plan, takes: Sequence[Take], voices: int, heard: dict[str, np.ndarray]) -> list[Unit]:
    """Divides takes into units of at most so many voices.

    heard  the codes of each sound that a take goes on from, by the name of its file
    """
    groups: dict[tuple[float, bool], list[Take]] = {}
    for take in takes:
        groups.setdefault((take.seconds, take.heard is not None), []).append(take)
    made: list[Unit] = []
    for group in groups.values():
        each = 1 if plan.score is not None else voices
        for i in range(0, len(group), each):
            some = tuple(group[i : i + each])
            codes = tuple(heard[t.heard.sound] for t in some if t.heard is not None)
            made.append(Unit(plan, some, codes or None))
    return sorted(made, key=lambda unit: unit.takes[0].number)


def made_at(plan: Plan, model: Model) -> int:
    """The rate in Hz of what is made: the model's, or the host's where a score is performed."""
    return model.config.sample_rate if plan.score is None else round(plan.score.rate or plan.sound.rate)


def codes_heard(model: Model, audio: np.ndarray) -> np.ndarray:
    """The codes of a sound that takes go on from, float32 [n], with as much silence before it as makes a whole number
    of the model's largest frames: so all takes of a unit are at the same place of their frames."""
    silence = np.zeros(-len(audio) % model.config.lookback, np.float32)
    return model.encode(np.concatenate([silence, audio]))


# ---------------------------------------------------------------- making


def local(engine: Engine, model: str | Path) -> Make:
    """Makes units in this process: by clones of an engine, or where there is a score by a performer that loads the
    model from this path."""

    def make(unit: Unit) -> Iterator[np.ndarray]:
        if unit.plan.score is None:
            return made_by(engine.clone(len(unit.takes)), unit)
        return _performed(unit, model)

    return make


def made_by(engine: Engine, unit: Unit) -> Iterator[np.ndarray]:
    """A unit, made by an engine that has a voice for each of its takes -> float32 (takes, 1, n), block by block, at the
    model's rate."""
    sampling = {
        name.replace("-", "_"): np.array([_setting(take, name) for take in unit.takes])
        for name in SAMPLING
        if name != "temperature" and any(name in take.settings for take in unit.takes)
    }
    seeds, temperatures = [take.seed for take in unit.takes], [_temperature(take) for take in unit.takes]
    for block in blocks(engine, unit.takes[0].seconds, temperatures, seeds, unit.heard, PIECE, **sampling):
        yield block[:, None]


def _performed(unit: Unit, model: str | Path) -> Iterator[np.ndarray]:
    """A unit of one take that performs a score -> float32 (1, outputs, n), at the host's rate."""
    plan, (take,) = unit.plan, unit.takes
    assert plan.score is not None
    settings = {"seed": take.seed, **take.settings}
    if "model" in plan.score.settings or not any(line.selector == "load" for line in plan.score.messages):
        settings["model"] = str(model)  # else its own messages load it when they do
    score = with_settings(plan.score, settings)
    for block in perform(score, take.seconds, plan.sound.rate, plan.engine["precision"]):
        yield block[None]


def _setting(take: Take, name: str) -> float:
    value = take.settings.get(name, COMMANDS[name].usual)
    values = parse(name, [value])[1]
    assert values is not None
    return float(values[0])


def _temperature(take: Take) -> float | _native.Envelope:
    values = parse("temperature", [take.settings.get("temperature", 1.0)])[1]
    assert values is not None
    level = values[0]
    return _native.Envelope(level.levels, level.times, level.curves) if isinstance(level, Curve) else level


# ---------------------------------------------------------------- writing


class _File:
    """A take's file that is being written: another rate, fades, the length.

    made_at  Hz, of what is written into it
    subtype  as libsndfile has it
    """

    def __init__(self, plan: Plan, take: Take, path: Path, half: Path, made_at: int, subtype: str) -> None:
        rate = plan.sound.rate
        self._frames, self._at = plan.frames(take), 0
        self._fade_in, self._fade_out = (round(ms / 1000 * rate) for ms in (plan.sound.fade_in, plan.sound.fade_out))
        self._file = NewSound(half, rate, plan.channels, path, subtype=subtype)
        self._resampler: soxr.ResampleStream | None = None
        if made_at != rate:
            self._resampler = soxr.ResampleStream(made_at, rate, plan.channels, dtype="float32", quality="VHQ")

    def write(self, block: np.ndarray) -> None:
        """Adds float32 (channels, n)."""
        audio = np.ascontiguousarray(block.T)
        self._add(audio if self._resampler is None else self._resampler.resample_chunk(audio))

    def end(self, whole: bool) -> None:
        """Nothing more comes. A file that is whole has just the length that was asked for."""
        if self._resampler is not None:
            self._add(self._resampler.resample_chunk(np.zeros((0, self._file.channels), np.float32), last=True))
        if whole:
            self._add(np.zeros((self._frames - self._at, self._file.channels), np.float32))
        self._file.close()

    def close(self) -> None:
        """Closes it as it is."""
        self._file.close()

    def _add(self, audio: np.ndarray) -> None:
        audio = audio[: self._frames - self._at].reshape(-1, self._file.channels)
        where = self._at + np.arange(len(audio)) + 0.5
        self._at += len(audio)
        for n, away in ((self._fade_in, where), (self._fade_out, self._frames - where)):
            if n and len(audio) and away.min() < n:
                audio = audio * (0.5 - 0.5 * np.cos(np.pi * np.minimum(away / n, 1)))[:, None].astype(np.float32)
        self._file.write(audio)


class Stopped(Exception):
    """Nobody wants the takes any more."""


def write(
    unit: Unit, made: Iterator[np.ndarray], paths: Sequence[Path], made_at: int, stop: threading.Event, keep_half: bool
) -> Iterator[float]:
    """Writes the files of a unit's takes, and gives from time to time how many seconds of sound were written. Each
    appears under its name when it is whole. If it is to `stop`, nothing is left, or what there is with `keep_half`.

    Raises Stopped, and SopiError if a file can't be written.
    """
    plan, whole = unit.plan, True
    with ExitStack() as stack:
        files = []
        for take, path in zip(unit.takes, paths):
            half = stack.enter_context(_whole_file(path))
            subtype = "FLOAT" if plan.sound.normalise is not None else SUBTYPES[plan.sound.bits]
            files.append(_File(plan, take, path, half, made_at, subtype))
            stack.callback(files[-1].close)
        for block in made:
            for file, audio in zip(files, block):
                file.write(audio)
            yield block.shape[0] * block.shape[2] / made_at
            if stop.is_set():
                whole = False
                break
        if not whole and not keep_half:
            raise Stopped
        for file in files:
            file.end(whole)


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    try:
        with whole_file(path) as half:
            yield half
    except OSError as e:
        raise SopiError(f"{path}: could not be written ({e.strerror or e})") from None


# ---------------------------------------------------------------- running


def run(
    place: Place,
    work: Sequence[Unit],
    make: Make,
    made_at: int,
    workers: int,
    stop: threading.Event,
    progress: Progress = lambda takes, seconds: None,
) -> None:
    """Makes all units and writes their files, so many at a time. What is done when something goes wrong stays done.

    made_at   Hz, of what `make` gives
    stop      when it is set everything ends soon, and Stopped is raised
    progress  is called by several threads, one at a time

    Raises SopiError, and whatever `make` raises.
    """
    lock, waiting = threading.Lock(), iter(work)

    def tell(takes: int, seconds: float) -> None:
        with lock:
            progress(takes, seconds)

    def one_after_the_other() -> None:
        try:
            while True:
                with lock:
                    unit = next(waiting, None)
                if unit is None or stop.is_set():
                    return
                paths = [place.to_write(unit.plan, take) for take in unit.takes]
                for seconds in write(unit, make(unit), paths, made_at, stop, place.keeps_half):
                    tell(0, seconds)
                with lock:
                    place.done(unit.takes)
                tell(len(unit.takes), 0)
        except BaseException:
            stop.set()  # the others need not go on
            raise

    with ThreadPoolExecutor(workers, "takes") as pool:
        futures = [pool.submit(one_after_the_other) for _ in range(workers)]
        try:
            _wait(futures)
        except BaseException:
            stop.set()
            raise
    if stop.is_set():
        raise Stopped


def _wait(futures: Sequence[Future[None]]) -> None:
    """Waits in short steps, so that Ctrl-C is heard on any system, and raises what went wrong first."""
    left: set[Future[None]] = set(futures)
    while left:
        done, left = wait(left, 0.2, FIRST_COMPLETED)
        for future in done:
            if not isinstance(future.exception(), Stopped):
                future.result()


def complete(plan: Plan, place: Place, stop: threading.Event) -> None:
    """Does what is left when all units are made: gives all takes their one gain, if they are to be normalised. It can
    be stopped and done again. Raises Stopped, and SopiError if a file can't be written."""
    if place.unfinished and plan.sound.normalise is not None:
        files = [(place.to_write(plan, take), place.path(plan, take)) for take in plan.takes]
        peak = max(float(np.abs(block).max(initial=0)) for made, _ in files for block in _blocks_of(made, stop))
        gain = np.float32(10 ** (plan.sound.normalise / 20) / peak if peak else 1)
        for made, path in files:
            with _whole_file(path) as half:
                subtype = SUBTYPES[plan.sound.bits]
                with NewSound(half, plan.sound.rate, plan.channels, path, subtype=subtype) as file:
                    for block in _blocks_of(made, stop):
                        file.write(block * gain)
    place.finish()


def _blocks_of(path: Path, stop: threading.Event) -> Iterator[np.ndarray]:
    """A file of our own, float32 [n, channels], block by block."""
    with soundfile.SoundFile(for_library(path)) as file:
        while len(block := file.read(1 << 16, dtype="float32", always_2d=True)):
            if stop.is_set():
                raise Stopped
            yield block
