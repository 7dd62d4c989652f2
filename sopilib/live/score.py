"""A score: what is sent to a performer, and when. A performance can be written down as one, and a score be performed.

In a file it is JSON,

    {
      "format": "sopilib score 1",
      "rate": 48000,
      "settings": {"model": "tabla", "seed": 7, "temperature": 0.9},
      "messages": [
        {"at": 30, "message": "temperature 1.2 4000"},
        {"frame": 1536000, "message": ["load2", "drums"]}
      ]
    }

of which only the messages must be there, or just the list of them; or CSV, a line for each message: 30,temperature 1.2
4000. A message is one of the command table, as it is sent by Pd or OSC, in words or as a list of its atoms; `at` is in
seconds, `frame` in frames of the host. (What `sopilib.score` measures is something else.)
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sopilib.engine import PRECISIONS
from sopilib.errors import SopiError, one_line
from sopilib.files import whole_file, write_whole
from sopilib.live.commands import COMMANDS, KEPT
from sopilib.live.journal import SILENT
from sopilib.live.messages import parse
from sopilib.live.performer import Performer, is_part
from sopilib.names import in_json
from sopilib.sound import LARGEST as LARGEST_SOUND
from sopilib.sound import NewSound

__all__ = ["Line", "Score", "perform", "read", "render", "with_settings", "words", "write"]

FORMAT = "sopilib score 1"
RATE = 48000.0
"""Hz, of the host where nothing says it."""
BLOCK = 64  # frames that the host takes at once
AFTERWARDS = 5.0  # s after the last message, where nothing says how long a score is
PIECE = 1.0  # s of sound at a time
LARGEST = 100_000_000  # bytes of a file
MOST_FRAMES = 1 << 62
LEFT_FREE = 500_000_000  # bytes of the disk, for all else that writes


class Line(NamedTuple):
    """One message."""

    at: float | int
    """When: an int is a frame of the host, a float seconds. Both are counted from the performer's beginning."""
    selector: str
    atoms: tuple[Any, ...] = ()

    def frame(self, rate: float) -> int:
        """The host's frame at which it arrives, at this rate in Hz."""
        return self.at if isinstance(self.at, int) else round(self.at * rate)


