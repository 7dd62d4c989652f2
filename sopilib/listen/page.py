"""One HTML file with sounds to hear, to look at, to sort and to choose from."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import soundfile

from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.listen.picture import Picture

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Column:
    """A figure that sounds have, and what it counts in the ranking, until somebody changes that on the page."""

    key: str
    """By which `Sound.figures` has it."""
    label: str
    """What stands above it, short."""
    help: str
    """What it means: a sentence."""
    digits: int = 1
    wish: str = ""
    """"more", "less" or "near": which sounds are the better ones. "": it is no matter of better or worse."""
    target: float | None = None
    """What "near" means near to; None: the median of all sounds."""
    weight: float = 0.0
    """How much it counts, 0 to 5."""


@dataclass(frozen=True)
class Sound:
    """A sound on a page."""

    key: str
    """What it is called in lists of those that are kept, such as "17"; unique on the page."""
    name: str
    file: Path
    """Where it lies. The page links to it, as seen from the page's own folder."""
    picture: Picture
    about: str = ""
    """A line below its name, such as its temperature and seed."""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """By the keys of columns; None or not finite: it has none."""
    wrong: Sequence[str] = ()
    """What is wrong with it, in a few words each."""
    recorded: bool = False
    """Whether it is a recording to compare with. Such a sound stays on top, has no place in the ranking, and can't be
    kept."""


def page(
    path: Path,
    title: str,
    sounds: Sequence[Sound],
    columns: Sequence[Column] = (),
    about: str = "",
    command: str = "",
    sort: str = "",
    embed: bool = False,
) -> None:
    """Writes the page, in place of an old one. The same sounds give the same bytes.

    title    what stands on top; `about` is a line below it
    command  what to type to keep the sounds whose keys are put in the place of "KEEP" in it; "": the page is not for
             choosing
    sort     the key of the column that it is sorted by first, largest first; "": the ranking, or the order given if no
             column counts in it
    embed    the sounds lie in the page, as FLAC in 16 bits, so that it can be sent alone; else beside it

    Raises SopiError if a sound to be embedded can't be read, or if the page can't be written.
    """
    data = {
        "title": title,
        "about": about,
        "command": command,
        "sort": sort,
        "columns": [vars(c) for c in columns],
        "sounds": [_described(s, path.parent, embed) for s in sounds],
    }
    # by which a browser remembers what was chosen here
    data["id"] = hashlib.sha256(json.dumps([title, [s.key for s in sounds]]).encode()).hexdigest()[:16]
    parts = {name: (HERE / f"page.{name}").read_text("utf-8") for name in ("html", "css", "js")}
    text = parts["html"].replace("/*CSS*/", parts["css"]).replace("/*JS*/", parts["js"])
    # in a script element only "<" could end it, and in JSON it stands in strings alone
    held = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    try:
        write_whole(path, text.replace("/*DATA*/", held).encode())
    except OSError as e:
        raise SopiError(f"{path}: could not be written ({e.strerror})") from None


def _described(sound: Sound, folder: Path, embed: bool) -> dict[str, Any]:
    """What the page's script needs to know of a sound."""
    link = _embedded(sound.file) if embed else quote(_relative(sound.file, folder))
    picture = sound.picture
    return {
        "key": sound.key,
        "name": sound.name,
        "about": sound.about,
        "link": link,
        "seconds": round(picture.seconds, 3),
        "rms_db": picture.rms_db,
        "levels": picture.levels,
        "picture": base64.b64encode(picture.png).decode(),
        "figures": {k: _rounded(v) for k, v in sound.figures.items()},
        "wrong": list(sound.wrong),
        "recorded": sound.recorded,
    }


def _rounded(value: float | None) -> float | None:
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def _relative(file: Path, folder: Path) -> str:
    """The way from a folder to a file, with slashes. "./" keeps a name with a colon from being taken for a scheme."""
    return "./" + Path(os.path.relpath(file, folder)).as_posix()


def _embedded(file: Path) -> str:
    """A sound file as a data URL."""
    try:
        audio, rate = soundfile.read(str(file), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as e:
        raise SopiError(f"{file}: not a readable sound file ({e})") from None
    packed = io.BytesIO()
    soundfile.write(packed, audio, rate, "PCM_16", format="FLAC")
    return "data:audio/flac;base64," + base64.b64encode(packed.getvalue()).decode()
