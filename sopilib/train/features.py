"""Feature curves of a recording, such as its loudness, for models that are played by them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sopilib.errors import SopiError


@dataclass(frozen=True)
class Curves:
    """Feature curves, all of the same length."""

    names: list[str]
    """What each of the F features is called."""
    rows: np.ndarray
    """Their values, float64 [frames, F], one row for each frame."""


def measure(kinds: Sequence[str], sound: np.ndarray, rate: int, hop: int, path: Path | None) -> Curves:
    """Measures the curves `kinds` of a sound, one row for every `hop` samples; a last hop that is cut short has a row
    too.

    kinds  "loudness"  the level in dB of a window of 1024 samples around the frame
           "onset"     how much begins in the frame: by how many dB the spectrum's magnitudes rise on average over the
                       frame before; what falls counts as 0
           "csv"       the columns of the file beside `path` that has .csv for its suffix: seconds, then one for each
                       feature, with names in the first line; between its rows a curve is a straight line
    sound  float [n] at `rate` Hz
    path   the recording's file; None: it is an altered copy, which has none

    Raises SopiError if a CSV file is missing or holds anything else.
    """
    frames = -(-len(sound) // hop)
    columns: dict[str, np.ndarray] = {}
    for kind in kinds:
        if kind == "csv":
            if path is None:
                raise SopiError("altered copies have no csv file: use augment or features csv, not both")
            columns |= _from_csv(path.with_suffix(".csv"), np.arange(frames) * hop / rate)
        elif kind == "loudness":
            columns[kind] = _loudness(sound, frames, hop)
        else:
            columns[kind] = _onset(sound, frames, hop)
    return Curves(list(columns), np.stack(list(columns.values()), 1))


def _windows(sound: np.ndarray, frames: int, hop: int, size: int) -> np.ndarray:
    """Windows of a sound, [frames, size], each centred on the middle of its frame."""
    before = (size - hop) // 2
    padded = np.pad(sound, (before, frames * hop + size - before - len(sound)))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[: frames * hop : hop]


def _loudness(sound: np.ndarray, frames: int, hop: int) -> np.ndarray:
    power = np.concatenate([[0.0], np.cumsum(np.square(np.pad(sound, (480, frames * hop + 544)), dtype=np.float64))])
    at = np.arange(frames) * hop
    return 10 * np.log10(np.maximum(power[at + 1024] - power[at], 0) / 1024 + 1e-8)


def _onset(sound: np.ndarray, frames: int, hop: int) -> np.ndarray:
    out, before = np.empty(frames), None
    windows, shape = _windows(sound, frames, hop, 512), np.hanning(512)
    for at in range(0, frames, 4096):
        spectrum = 20 * np.log10(np.abs(np.fft.rfft(windows[at : at + 4096] * shape)) + 1e-2)
        previous = spectrum[:1] if before is None else before
        rises = np.diff(np.concatenate([previous, spectrum]), axis=0)
        out[at : at + 4096] = np.maximum(rises, 0).mean(1)
        before = spectrum[-1:]
    return out


def _from_csv(path: Path, seconds: np.ndarray) -> dict[str, np.ndarray]:
    try:
        with path.open(newline="") as file:
            names, *rows = list(csv.reader(file))
        table = np.array(rows, np.float64)
        if len(names) < 2 or table.ndim != 2 or table.shape[1] != len(names) or not np.isfinite(table).all():
            raise ValueError("expected a line of names, then numbers")
        if (np.diff(table[:, 0]) < 0).any():
            raise ValueError("expected rising seconds in the first column")
    except (OSError, ValueError) as e:
        raise SopiError(
            f"{path}: no feature curves ({e}), expected columns: seconds, then one for each feature"
        ) from None
    return {name: np.interp(seconds, table[:, 0], table[:, k + 1]) for k, name in enumerate(names[1:])}
