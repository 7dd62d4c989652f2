"""Which takes to keep: a page to listen with and to rank by (takes.html), and what becomes of the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sopilib import listen
from sopilib.engine import Engine
from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.names import for_shell
from sopilib.render import plan as plans
from sopilib.render.place import DESCRIPTION, Place
from sopilib.render.plan import Plan, Take
from sopilib.score import failures, likelihood
from sopilib.score.choosing import Character, character
from sopilib.sound import read_audio

__all__ = ["OTHERS", "keep", "page", "page_of", "wanted"]

OTHERS = "not kept"
"""The folder, beside the takes, that those go into that are not kept."""
SCORED = 3.0  # s, of each of three places of a take whose likelihood is measured
COLUMNS = (
    listen.Column(
        "bits",
        "Bits",
        "How it surprises the model, in bits per sample: far below what recordings have is dull, far above noise.",
        2,
        "near",
        weight=2,
    ),
    listen.Column("distance", "Distance", "How far its sound is from the recordings, in dB.", 1, "less", weight=2),
    listen.Column("variety", "Variety", "How far its parts of 2 s are from each other, in dB.", 1, "more", weight=1),
    listen.Column("apart", "Unlike", "How far it is from the take that is most like it, in dB.", 1, "more", weight=1),
    listen.Column("silence", "Silence", "Its longest silence, in seconds.", 1, "less", weight=1),
    listen.Column("loops", "Loops", "How much of it repeats what was just before, in percent.", 0, "less", weight=1),
    listen.Column("clipped", "Clipping", "How many samples are at full scale, in percent.", 2, "less", weight=1),
)
SUCH_AS = "such as 3 17 20-24, or a file with such a list"
KEPT_FROM_FILE = 10_000_000
"""Bytes; a list of numbers is shorter."""


# ---------------------------------------------------------------- the page


@dataclass(frozen=True)
class _Heard:
    """A take as it was heard."""

    take: Take
    file: Path
    picture: listen.Picture
    character: Character
    bits: float | None
    wrong: list[str]


def page_of(place: Place) -> Path:
    """The file with the page of a place: takes.html."""
    return place.description.with_suffix(".html")


def page(
    plan: Plan,
    place: Place,
    engine: Engine,
    recordings: Sequence[Path] = (),
    threads: int = 1,
    told: Callable[[int], None] = lambda count: None,
) -> Path:
    """Writes takes.html for the takes of a plan that are there -> its path.

    engine      of their model, on the processor; it is cloned
    recordings  sounds that takes should be close to; none: the page says nothing of that
    threads     takes that are heard at a time
    told        is called with how many were heard so far

    Raises SopiError if a file can't be read or the page can't be written.
    """
    rate = engine.config.sample_rate
    real = np.concatenate([read_audio(path, rate) for path in recordings]) if recordings else None
    heard: list[_Heard] = []
    with ThreadPoolExecutor(threads, "choosing") as pool:
        there = [(take, place.path(plan, take)) for take in plan.takes if place.path(plan, take).is_file()]
        for one in pool.map(lambda found: _hear(found[0], found[1], engine, real), there):
            heard.append(one)
            told(len(heard))
    like = None if real is None else character(real, rate)
    sounds = [_sound(one, _figures(one, heard, like)) for one in heard]
    for i, path in enumerate(recordings, 1):
        picture = listen.draw(read_audio(path, rate), rate)
        sounds.append(listen.Sound(f"recording {i}", path.name, path, picture, "a recording", recorded=True))
    path = page_of(place)
    about = f"{len(heard)} takes of {plan.model}, made by sopilib {plan.version} in {plan.engine['precision']}."
    if like is None:
        about += " With --like RECORDING they are compared with it, too."
    listen.page(path, f"Takes of {plan.model}", sounds, _columns(engine, like), about, _command(plan, place))
    return path


def _command(plan: Plan, place: Place) -> str:
    """What to type to keep takes, as `listen.page` has it."""
    where = "FOLDER" if place.description.name == DESCRIPTION else f"FOLDER/{for_shell(plan.stem)}.{plan.sound.suffix}"
    return f"sopi generate --keep KEEP -o {where}"


def _columns(engine: Engine, like: Character | None) -> list[listen.Column]:
    """Those that have figures. The likelihood that is wanted is that of the recordings that were held out, if it is
    known."""
    trained = engine.model.about.get("training", {})
    bits = trained.get("held_out_bits") if isinstance(trained, dict) else None
    if isinstance(bits, dict):
        bits = bits.get(engine.precision, bits.get("f32"))
    target = float(bits) if isinstance(bits, (int, float)) else None
    return [replace(c, target=target if c.key == "bits" else None) for c in COLUMNS if like or c.key != "distance"]


def _hear(take: Take, file: Path, engine: Engine, real: np.ndarray | None) -> _Heard:
    rate = engine.config.sample_rate
    audio = read_audio(file, rate)
    if not len(audio):
        raise SopiError(f"{file}: has no sound")
    return _Heard(
        take,
        file,
        listen.draw(audio, rate),
        character(audio, rate),
        _bits(engine.clone(1), audio),
        failures(audio, rate, real),
    )


def _bits(engine: Engine, audio: np.ndarray) -> float | None:
    """The bits per sample of a sound, float [n], of what lies at its beginning, middle and end. None if it is too short
    for any."""
    n = min(len(audio), round(SCORED * engine.config.sample_rate))
    if n < engine.config.lookback:
        return None
    starts = sorted({0, (len(audio) - n) // 2, len(audio) - n})
    codes = engine.model.encode(audio)
    scored = [likelihood(engine, codes[at : at + n]) for at in starts]
    return float(np.mean([one.bits for one in scored]))


def _figures(one: _Heard, all_: Sequence[_Heard], like: Character | None) -> dict[str, float | None]:
    mine = one.character
    others = [mine.distance(other.character) for other in all_ if other is not one]
    return {
        "bits": one.bits,
        "distance": None if like is None else mine.distance(like),
        "variety": mine.variety_db,
        "apart": min(others, default=None),
        "silence": mine.silence,
        "loops": 100 * mine.loops,
        "clipped": 100 * mine.clipped,
    }


def _sound(one: _Heard, figures: dict[str, float | None]) -> listen.Sound:
    take = one.take
    about = f"seed {take.seed}"
    if "temperature" in take.settings:
        about = f"temperature {take.settings['temperature']}, {about}"
    if take.heard is not None and take.heard.of:
        about += f", goes on from {take.heard.of}"
    return listen.Sound(str(take.number), f"Take {take.number}", one.file, one.picture, about, figures, one.wrong)


# ---------------------------------------------------------------- keeping


def wanted(words: Iterable[str]) -> list[int]:
    """The numbers of takes that words mean: numbers, ranges such as 3-7, and names of files with such words, as the
    page saves its list. Raises SopiError for any other word, and if there is none at all."""
    found: list[int] = []
    for word in words:
        for part in _words_of(word):
            first, dash, last = part.partition("-")
            if not first.isdecimal() or (dash and not last.isdecimal()):
                raise SopiError(f"--keep: {part!r} is no number of a take, expected {SUCH_AS}")
            numbers = range(int(first), int(last if dash else first) + 1)
            if len(numbers) > plans.MOST_TAKES:
                raise SopiError(f"--keep: {part!r} are {len(numbers)} takes, expected at most {plans.MOST_TAKES}")
            found += numbers
    if not found:
        raise SopiError(f"--keep: no take is named, expected {SUCH_AS}")
    return found


def _words_of(word: str) -> list[str]:
    if not Path(word).is_file():
        return word.replace(",", " ").split()
    try:
        return Path(word).read_bytes()[:KEPT_FROM_FILE].decode().replace(",", " ").split()
    except (OSError, UnicodeDecodeError) as e:
        raise SopiError(f"{word}: no list of takes could be read ({e})") from None


def keep(place: Place, numbers: Sequence[int], delete: bool = False) -> tuple[Plan, int]:
    """Keeps these takes of a place, and moves the others, with a description of theirs, into a folder in it -> the plan
    of those that are kept, and how many were moved. If that is broken off it can be done again.

    delete  the others are deleted instead

    Raises SopiError if there are no such takes, if some are still to be made, or if the folder can't be written.
    """
    plan = plans.read(place.description)
    kept = plan.only(numbers)
    if place.unfinished:
        raise SopiError(
            f"{place.folder}: takes are still to be made: give the line that made the others again, then choose"
        )
    others = [take for take in plan.takes if take not in kept.takes]
    away = Place(place.folder / OTHERS, place.description.name)
    try:
        if delete:
            for take in others:
                place.path(plan, take).unlink(missing_ok=True)
        elif others:
            _move(plan, others, place, away)
        write_whole(place.description, kept.to_json())
        if page_of(place).is_file():
            listen.leave(page_of(place), [str(take.number) for take in kept.takes])
    except OSError as e:
        raise SopiError(f"{place.folder}: {e.strerror or e}, expected a folder that can be written") from None
    return kept, len(others)


def _move(plan: Plan, others: Sequence[Take], place: Place, away: Place) -> None:
    """Moves takes, and what they go on from. Their description is there before them."""
    away.folder.mkdir(exist_ok=True)
    there: tuple[Take, ...] = ()
    if away.description.exists():
        before = plans.read(away.description)
        if replace(before, takes=()) != replace(plan, takes=()):
            raise SopiError(f"{away.folder}: takes of another kind are there, expected them moved elsewhere")
        there = tuple(take for take in before.takes if take not in others)
    together = replace(plan, takes=tuple(sorted((*there, *others), key=lambda take: take.number)))
    for name in {take.heard.sound for take in others if take.heard is not None}:
        if not (away.folder / name).exists():
            shutil.copyfile(place.folder / name, away.folder / name)
    write_whole(away.description, together.to_json())
    for take in others:
        if place.path(plan, take).exists():
            place.path(plan, take).rename(away.path(plan, take))  # a take that is whole only changes its folder
