"""What was ordered becomes a plan: lists of seeds and temperatures, one for each take, sounds to go on from."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sopilib.engine import Engine
from sopilib.errors import SopiError, SopiWarning
from sopilib.live.messages import parse
from sopilib.live.score import Score
from sopilib.live.snapshots import fingerprint
from sopilib.model import Model
from sopilib.names import escaped, shown
from sopilib.render.plan import MOST_TAKES, Heard, Plan, Sound, Take
from sopilib.sound import Part, find_audio, read_audio

__all__ = ["Order", "listed", "order", "to_hear"]

LONGEST = 60.0
"""Seconds of a sound that takes go on from, where it isn't said how much of it: its last ones."""

_ENVELOPE = re.compile(r"env\s*\(?(?:\s*,?\s*\[[^\]]*\])+\s*\)?", re.IGNORECASE)


@dataclass(frozen=True)
class Order:
    """What takes are wanted, as somebody says it.

    takes         how many; None: as many as there are seeds or sounds, else one
    seconds       of each
    seeds         the first one, from which they count on, or one for each take
    temperatures  numbers and envelopes in words, such as "Env([0.7,1.05],[4],[-2])", as many as one likes: the last one
                  holds for the takes that have none of their own, and what is too much is left out, as in PRiSM. Empty:
                  as the model's file says it, else 1
    settings      by the names of messages, what holds for all takes
    heard         what they go on from: one sound for all or, in turn, one for each; empty: they begin in silence
    score         what they perform
    precision     of the engines that perform it, as `Engine` has it
    """

    takes: int | None = None
    seconds: float = 10.0
    seeds: tuple[int, ...] = (0,)
    temperatures: tuple[str | float, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    heard: tuple[Heard, ...] = ()
    score: Score | None = None
    precision: str = "auto"

    @property
    def count(self) -> int:
        """How many takes there are to be. Raises SopiError if that is no number of takes."""
        count = max(1, len(self.seeds), len(self.heard)) if self.takes is None else self.takes
        if not 1 <= count <= MOST_TAKES:
            raise SopiError(f"{count} takes, expected 1 to {MOST_TAKES}")
        if len(self.seeds) > 1 and len(self.seeds) != count:
            raise SopiError(f"{len(self.seeds)} seeds for {count} takes, expected one to count on from, or {count}")
        return count


def order(wanted: Order, engine: Engine, sound: Sound, stem: str) -> Plan:
    """The plan of what is wanted of an engine's model. Raises SopiError with what can't be."""
    model, count = engine.model, wanted.count
    usual = {"temperature": 1.0, **model.play} if wanted.score is None else {}
    temperatures = [_temperature(value) for value in wanted.temperatures]
    seeds = wanted.seeds if len(wanted.seeds) > 1 else [wanted.seeds[0] + i for i in range(count)]
    takes = []
    for i in range(count):
        own = {"temperature": temperatures[min(i, len(temperatures) - 1)]} if temperatures else {}
        settings = {**usual, **wanted.settings, **own}
        heard = wanted.heard[i % len(wanted.heard)] if wanted.heard else None
        takes.append(Take(i + 1, seeds[i], wanted.seconds, settings, heard))
    plan = Plan(
        model=model.name,
        fingerprint=fingerprint(model),
        engine=engine.description if wanted.score is None else {"backend": "native", "precision": wanted.precision},
        sound=sound,
        takes=tuple(takes),
        score=wanted.score,
        stem=stem,
    )
    plan.check()
    return plan


def to_hear(path: Path, model: Model, start: float, seconds: float | None) -> list[tuple[Heard, np.ndarray]]:
    """What takes go on from: a part of a sound file, or of each in a folder, with its float32 samples at the model's
    rate. A sound that is shorter than the model's largest frame is heard after silence, which a SopiWarning tells.

    start    in seconds, in each file
    seconds  how much of each; None: all from there to its end, of which at most the last minute

    Raises SopiError if there is no such sound.
    """
    if not start >= 0 or not (seconds is None or seconds > 0):
        length = "" if seconds is None else f", and {seconds:g} s of it"
        raise SopiError(
            f"{shown(path)}: is to be heard from {start:g} s on{length}, expected 0 or more, and a length above 0"
        )
    part = Part(start, None if seconds is None else start + seconds, LONGEST if seconds is None else None)
    rate, frame = model.config.sample_rate, model.config.lookback
    found = []
    for file in find_audio([path]):
        audio = read_audio(file, rate, part)
        if len(audio) < frame:
            warnings.warn(
                f"{shown(file)}: {1000 * len(audio) / rate:.1f} ms are heard of it, less than the model's frame of "
                f"{1000 * frame / rate:.1f} ms, so that there is silence before them",
                SopiWarning,
                stacklevel=2,
            )
        name = hashlib.sha256(audio.tobytes()).hexdigest()[:12]
        found.append((Heard(f"heard-{name}.wav", escaped(file.name)), audio))
    return found


def listed(words: Sequence[str]) -> list[str]:
    """The items of a list that is written with spaces or commas. An envelope is one of them, whatever is in it."""
    text = " ".join(words)
    return [found[0].strip() for found in re.finditer(rf"{_ENVELOPE.pattern}|[^\s,]+", text, re.IGNORECASE)]


def _temperature(value: str | float) -> str | float:
    """A number, or an envelope in words as it is written again. Raises SopiError."""
    try:
        value = float(value)
    except ValueError:
        pass
    parse("temperature", [value])
    return value
