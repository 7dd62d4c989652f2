"""How close what a model makes is to its recordings: figures of takes beside those of the recordings themselves, of the
same coded and decoded, and of what was held out from training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sopilib.engine import Engine
from sopilib.engine.blocks import blocks
from sopilib.errors import SopiError
from sopilib.model import Model
from sopilib.score.measures import Measured, measure, pieces, together
from sopilib.score.patches import told_apart
from sopilib.score.sound import describe, profile
from sopilib.score.stillness import longest_still, stillness


def takes(
    model: Model,
    seconds: float,
    seeds: Sequence[int],
    sampling: Mapping[str, Any],
    told: Callable[[float], None] = lambda share: None,
) -> list[np.ndarray]:
    """What a model makes, float [n] for each seed, whatever the others are: they are the voices of one engine.

    sampling  the temperature, and what else `Engine.generate` takes
    told      is called with the share, 0 to 1, of each that is made

    Raises SopiError for values out of range.
    """
    engine = Engine(model, voices=len(seeds))
    made = []
    for block in blocks(engine, seconds, seed=seeds, **sampling):
        made.append(block)
        told(sum(b.shape[1] for b in made) / (seconds * model.config.sample_rate))
    return list(np.concatenate(made, axis=1))


def own_setting(model: Model) -> dict[str, float]:
    """How a model's file says that it is played, by the names of `Engine.generate`; without a word of it: nothing."""
    return {name.replace("-", "_"): value for name, value in model.play.items()}


class Recordings:
    """What a model learnt from, to measure takes of one length against.

    model     whose coding it is, and whose file says below which movement a sound is still; else these recordings do
    train     recordings, each float [n]
    held_out  what of them the model never learnt from, each float [n]; may be empty
    seconds   of a take: recordings are measured in pieces as long
    beats     how long a beat may be, in seconds

    Raises SopiError if there are no recordings, or they are shorter than about 1/8 s.
    """

    def __init__(
        self,
        model: Model,
        train: Sequence[np.ndarray],
        held_out: Sequence[np.ndarray],
        seconds: float,
        beats: Sequence[float] = (),
    ) -> None:
        if not train:
            raise SopiError("nothing but held-out sound: expected recordings that the model learnt from")
        self.model, self.train, self.held_out, self.beats = model, train, held_out, beats
        self.rate = model.config.sample_rate
        self.samples = round(seconds * self.rate)
        self.profile = profile(np.concatenate(list(train)), self.rate)
        own = model.stillness or stillness(train, self.rate)
        self.below = own.below if own else 0.0

    def figures(self, sounds: Sequence[np.ndarray], judged: bool = True) -> Measured:
        """The figures of sounds, each float [n], together. `judged`: a small classifier tries to tell them from what
        was trained on."""
        found = together([measure(s, self.rate, self.profile, self.below, self.beats) for s in sounds])
        apart = told_apart(sounds, self.train, self.rate) if judged else None
        return found if apart is None else Measured({**found.mean, "told_apart": apart}, found.spread, found.count)

    def own(self) -> dict[str, Measured]:
        """The figures of "recordings", of the same "coded" and decoded, and of what was "held out", if anything was."""
        coded = [self.model.decode(self.model.encode(audio)) for audio in self.train]
        out = {"recordings": self._of_recordings(self.train), "coded": self._of_recordings(coded)}
        if self.held_out:
            found = self._of_recordings(self.held_out)
            if (apart := told_apart(self.held_out, self.train, self.rate)) is not None:
                found.mean["told_apart"] = apart
            out["held out"] = found
        return out

    def _of_recordings(self, sounds: Sequence[np.ndarray]) -> Measured:
        """In pieces; but how long they are ever silent or still is asked of them as they are, ends included."""
        found = self.figures(pieces(sounds, self.samples), judged=False)
        found.mean["longest_silence"] = max(describe(s, self.rate).longest_silence for s in sounds)
        if self.below:
            found.mean["longest_still"] = max(longest_still(s, self.rate, self.below) for s in sounds)
        return found
