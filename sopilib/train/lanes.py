"""The lanes of training. Each lane plays long excerpts chunk by chunk, so that the RNN's memory carries over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sopilib.model import Config
from sopilib.train import coding
from sopilib.train.prepare import Dataset


@dataclass(frozen=True)
class Chunk:
    """What one step of training hears in each lane."""

    codes: np.ndarray
    """int64 [lanes, lookback + seq_len]: the samples to predict, after those that come before them."""
    counted: np.ndarray
    """bool [lanes, seq_len]: False where a short sound has ended and only padding is left."""
    jumped: np.ndarray
    """bool [lanes]: True where another excerpt begins, for which the RNN starts anew."""
    features: np.ndarray | None
    """float32 [lanes, seq_len, F] of the samples to predict; None for a model without features."""


class Lanes:
    """Readers of a data set's training part, `batch` of them, which don't know each other. Each plays about `excerpt`
    samples, then jumps elsewhere; where to is drawn uniformly over all samples.

    A lane's way depends on `seed` and its number alone, so that a batch may be divided over processes: each process
    follows all lanes and reads its own, which the slice `mine` says.
    """

    def __init__(
        self, dataset: Dataset, config: Config, batch: int, excerpt: int, seed: int, mine: slice | None = None
    ) -> None:
        self.dataset, self.config, self.excerpt, self.seed = dataset, config, max(1, excerpt), seed
        self.mine = mine or slice(0, batch)
        self.segments = np.array(dataset.segments["train"], np.int64)
        self.starts = np.maximum(self.segments[:, 1] - config.seq_len + 1, 1)
        """In each segment, at how many places a chunk may begin. One shorter than a chunk is played from its start."""
        short = self.segments[:, 1] < config.seq_len
        self.ends = np.where(short, self.segments[:, 1], self.starts).cumsum()
        self.attempt = 0
        """Counts up when training steps back and must meet other data."""
        self.segment, self.at, self.left, self.jumps = (np.zeros(batch, np.int64) for _ in range(4))

    def next(self) -> Chunk:
        """Reads the next `config.seq_len` samples of each lane of this process. A lane whose excerpt has ended jumps
        first."""
        c = self.config
        jumped = self.left <= 0
        for empty in np.flatnonzero(jumped):
            self._jump(int(empty))
        lanes = range(len(self.at))[self.mine]
        audio = np.zeros((len(lanes), c.lookback + c.seq_len), np.float32)
        counted = np.ones((len(lanes), c.seq_len), bool)
        features = np.empty((len(lanes), c.seq_len, c.features), np.float32) if c.features else None
        for row, lane in enumerate(lanes):
            start, length = self.segments[self.segment[lane]]
            at = int(self.at[lane])
            first, last = max(0, at - c.lookback), min(length, at + c.seq_len)
            begin = first - (at - c.lookback)
            audio[row, begin : begin + last - first] = coding.part(self.dataset, c, start + first, last - first)
            counted[row, last - at :] = False
            if features is not None:
                features[row] = self.dataset.features_at(start + at, c.seq_len)
        codes = c.quantiser.encode(audio).astype(np.int64)
        self.at += c.seq_len
        self.left -= c.seq_len
        self.left[self.at >= self.starts[self.segment]] = 0
        return Chunk(codes, counted, jumped[self.mine], features)

    def _jump(self, lane: int) -> None:
        rng = np.random.default_rng([self.seed, self.attempt, lane, int(self.jumps[lane])])
        place = int(rng.integers(self.ends[-1]))
        segment = int(np.searchsorted(self.ends, place, side="right"))
        self.segment[lane] = segment
        self.at[lane] = rng.integers(self.starts[segment])
        # lanes jump at different times from the first excerpt on
        self.left[lane] = rng.integers(self.excerpt // 2, self.excerpt + 1)
        self.jumps[lane] += 1

    def state_dict(self) -> dict[str, Any]:
        """Says where every lane is, not only those of this process, in plain numbers."""
        whole = {name: getattr(self, name).tolist() for name in ("segment", "at", "left", "jumps")}
        return {**whole, "attempt": self.attempt}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from where `state_dict` was asked, with as many lanes."""
        for name in ("segment", "at", "left", "jumps"):
            getattr(self, name)[:] = state[name]
        self.attempt = state["attempt"]
