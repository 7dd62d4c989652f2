"""A data set as training reads it."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sopilib.errors import SopiError
from sopilib.model import Stillness
from sopilib.score import stillness

PARTS = ("train", "validation", "test")
HOP = 64
"""Samples between two rows of features."""
FORMAT, VERSION = "sopilib-dataset", 1
Stretch = tuple[int, int]
"""Start and length of a piece of the data set's audio, in samples."""


class Dataset:
    """A prepared folder, memory-mapped.

    audio          float32 [n] at `sample_rate` Hz
    segments       part -> [(start, length), ...] in samples; train, validation and test never share a sample
    feature_names  what each of the F features is called
    features       float32 [n / HOP, F], with mean 0 and deviation 1 in the training part; None without features
    about          what dataset.json says

    Raises SopiError if the folder is no data set, of another version, or cut short.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            about = json.loads((self.folder / "dataset.json").read_text())
            if about["format"] != FORMAT or about["version"] != VERSION:
                raise SopiError(f"{folder}: a data set of another sopilib, prepare it again")
            self.audio = np.memmap(self.folder / "audio.f32", "<f4", "r")
            self.about: dict[str, Any] = about
            self.sample_rate: int = about["preparation"]["sample_rate"]
            self.segments: dict[str, list[Stretch]] = {p: [(a, n) for a, n in about["segments"][p]] for p in PARTS}
            self.feature_names: list[str] = [f["name"] for f in about["features"]]
            self.features: np.ndarray | None = None
            if self.feature_names:
                rows = np.memmap(self.folder / "features.f32", "<f4", "r")
                self.features = rows.reshape(-1, len(self.feature_names))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise SopiError(f"{folder}: not a data set that `sopi prepare` made ({e})") from None
        last = max((a + n for p in PARTS for a, n in self.segments[p]), default=0)
        if last > len(self.audio):
            raise SopiError(f"{folder}: audio.f32 is cut short, prepare it again")

    @cached_property
    def stillness(self) -> Stillness | None:
        """How still the part that is trained on ever is, for the model's file. None if it is short or silent."""
        return stillness([self.audio[a : a + n] for a, n in self.segments["train"]], self.sample_rate)

    def seconds(self, part: str) -> float:
        """How many seconds a part has: "train", "validation" or "test"."""
        return sum(n for _, n in self.segments[part]) / self.sample_rate

    def features_at(self, start: int, n: int) -> np.ndarray:
        """The features of n samples from `start` on, float32 [n, F]."""
        assert self.features is not None
        rows = np.minimum(np.arange(start, start + n) // HOP, len(self.features) - 1)
        return self.features[rows]


def is_dataset(folder: str | Path) -> bool:
    """True if this is a folder that `sopi prepare` made, by the file that it must hold."""
    return (Path(folder) / "dataset.json").is_file()