@dataclass(frozen=True)
class Score:
    """What is sent to a performer, and when.

    messages  in the order in which they are sent
    settings  what is set before the first frame, as `Performer.settings` gives it
    rate      Hz, of the host; None: as whoever performs it likes
    outputs   channels
    begin     the frame of the host's output at which the take begins; None: where a message of time 0 is heard
    frames    how long the take is; None: as long as one likes
    precision of the engines that played, as `Engine` has it
    doubt     why another performance may sound otherwise, such as underruns; empty: it won't
    folder    where relative paths are looked up; None: the current one

    Without a `generate` or `listen` among the messages it plays from the beginning.
    """

    messages: tuple[Line, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    rate: float | None = None
    outputs: int = 1
    begin: int | None = None
    frames: int | None = None
    precision: str = "auto"
    doubt: str = ""
    folder: Path | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it. The folder is left out."""
        values = {"rate": self.rate, "outputs": self.outputs, "begin": self.begin, "frames": self.frames}
        said: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        if self.precision != "auto":
            said["precision"] = self.precision
        if self.doubt:
            said["doubt"] = self.doubt
        lines = [
            {"frame" if isinstance(line.at, int) else "at": line.at, "message": [line.selector, *line.atoms]}
            for line in self.messages
        ]
        return {"format": FORMAT, **said, "settings": self.settings, "messages": lines}

    @classmethod
    def from_dict(cls, said: Any, folder: Path | None = None) -> Score:
        """What `to_dict` gave, or a list of messages alone. Raises SopiError with the line that is wrong."""
        whole = said if isinstance(said, dict) else {"messages": said}
        known = {"format", "rate", "outputs", "settings", "begin", "frames", "precision", "doubt", "messages"}
        if extra := sorted(set(whole) - known):
            raise SopiError(f"{extra[0]!r} in a score, expected one of {', '.join(sorted(known))}")
        if whole.get("format", FORMAT) != FORMAT:
            raise SopiError(f"format is {whole['format']!r}, expected {FORMAT!r}: a newer sopilib may read it")
        messages, settings = whole.get("messages"), whole.get("settings", {})
        if not isinstance(messages, list):
            raise SopiError('no list of messages in it, expected such as [[30, "temperature 1.2 4000"]]')
        if not isinstance(settings, dict):
            raise SopiError(f'settings are {settings!r}, expected such as {{"temperature": 0.9}}')
        if wrong := [name for name in settings if name not in (*KEPT, "model", "load2", "own") and not is_part(name)]:
            raise SopiError(f"no setting {wrong[0]!r}, expected model, load2 or one of {', '.join(KEPT)}")
        _latency(settings)
        if (precision := whole.get("precision", "auto")) not in PRECISIONS["native"]:
            raise SopiError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS['native'])}")
        lines = [_line(number, entry) for number, entry in enumerate(messages, 1)]
        return cls(
            messages=tuple(lines),
            settings=settings,
            rate=_number(whole, "rate", 1000, 400_000),
            outputs=int(_number(whole, "outputs", 1, 64, whole_one=True) or 1),
            begin=_number(whole, "begin", 0, MOST_FRAMES, whole_one=True),
            frames=_number(whole, "frames", 0, MOST_FRAMES, whole_one=True),
            precision=precision,
            doubt=str(whole.get("doubt", "")),
            folder=folder,
        )


def read(path: Path) -> Score:
    """Reads a score, JSON or CSV. Raises SopiError with what is wrong, and where."""
    try:
        if path.stat().st_size > LARGEST:
            raise SopiError(f"is larger than {LARGEST // 1_000_000} MB, expected a score")
        text = path.read_text(encoding="utf-8-sig")
        said = _from_csv(text) if path.suffix.lower() in (".csv", ".tsv", ".txt") else json.loads(text)
        return Score.from_dict(said, path.absolute().parent)
    except SopiError as e:
        raise SopiError(one_line(f"{path}: {e}")) from None
    except OSError as e:
        raise SopiError(f"{path}: {e.strerror or e}, expected a score of messages with times, JSON or CSV") from None
    except (ValueError, RecursionError) as e:
        raise SopiError(one_line(f"{path}: is no score, JSON or CSV ({e})")) from None


def write(score: Score, path: Path) -> None:
    """Writes a score as JSON, a line for each message. Raises OSError."""
    said = score.to_dict()
    lines = said.pop("messages")
    head = in_json(said, 1)[:-2]
    body = ",\n".join(f"  {in_json(line)}" for line in lines)
    write_whole(path, f'{head},\n "messages": [\n{body}\n ]\n}}\n'.encode())


def words(text: str) -> list[Any]:
    """A message that is written in words, as the atoms that Pd makes of it: what looks like a number is one."""
    return [_atom(word) for word in text.split()]


def perform(
    score: Score,
    seconds: float | None = None,
    rate: float | None = None,
    precision: str = "auto",
    told: Callable[..., None] | None = None,
) -> Iterator[np.ndarray]:
    """Performs a score as fast as it can and gives its sound, float32 (outputs, n), in pieces of at most a second.

    seconds    how long; None: as the score says
    rate       Hz, of the host where the score doesn't say it
    precision  of the engines, as `Engine` has it; "auto": as the score says
    told       called with each status event, its kind and its values

    The same score gives the same samples, and those of the performance that it was written from, as they were heard.
    Raises SopiError with the message that can't be done, and its time.
    """
    rate = score.rate or rate or RATE
    wrong: list[str] = []

    def status(kind: str, *values: Any) -> None:
        if kind == "error":
            wrong.append(str(values[0]))
        if told is not None:
            told(kind, *values)

    performer = Performer(
        "score",
        rate,
        _latency(score.settings) / 1000,
        freewheel=True,
        outputs=score.outputs,
        precision=score.precision if precision == "auto" else precision,
        status=status,
        folder=score.folder,
    )
    try:
        performer.host(rate, BLOCK)
        performer.restore(score.settings)
        _refuse(wrong, 0)
        begin = round(performer.state.latency / 1000 * rate) if score.begin is None else score.begin
        frames = score.frames if seconds is None else round(seconds * rate)
        if frames is None:
            raise SopiError("the score doesn't say how long it is, expected a number of seconds")
        yield from _sound(performer, score, rate, begin, begin + frames, wrong)
    finally:
        performer.close()


def render(
    score: Score,
    path: Path,
    seconds: float | None = None,
    rate: float | None = None,
    goes_on: Callable[[float], bool] = lambda share: True,
    precision: str = "auto",
) -> float | None:
    """Performs a score into a new WAV file of 32-bit floats -> its seconds; None if it was given up, and no file made.

    seconds  how long; None: as the score says, or five seconds more than it has messages
    goes_on  called with the share that is done; False gives it up

    Raises SopiError.
    """
    rate = score.rate or rate or RATE
    if seconds is None and score.frames is None:
        seconds = max((line.frame(rate) for line in score.messages), default=0) / rate + AFTERWARDS
    frames = (score.frames or 0) if seconds is None else seconds * rate
    most = LARGEST_SOUND["WAV"] // (4 * score.outputs)
    if not 1 <= frames <= most:
        raise SopiError(f"is {frames / rate:g} s long, expected more than 0 and at most {most / rate:.0f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = 4 * score.outputs * frames, shutil.disk_usage(path.parent).free
    if needed + LEFT_FREE > free:
        mb = f"{needed / 1e6:.0f} MB, and {LEFT_FREE / 1e6:.0f} MB that are to stay free, there are {free / 1e6:.0f} MB"
        raise SopiError(f"needs {mb}: expected less seconds, or another disk")
    with suppress(_GivenUp), whole_file(path, overwrite=False) as half:
        with closing(NewSound(half, round(rate), score.outputs, path, subtype="FLOAT")) as file:
            for made in perform(score, seconds, rate, precision):
                file.write(made.T)
                if not goes_on(file.frames / frames):
                    raise _GivenUp
        return round(frames) / rate
    return None


class _GivenUp(Exception):
    pass


def _sound(
    performer: Performer, score: Score, rate: float, begin: int, end: int, wrong: list[str]
) -> Iterator[np.ndarray]:
    """What is heard from one frame of the output to the other."""
    waiting = sorted(score.messages, key=lambda line: line.frame(rate))
    if not any(line.selector in ("generate", "listen", "stop") for line in waiting):
        first = sum(line.frame(rate) == 0 for line in waiting)
        waiting.insert(first, Line(0, "generate"))  # after what is set from the beginning
    at, piece = 0, round(PIECE * rate)
    while at < end:
        while waiting and waiting[0].frame(rate) <= at:
            line = waiting.pop(0)
            if line.selector not in SILENT:
                performer.handle(line.selector, *line.atoms, t=at)
            _refuse(wrong, at / rate)
        until = min(end, at + piece, *(line.frame(rate) for line in waiting[:1]))
        made = performer.read(until - at)
        if until > begin:
            yield made[:, max(0, begin - at) :]
        at = until
        performer.poll()
        _refuse(wrong, at / rate)


def _latency(settings: dict[str, Any]) -> float:
    """ms"""
    _, values = parse("latency", [settings.get("latency", COMMANDS["latency"].usual)])
    assert values is not None
    return float(values[0])


def _refuse(wrong: Sequence[str], seconds: float) -> None:
    if wrong:
        raise SopiError(f"the score at {seconds:g} s: {wrong[0]}")


def _line(number: int, entry: Any) -> Line:
    try:
        at, atoms = _at_and_atoms(entry)
        if not isinstance(atoms, list) or not atoms or not isinstance(atoms[0], str):
            raise SopiError(f'message is {atoms!r}, expected such as "temperature 1.2 4000"')
        if any(not isinstance(atom, (str, int, float)) for atom in atoms):
            raise SopiError(f"message is {atoms!r}, expected words and numbers")
        parse(atoms[0], atoms[1:])
    except SopiError as e:
        raise SopiError(f"message {number}: {e}") from None
    return Line(at, atoms[0], tuple(atoms[1:]))


def _at_and_atoms(entry: Any) -> tuple[float | int, list[Any]]:
    """When a message of a file is sent, and what it is."""
    if isinstance(entry, list) and len(entry) > 1:
        at, message = entry[0], entry[1] if len(entry) == 2 else entry[1:]
        as_frame = False
    elif isinstance(entry, dict) and set(entry) in ({"at", "message"}, {"frame", "message"}):
        as_frame, message = "frame" in entry, entry["message"]
        at = entry["frame" if as_frame else "at"]
    else:
        raise SopiError(f'is {entry!r}, expected such as [30, "temperature 1.2 4000"]')
    valid = isinstance(at, int if as_frame else (int, float)) and not isinstance(at, bool)
    most = MOST_FRAMES if as_frame else MOST_FRAMES // 1_000_000
    if not valid or not 0 <= at <= most:
        expected = "a whole number of frames" if as_frame else "a number of seconds"
        raise SopiError(f"its time is {at!r}, expected {expected} from 0 to {most:g}")
    return (at if as_frame else float(at)), words(message) if isinstance(message, str) else message


def _from_csv(text: str) -> list[Any]:
    """The messages of lines such as 30,temperature,1.2,4000. A first line that names the columns is passed over, and
    what begins with #."""
    dialect = csv.excel_tab if "\t" in text.partition("\n")[0] else csv.excel
    rows = [row for row in csv.reader(text.splitlines(), dialect) if row and not row[0].lstrip().startswith("#")]
    entries = [[_atom(row[0].strip()), " ".join(cell.strip() for cell in row[1:])] for row in rows]
    return entries[1:] if entries and isinstance(entries[0][0], str) else entries


def _atom(word: str) -> Any:
    try:
        return int(word) if word.lstrip("+-").isdecimal() else float(word)
    except ValueError:
        return word


def _number(said: dict[str, Any], name: str, least: float, most: float, whole_one: bool = False) -> Any:
    value = said.get(name)
    if value is None:
        return None
    valid = isinstance(value, int if whole_one else (int, float)) and not isinstance(value, bool)
    if not valid or not least <= value <= most:
        raise SopiError(f"{name} is {value!r}, expected a number from {least:g} to {most:g}")
    return value if whole_one else float(value)


def with_settings(score: Score, settings: dict[str, Any]) -> Score:
    """The score, with other settings before its first frame; those that aren't named stay."""
    return replace(score, settings={**score.settings, **settings})
