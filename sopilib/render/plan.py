"""What takes there are to be: everything that decides how they sound, and nothing else.

A plan is described by a file beside its takes (`takes.json`). That holds all that is needed to make each of them again,
and no times, hosts or paths, so that the same takes have the same description wherever and whenever they are made:

    format, version         of this description; of sopilib
    model                   its name, and its fingerprint
    engine                  backend and precision, and where that counts (f32) the set of instructions or kind of device
    sound                   the files: suffix, bits, rate in Hz, fades in ms, normalise in dB
    score                   as `sopilib.live.score` has it, if they perform one
    takes                   of each: number, file, seed, seconds, settings by the names of messages, and what it heard
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import sopilib
from sopilib.errors import SopiError, one_line
from sopilib.live.messages import parse
from sopilib.live.score import Score
from sopilib.names import in_json

__all__ = ["FORMAT", "SAMPLING", "Heard", "Plan", "Sound", "Take", "read"]

FORMAT = "sopilib takes 1"
SAMPLING = ("temperature", "top-k", "top-p", "min-p", "rest", "rest-level")
"""The messages whose settings a take of the engine alone has."""
MOST_TAKES = 1_000_000
LONGEST = 366 * 86400.0
"""Seconds of a take."""
BITS = {"16": 2, "24": 3, "float": 4}
"""How a sample is written, and in how many bytes."""
RATES = (1000, 400_000)


@dataclass(frozen=True)
class Heard:
    """A sound that a take goes on from.

    sound   the file beside the takes that has it, at the model's rate
    of      the name of the file that it is a part of, for people
    """

    sound: str
    of: str = ""


@dataclass(frozen=True)
class Take:
    """One take.

    number    from 1
    seed      0 to 2**64 - 1
    seconds   how long it is
    settings  by the names of messages, as these have them: {"temperature": 0.9, "top-k": 0}. A temperature may be an
              envelope in words, as "env [0.7 1.05] [4] [-2]"
    heard     what it goes on from; None: it begins in silence
    """

    number: int
    seed: int
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)
    heard: Heard | None = None

    def check(self) -> None:
        """Raises SopiError if something is out of range, by the table of messages."""
        if not 0 < self.seconds <= LONGEST:
            raise SopiError(
                f"seconds is {self.seconds:g}, so there is nothing to write, expected a length above 0 seconds"
                if self.seconds <= 0
                else f"seconds is {self.seconds:g}, expected at most {LONGEST:g}"
            )
        parse("seed", [self.seed])
        for name, value in self.settings.items():
            parse(name, [value])


@dataclass(frozen=True)
class Sound:
    """How the files are written.

    suffix     such as "wav"
    bits       a key of BITS
    rate       Hz
    fade_in, fade_out  ms
    normalise  dB below full scale of the highest peak of all takes, which are all changed by one gain; None: not at all
    """

    suffix: str = "wav"
    bits: str = "24"
    rate: int = 16000
    fade_in: float = 0.0
    fade_out: float = 0.0
    normalise: float | None = None

    def check(self) -> None:
        """Raises SopiError if something is out of range."""
        if self.bits not in BITS:
            raise SopiError(f"bits is {self.bits}, expected one of {', '.join(BITS)}")
        if self.bits == "float" and self.suffix == "flac":
            raise SopiError("FLAC has no floats, expected 16 or 24 bits, or a name such as out.wav")
        if not RATES[0] <= self.rate <= RATES[1]:
            raise SopiError(f"the sample rate is {self.rate} Hz, expected {RATES[0]} to {RATES[1]}")
        for name in ("fade_in", "fade_out"):
            if not 0 <= getattr(self, name) <= 3_600_000:
                raise SopiError(f"{name.replace('_', ' ')} is {getattr(self, name):g} ms, expected 0 to 3600000")
        if self.normalise is not None and not -90 <= self.normalise <= 0:
            raise SopiError(f"normalise is {self.normalise:g} dB, expected -90 to 0")


@dataclass(frozen=True)
class Plan:
    """Takes of one model.

    model, fingerprint  its name, and what is the same for the same model whatever it is called
    engine              backend, precision, and what else of the engine decides about samples
    sound               how the files are written
    takes               in the order of their numbers
    score               what they perform; None: the engine plays alone
    stem                the beginning of the files' names
    version             of sopilib
    """

    model: str
    fingerprint: str
    engine: dict[str, str]
    sound: Sound
    takes: tuple[Take, ...]
    score: Score | None = None
    stem: str = "take"
    version: str = sopilib.__version__

    def check(self) -> None:
        """Raises SopiError with what is out of range."""
        if not 1 <= len(self.takes) <= MOST_TAKES:
            raise SopiError(f"{len(self.takes)} takes, expected 1 to {MOST_TAKES}")
        if missing := {"backend", "precision"} - set(self.engine):
            raise SopiError(f"is damaged: the engine has no {min(missing)}")
        numbers = [take.number for take in self.takes]
        if numbers != sorted({number for number in numbers if number > 0}):
            raise SopiError("is damaged: the numbers of its takes don't rise from 1")
        self.sound.check()
        for take in self.takes:
            take.check()
            for name in (self.file(take), *([take.heard.sound] if take.heard is not None else [])):
                if Path(name).name != name or "\\" in name or name.startswith("."):
                    raise SopiError(f"{name!r} is no name of a file beside the takes")

    def file(self, take: Take) -> str:
        """The name of a take's file."""
        return f"{self.stem}-{take.number:03}.{self.sound.suffix}"

    def frames(self, take: Take) -> int:
        """How many frames its file has."""
        return round(take.seconds * self.sound.rate)

    @property
    def channels(self) -> int:
        """Of each file."""
        return 1 if self.score is None else self.score.outputs

    def size(self, takes: Iterable[Take]) -> int:
        """What the files of these takes need on a disk, at most."""
        return sum(self.frames(take) for take in takes) * self.channels * BITS[self.sound.bits]

    def goes_on_from(self, other: Plan) -> bool:
        """Whether it is the other plan with, perhaps, more takes: those that are made of the other can stay."""
        same = replace(self, takes=self.takes[: len(other.takes)]) == other
        return same and (len(self.takes) == len(other.takes) or self.sound.normalise is None)

    def difference(self, other: Plan) -> str:
        """What is other than in another plan, in words: the first thing of it."""
        mine, theirs = self.to_dict(), other.to_dict()
        for name in ("model", "engine", "sound", "score", "version"):
            if mine[name] != theirs[name]:
                return _difference(name, mine[name], theirs[name])
        for a, b in zip(mine["takes"], theirs["takes"]):
            if a != b:
                return f"of take {a['number']} {_difference('it', a, b)}"
        return f"there are to be {len(self.takes)} takes, there are {len(other.takes)}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "format": FORMAT,
            "version": self.version,
            "model": {"name": self.model, "fingerprint": self.fingerprint},
            "engine": self.engine,
            "sound": asdict(self.sound),
            "score": None if self.score is None else self.score.to_dict(),
            "takes": [
                {
                    "number": take.number,
                    "file": self.file(take),
                    "seed": take.seed,
                    "seconds": take.seconds,
                    "settings": take.settings,
                    "heard": None if take.heard is None else asdict(take.heard),
                }
                for take in self.takes
            ],
        }

    def to_json(self) -> bytes:
        """The description, a line for each take."""
        said = self.to_dict()
        takes = ",\n".join(f"  {in_json(take)}" for take in said.pop("takes"))
        head = in_json(said, 1)[:-2]
        return f'{head},\n "takes": [\n{takes}\n ]\n}}\n'.encode()

    @classmethod
    def from_dict(cls, said: Any, folder: Path | None = None) -> Plan:
        """What `to_dict` gave. `folder` is where a score's relative paths are looked up. Raises SopiError."""
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            found = said.get("format") if isinstance(said, dict) else said
            raise SopiError(f"format is {_brief(found)}, expected {FORMAT!r}, as sopi generate writes it")
        try:
            takes = [
                Take(
                    number=int(t["number"]),
                    seed=int(t["seed"]),
                    seconds=float(t["seconds"]),
                    settings=dict(t["settings"]),
                    heard=None if t["heard"] is None else Heard(**t["heard"]),
                )
                for t in said["takes"]
            ]
            plan = cls(
                model=str(said["model"]["name"]),
                fingerprint=str(said["model"]["fingerprint"]),
                engine=dict(said["engine"]),
                sound=Sound(**said["sound"]),
                takes=tuple(takes),
                score=None if said["score"] is None else Score.from_dict(said["score"], folder),
                stem=str(said["takes"][0]["file"]).rsplit("-", 1)[0],
                version=str(said["version"]),
            )
            plan.check()
        except SopiError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as e:
            raise SopiError(f"is damaged: {type(e).__name__} {e}") from None
        return plan

    def only(self, numbers: Sequence[int]) -> Plan:
        """The plan of some of its takes. Raises SopiError if it has no take of such a number."""
        of = {take.number: take for take in self.takes}
        for number in numbers:
            if number not in of:
                raise SopiError(f"there is no take {number}, expected one from {min(of)} to {max(of)}")
        return replace(self, takes=tuple(of[number] for number in sorted(set(numbers))))

    def lasting(self, seconds: float) -> Plan:
        """The plan with takes of that length: the same as far as they go."""
        return replace(self, takes=tuple(replace(take, seconds=seconds) for take in self.takes))


def read(path: Path) -> Plan:
    """Reads a description (takes.json). Raises SopiError with what is wrong."""
    try:
        return Plan.from_dict(json.loads(path.read_bytes()), path.absolute().parent)
    except SopiError as e:
        raise SopiError(one_line(f"{path}: {e}")) from None
    except OSError as e:
        raise SopiError(f"{path}: {e.strerror or e}, expected a takes.json as sopi generate writes it") from None
    except (ValueError, RecursionError) as e:
        raise SopiError(one_line(f"{path}: is no takes.json ({e})")) from None


def _difference(name: str, mine: Any, theirs: Any) -> str:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        key = next(key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key))
        return _difference(key.replace("_", " "), mine.get(key), theirs.get(key))
    return f"{name} is {_brief(mine)}, there {_brief(theirs)}"


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."
