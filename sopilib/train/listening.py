"""RUN/listen.html: the previews of all steps beside the recordings, to hear, to see, and to compare blind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sopilib import listen, sound
from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.names import for_shell

INDEX, RECORDED = "sounds.json", "recorded.wav"
COLUMNS = (
    listen.Column("step", "Step", "After so many steps of training.", 0),
    listen.Column("temperature", "Temperature", "At which it was made.", 2),
    listen.Column("bits", "Bits", "How surprising what is held out was at that step, in bits per sample.", 3, "less"),
)


def write_page(folder: Path, new: Sequence[Mapping[str, Any]], real: np.ndarray, rate: int) -> None:
    """Writes the page of the run in `folder`, and what it is made of into previews/.

    new   of each sound that was just made: its file in previews/, step, temperature, number (None if there is but one),
          bits (None if they aren't known), and a list of what is wrong with it
    real  some of the recordings, float [n] at `rate` Hz

    A sound of an earlier step that can't be read is left out. Raises SopiError or OSError if something can't be
    written.
    """
    previews = folder / "previews"
    sound.write_audio(previews / RECORDED, [real[None]], rate)
    known = {each["file"]: each for each in (*_known(previews), *new)}
    there = [known[file] for file in sorted(known) if (previews / file).is_file()]
    write_whole(previews / INDEX, json.dumps(there, indent=1).encode())
    picture = listen.draw(real, rate)
    about = "what the model is to sound like"
    sounds = [listen.Sound("recorded", "recording", previews / RECORDED, picture, about, recorded=True)]
    for each in there:
        try:
            audio = sound.read_audio(previews / each["file"], rate)
        except SopiError:  # somebody has written over it
            continue
        about = f"temperature {each['temperature']:g}" + (f", number {each['number']}" if each["number"] else "")
        figures = {column.key: each[column.key] for column in COLUMNS}
        name, picture = f"step {each['step']}", listen.draw(audio, rate)
        file = previews / each["file"]
        sounds.append(listen.Sound(file.stem, name, file, picture, about, figures, each["wrong"]))
    use = f"sopi train {for_shell(folder)} --use STEP makes the model of a step the run's."
    listen.page(folder / "listen.html", f"Training of {folder.name}", sounds, COLUMNS, use, sort="step")


def _known(previews: Path) -> list[dict[str, Any]]:
    """What is known of the sounds of earlier steps; nothing if that can't be read."""
    try:
        said = json.loads((previews / INDEX).read_text())
        keys = {"file", "step", "temperature", "number", "bits", "wrong"}
        return [each for each in said if isinstance(each, dict) and set(each) == keys]
    except (OSError, ValueError, TypeError):
        return []
