"""How good a network in training is on the part of the sound that it never learns from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sopilib.model import Model
from sopilib.score import Likelihood, likelihood
from sopilib.train import coding
from sopilib.train.network import SampleRNN, State
from sopilib.train.preparation.dataset import Stretch
from sopilib.train.prepare import Dataset

SCORED = 60.0
"""Seconds of the validation part that are scored at each checkpoint, from the start of each of its segments."""


class TeacherForced:
    """A network in training as a `sopilib.score.Predictor`. It computes in float32, whatever training computes in."""

    def __init__(self, network: SampleRNN) -> None:
        self.network, self.config = network, network.config
        self.device = next(network.parameters()).device
        self.state: State | None = None

    def reset(self) -> None:
        """Goes back to the initial state of the RNNs."""
        self.state = None

    @torch.no_grad()
    def teacher_force(self, codes: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """Turns codes, int [1, lookback + n], into float32 logits [1, n, q] of the last n. The state carries on, so the
        next call takes codes that overlap these by the lookback. features: float [1, n, F]; None means zeros."""
        precision, self.network.precision = self.network.precision, torch.float32
        try:
            given = None if features is None else torch.as_tensor(features, dtype=torch.float32, device=self.device)
            logits, self.state = self.network(
                torch.as_tensor(codes.astype(np.int64)).to(self.device), self.state, given
            )
            return logits.cpu().numpy()
        finally:
            self.network.precision = precision


def validate(network: SampleRNN, dataset: Dataset) -> Likelihood | None:
    """Scores the network on the validation part, each segment from the initial state; at most `SCORED` seconds in all.
    None if no segment is as long as the lookback."""
    c = network.config
    segments = [s for s in dataset.segments["validation"] if s[1] >= c.lookback]
    whole = sum(n for _, n in segments)
    share = min(1.0, SCORED * c.sample_rate / max(1, whole))
    out: Likelihood | None = None
    predictor = TeacherForced(network)
    for start, length in segments:
        n = max(c.lookback, round(share * length))
        features = dataset.features_at(start, n) if c.features else None
        scored = likelihood(predictor, coding.codes(dataset, c, start, n), features)
        out = scored if out is None else out + scored
    return out


def recorded(dataset: Dataset, seconds: float) -> np.ndarray:
    """So many seconds of real sound, float32 [n], or less if there is less, to compare previews with: what is held out,
    its pieces joined from the longest on, or else what is trained on."""
    pieces = _longest(dataset.segments["validation"] or dataset.segments["train"], seconds * dataset.sample_rate)
    return np.concatenate([dataset.audio[start : start + n] for start, n in pieces])


def coded(dataset: Dataset, model: Model, seconds: float) -> np.ndarray:
    """So many seconds of what is trained on, float32 [n], or less if there is less, as the model hears it: resampled,
    at the data set's gain, coded as this model codes, and decoded again."""
    pieces = _longest(dataset.segments["train"], seconds * dataset.sample_rate)
    return np.concatenate([model.decode(coding.codes(dataset, model.config, *p)[None])[0] for p in pieces])


def _longest(stretches: Sequence[Stretch], samples: float) -> list[Stretch]:
    """The longest of the stretches, so many samples of them."""
    left, out = round(samples), []
    for start, length in sorted(stretches, key=lambda s: -s[1]):
        if left > 0:
            out.append((start, min(length, left)))
            left -= length
    return out


@dataclass
class Best:
    """The best score of a run so far."""

    monitor: str
    """Which score counts: "held_out_bits" or "train_bits", of which less is better, or an accuracy."""
    value: float = math.inf
    """The best score: less is better, so an accuracy has a minus sign here. Infinite before the first one."""
    step: int = 0
    """The step that had it."""
    stale: int = 0
    """How many checkpoints have not been better since."""

    def score(self, scores: Mapping[str, float]) -> float:
        """What counts of the scores of a checkpoint; less is better."""
        return -scores[self.monitor] if self.monitor.endswith("accuracy") else scores[self.monitor]

    def update(self, scores: Mapping[str, float], step: int) -> bool:
        """Takes the scores of a checkpoint and returns True if it is the best so far."""
        value = self.score(scores)
        better = value < self.value
        self.stale += 1
        if better:
            self.value, self.step, self.stale = value, step, 0
        return better
