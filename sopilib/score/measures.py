"""What a model makes, in figures, beside those of its recordings: one number for each quality of a sound.

What a figure means, and which value is good, stands in `FIGURES`; docs/model.md has the same words. Each of them is
taken of pieces of one length, so that a minute of a model and an hour of recordings compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sopilib.score.patches import repetition
from sopilib.score.rhythm import groove, onsets
from sopilib.score.sound import Profile, describe, difference, power_of, profile, windows_of
from sopilib.score.stillness import longest_still

WINDOW = 0.064
"""Seconds that the spectra of the noise floor look at, at any rate."""
TEN = 10
"""Seconds of the windows whose levels wander."""
_PERCENT = (5, 50, 95)


class Figure(NamedTuple):
    """One quality of a sound."""

    key: str
    """By which it is found in JSON."""
    title: str
    """What it is called, everywhere."""
    unit: str
    good: str
    """What is good, in a few words."""
    digits: int = 1
    most: bool = False
    """Of several takes the largest counts, not their mean."""

    @property
    def heading(self) -> str:
        """Its title and its unit."""
        return self.title + (f", {self.unit}" if self.unit else "")

    def shown(self, mean: Mapping[str, float], spread: Mapping[str, float]) -> str:
        """Its value among those of takes, and its spread, if they have one; else nothing."""
        if self.key not in mean:
            return ""
        around = f" +-{spread[self.key]:.{self.digits}f}" if self.key in spread and not self.most else ""
        return f"{mean[self.key]:.{self.digits}f}{around}"


FIGURES = (
    Figure("rms_db", "level", "dB", "within 1.5 dB"),
    Figure("peak_db", "peak", "dB", "", most=True),
    Figure("dc", "DC offset", "", "below 1e-3", digits=5),
    *(Figure(f"level_{p}", f"level of ten seconds, {p} %", "dB", "within 2 dB") for p in _PERCENT),
    Figure("spectrum_db", "spectrum, distance", "dB", "below 4 dB"),
    Figure("movement_db", "movement, distance", "dB", "as held out"),
    Figure("loudness_db", "louds and softs, distance", "dB", "as held out"),
    Figure("change_db", "attacks and decays, distance", "dB", "as held out"),
    Figure("tones", "tones", "dB", "as the recordings"),
    Figure("onsets", "onsets a second", "", "within a third"),
    Figure("groove", "groove", "", "as the recordings", digits=2),
    Figure("longest_silence", "longest silence", "s", "up to 1.5 times", most=True),
    Figure("longest_still", "longest stillness", "s", "up to 1.5 times", most=True),
    Figure("repetition_db", "repetition, distance", "dB", "as the recordings"),
    Figure("full_scale", "at full scale, of a million", "", "below 10"),
    Figure("impulses", "impulses a minute", "", "as the recordings"),
    Figure("told_apart", "told from recordings", "", "as held out", digits=2),
)
"""All but those of octave bands, in the order in which they are shown."""


def octaves(sample_rate: int) -> list[tuple[float, float]]:
    """The octave bands from 62.5 Hz to Nyquist, each from where to where, in Hz."""
    bands = [(62.5 * 2**k, 125.0 * 2**k) for k in range(12)]
    return [(low, high) for low, high in bands if high <= sample_rate / 2]


def all_figures(sample_rate: int) -> list[Figure]:
    """Every figure of a sound of this rate: `FIGURES`, and level and noise floor of each octave band."""
    out = list(FIGURES)
    for key, title in (("band", "level"), ("floor", "noise floor")):
        for low, high in octaves(sample_rate):
            out.append(Figure(f"{key}_{low:.0f}", f"{title}, {low:.0f}-{high:.0f} Hz", "dB", "within 3 dB of coded"))
    return out


def floors_and_levels(audio: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Of each octave band of a sound, float [n], in dB below full scale: its level, `band_LOW`, and its noise floor,
    `floor_LOW`. The floor is that of a bin: the 20th percentile of the bins of a window in the band, the median over
    windows; 64 ms with Hann's shape, power divided by the shape's energy. White noise of level L has L - 6.5 dB."""
    size = round(WINDOW * sample_rate)
    if len(audio) < size:
        return {}
    hz, energy = np.fft.rfftfreq(size, 1 / sample_rate), np.sum(np.hanning(size) ** 2)
    bands = [(low, (hz >= low) & (hz < high)) for low, high in octaves(sample_rate)]
    floors: list[list[np.ndarray]] = [[] for _ in bands]
    powers: list[list[np.ndarray]] = [[] for _ in bands]
    for power in power_of(windows_of(audio, size, size // 2)):
        for k, (_, inside) in enumerate(bands):
            bins = power[:, inside] / energy
            floors[k].append(np.quantile(bins, 0.2, axis=1))
            powers[k].append(bins.sum(axis=1) * 2 / size)
    out = {}
    for (low, _), floor, level in zip(bands, floors, powers):
        out[f"band_{low:.0f}"] = 10 * float(np.log10(np.concatenate(level).mean() + 1e-12))
        out[f"floor_{low:.0f}"] = 10 * float(np.log10(np.median(np.concatenate(floor)) + 1e-12))
    return out


def wandering(audio: np.ndarray, sample_rate: int) -> dict[str, float]:
    """The quantiles of the levels of ten seconds of a sound, float [n], in dB, a second apart: `level_5`, `level_50`
    and `level_95`. Of a shorter sound all are its level."""
    size = min(len(audio), TEN * sample_rate)
    sums = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    starts = np.arange(0, len(audio) - size + 1, sample_rate)
    levels = 10 * np.log10(np.maximum((sums[starts + size] - sums[starts]) / size, 1e-12))
    return {f"level_{p}": float(np.quantile(levels, p / 100)) for p in _PERCENT}


def impulses(audio: np.ndarray, sample_rate: int) -> float:
    """How many impulses a minute of sound, float [n], has: places where it bends by 0.02 at least and ten times as
    sharply as anywhere in the milliseconds before and after, as a code does that comes from nowhere."""
    bend = np.abs(np.diff(audio.astype(np.float64), 2))
    near, far = 3, 18
    if len(bend) < 2 * far + 1:
        return 0.0
    beside = np.lib.stride_tricks.sliding_window_view(bend, far - near)
    places = np.flatnonzero(bend[far : len(bend) - far] > 0.02) + far  # most bends are small
    around = np.maximum(beside[places - far].max(axis=1), beside[places + near + 1].max(axis=1))
    found = places[bend[places] > 10 * around]
    apart = np.concatenate([[True], np.diff(found) > near]) if len(found) else found
    return float(np.sum(apart)) / (len(audio) / sample_rate / 60)


def measure(
    audio: np.ndarray, sample_rate: int, real: Profile, below: float = 0.0, beats: Iterable[float] = ()
) -> dict[str, float]:
    """The figures of a sound, float [n] of an eighth of a second at least, by their keys; what it is too short for is
    missing.

    real   the recordings that it is compared with
    below  the movement, in dB, below which it is still: what a model's file says; 0: none
    beats  how long a beat may be, in seconds: that which gives the most groove counts

    Raises SopiError if the sound is too short.
    """
    mine, described = profile(audio, sample_rate), describe(audio, sample_rate)
    apart = difference(mine, real)
    out = {
        "rms_db": described.rms_db,
        "peak_db": described.peak_db,
        "dc": abs(described.dc),
        "level_db": apart.level_db,
        "tones_db": apart.tones_db,
        "silence": apart.silence,
        "longest_silence": described.longest_silence,
        "spectrum_db": apart.spectrum_db,
        "movement_db": apart.movement_db,
        "loudness_db": apart.loudness_db,
        "change_db": apart.change_db,
        "tones": mine.tones,
        "onsets": onsets(audio, sample_rate),
        "full_scale": 1e6 * float(np.mean(np.abs(audio) >= 1 - 1e-6)),
        "impulses": impulses(audio, sample_rate),
        **wandering(audio, sample_rate),
        **floors_and_levels(audio, sample_rate),
    }
    grooves = [g for beat in beats if (g := groove(audio, sample_rate, beat)) is not None]
    again = repetition(audio, sample_rate)
    maybe = {"groove": max(grooves, default=None), "repetition_db": again}
    if below:
        out["longest_still"] = longest_still(audio, sample_rate, below)
    return out | {key: value for key, value in maybe.items() if value is not None}


@dataclass(frozen=True)
class Measured:
    """The figures of several takes, or of the pieces of recordings."""

    mean: dict[str, float] = field(default_factory=dict)
    """By key: their mean, or the largest of those of which that counts."""
    spread: dict[str, float] = field(default_factory=dict)
    """By key: their standard deviation. Empty for a single one."""
    count: int = 0


def together(each: Sequence[dict[str, float]]) -> Measured:
    """The figures of several sounds in one."""
    largest = {figure.key for figure in FIGURES if figure.most}
    mean, spread = {}, {}
    for key in each[0] if each else ():
        values = [one[key] for one in each if key in one]
        mean[key] = max(values) if key in largest else float(np.mean(values))
        if len(values) > 1:
            spread[key] = float(np.std(values, ddof=1))
    return Measured(mean, spread, len(each))


def pieces(recordings: Sequence[np.ndarray], samples: int) -> list[np.ndarray]:
    """Recordings, each float [n], as pieces of so many samples; what is left over at an end is a piece of its own if it
    is at least half as long. At least one piece, for any sound."""
    cut = [audio[s : s + samples] for audio in recordings for s in range(0, len(audio), samples)]
    found = [piece for piece in cut if 2 * len(piece) >= samples]
    return found or [max(recordings, key=len)]
