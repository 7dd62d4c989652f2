"""One HTML file with sounds to hear, to look at, to sort and to choose from."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import soundfile

from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.listen.picture import Picture
from sopilib.names import shown
from sopilib.sound import read_sound

HERE = Path(__file__).parent
DATA = ('<script type="application/json" id="data">', "</script>")
"""Between which a page has what it shows, as JSON."""


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
    command  what to type to keep the sounds whose keys are put in the place of "KEEP" in it; "FOLDER" in it becomes the
             folder that the page lies in; "": the page is not for choosing
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
    _write(path, data)


def is_page(path: Path) -> bool:
    """Whether `page` has written this file."""
    try:
        return DATA[0] in path.read_text("utf-8")
    except (OSError, ValueError):
        return False


def leave(path: Path, keys: Collection[str]) -> None:
    """Leaves on a page that `page` has written only the sounds with these keys, and the recordings. Raises SopiError if
    it is no such page or can't be written."""
    try:
        data = json.loads(path.read_text("utf-8").partition(DATA[0])[2].partition(DATA[1])[0])
        data["sounds"] = [sound for sound in data["sounds"] if sound["recorded"] or sound["key"] in keys]
    except (OSError, ValueError, TypeError, KeyError):
        raise SopiError(f"{path}: is no page of sounds, expected one that sopi generate has written") from None
    _write(path, data)


def _write(path: Path, data: dict[str, Any]) -> None:
    """Writes the page that shows this."""
    parts = {name: (HERE / f"page.{name}").read_text("utf-8") for name in ("html", "css", "js")}
    text = parts["html"].replace("/*CSS*/", parts["css"]).replace("/*JS*/", parts["js"])
    # in a script element only "<" could end it, and in JSON it stands in strings alone
    held = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    try:
        write_whole(path, text.replace("/*DATA*/", held))
    except OSError as e:
        raise SopiError(f"{path}: could not be written ({e.strerror})") from None


def _described(sound: Sound, folder: Path, embed: bool) -> dict[str, Any]:
    """What the page's script needs to know of a sound."""
    link = _embedded(sound.file) if embed else quote(os.fsencode(_relative(sound.file, folder)))
    picture = sound.picture
    return {
        "key": shown(sound.key),
        "name": shown(sound.name),
        "about": shown(sound.about),
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
    audio, rate = read_sound(file)
    packed = io.BytesIO()
    soundfile.write(packed, audio, rate, "PCM_16", format="FLAC")
    return "data:audio/flac;base64," + base64.b64encode(packed.getvalue()).decode()
