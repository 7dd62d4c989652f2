"""What a sound is like and what is wrong with it, and how close one is to another: levels, silence, tones, spectrum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sopilib.errors import SopiError
from sopilib.model import Stillness
from sopilib.score.stillness import is_drone

SILENCE_DB = -60.0


@dataclass(frozen=True)
class Description:
    """What a sound is like. Levels are in dB below full scale."""

    rms_db: float
    peak_db: float
    dc: float
    longest_silence: float
    """Seconds; silence is 20 ms windows below -60 dB."""


def _db(x: float) -> float:
    return 20 * float(np.log10(max(x, 1e-9)))


def describe(audio: np.ndarray, sample_rate: int) -> Description:
    """Describes a sound, float [n] in [-1, 1], of at least one sample."""
    window = max(1, round(0.02 * sample_rate))
    quiet = _levels(audio, sample_rate, 0.02) < SILENCE_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return Description(
        rms_db=_db(float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))),
        peak_db=_db(float(np.abs(audio).max())),
        dc=float(np.mean(audio, dtype=np.float64)),
        longest_silence=float(runs.max() * window / sample_rate) if runs.size else 0.0,
    )


def windows_of(audio: np.ndarray, size: int, step: int) -> np.ndarray:
    """A view of the windows of a sound, [frames, size], `step` samples apart."""
    return np.lib.stride_tricks.sliding_window_view(audio, size)[:: max(1, step)]


def power_of(windows: np.ndarray) -> Iterator[np.ndarray]:
    """Gives the power spectra of windows [frames, size], with Hann's shape: arrays [some frames, size // 2 + 1], not
    all at once, for the recordings of a model are long."""
    shape = np.hanning(windows.shape[1])
    for at in range(0, len(windows), 1024):
        yield np.abs(np.fft.rfft(windows[at : at + 1024] * shape)) ** 2


def log_mel(audio: np.ndarray, sample_rate: int, bands: int = 40) -> np.ndarray:
    """The long-term mel spectrum of a sound, float [n], in dB: [bands], of triangular bands from 40 Hz to Nyquist.
    Raises SopiError if it has less than 1024 samples."""
    return 10 * np.log10(mel_power(audio, sample_rate, bands).mean(axis=0) + 1e-12)


def mel_power(audio: np.ndarray, sample_rate: int, bands: int) -> np.ndarray:
    """The power of a sound, float [n], in triangular mel bands from 40 Hz to Nyquist: [frames, bands], of 1024-point
    Hann windows, every 512 samples. Raises SopiError if it has less than 1024 samples."""
    size = 1024
    if len(audio) < size:
        raise SopiError(f"a sound of {len(audio)} samples, expected at least {size} to compare spectra")

    weights = mel_bands(size, sample_rate, bands)
    return np.concatenate([power @ weights.T for power in power_of(windows_of(audio, size, size // 2))])


def mel_bands(size: int, sample_rate: int, bands: int) -> np.ndarray:
    """How much each bin of a spectrum of `size` samples counts in each triangular mel band from 40 Hz to Nyquist:
    [bands, size // 2 + 1], 1 in all for a band."""

    def mel(hz: float) -> float:
        return 2595 * float(np.log10(1 + hz / 700))

    points = 700 * (10 ** (np.linspace(mel(40), mel(sample_rate / 2), bands + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(size, 1 / sample_rate)
    up = (hz - points[:-2, None]) / (points[1:-1] - points[:-2])[:, None]
    down = (points[2:, None] - hz) / (points[2:] - points[1:-1])[:, None]
    weights = np.clip(np.minimum(up, down), 0, None)
    # a band narrower than a bin takes the nearest one
    weights[np.arange(bands), np.abs(hz - points[1:-1, None]).argmin(axis=1)] += 1e-3
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def log_mel_distance(a: np.ndarray, b: np.ndarray, sample_rate: int) -> float:
    """How far the long-term spectra of two sounds, float [n], are apart, in dB: the root mean square of the difference
    of their `log_mel`. Raises SopiError if one has less than 1024 samples."""
    return float(np.sqrt(np.mean((log_mel(a, sample_rate) - log_mel(b, sample_rate)) ** 2)))


def tones(audio: np.ndarray, sample_rate: int) -> float:
    """How far partials stand out of what lies between them, in dB: noise has 0, drums 3, tabla 12, a piano 13.

    It looks at windows of about 1/8 s and bands of 200 Hz from 100 to 2100 Hz. In each, the mean of the power's
    decibels is taken from the decibels of its mean, which gives 2.5 dB for noise. Louder bands count more, by
    amplitude, and silence is left out.

    The sound is float [n]. Raises SopiError if it is shorter than a window.
    """
    size = 1 << round(np.log2(sample_rate / 8))
    if len(audio) < size:
        raise SopiError(f"a sound of {len(audio)} samples, expected at least {size} to tell tones from noise")
    hz = np.fft.rfftfreq(size, 1 / sample_rate)
    bands = [(hz >= low) & (hz < low + 200) for low in range(100, max(101, min(2100, sample_rate // 2 - 199)), 200)]
    windows = windows_of(audio, size, size // 2)
    windows = windows[windows.std(axis=1) > 10 ** (SILENCE_DB / 20)]
    if not len(windows):
        return 0.0
    total = 0.0
    for power in power_of(windows):
        of_bands = [power[:, b] + 1e-9 for b in bands]
        mean = np.stack([p.mean(axis=1) for p in of_bands])
        apart = 10 * np.log10(mean) - np.stack([10 * np.log10(p).mean(axis=1) for p in of_bands])
        total += float((apart * np.sqrt(mean)).sum(axis=0) @ (1 / np.sqrt(mean).sum(axis=0)))
    return total / len(windows) - 2.5


@dataclass(frozen=True)
class Comparison:
    """How far a generated sound is from recordings. Zero everywhere means the same; differences are sound minus
    recordings."""

    spectrum_db: float
    """Distance of the long-term log-mel spectra."""
    movement_db: float
    """Distance of the standard deviations over time of the log-mel spectra, band by band: how much moves in each."""
    tones_db: float
    """Difference of `tones`: below 0, it holds its pitches less."""
    level_db: float
    silence: float
    """Share of 20 ms windows that are silent."""
    loudness_db: float
    """Mean difference of the quantiles, 5 to 95 %, of the level of 50 ms windows: the same louds and softs."""
    change_db: float
    """The same of the steps from one such level to the next: the same attacks and decays."""


@dataclass(frozen=True)
class Profile:
    """What of a sound is compared with another one."""

    spectrum: np.ndarray
    """The long-term log-mel spectrum, dB [40]."""
    movement: np.ndarray
    """The standard deviations over time of the log-mel spectra, dB [40]."""
    tones: float
    level: float
    silent: float
    """Share of 20 ms windows."""
    loudness: np.ndarray
    """The quantiles, 5 to 95 %, of the level of 50 ms windows, dB [19]."""
    change: np.ndarray
    """The same of the steps from one such level to the next."""


def profile(audio: np.ndarray, sample_rate: int) -> Profile:
    """What of a sound, float [n], is compared. Raises SopiError if it is shorter than about 1/8 s."""
    power, levels, places = (
        mel_power(audio, sample_rate, 40),
        _levels(audio, sample_rate, 0.05),
        np.linspace(0.05, 0.95, 19),
    )
    return Profile(
        spectrum=10 * np.log10(power.mean(axis=0) + 1e-12),
        movement=10 * np.log10(power + 1e-8).std(axis=0),
        tones=tones(audio, sample_rate),
        level=describe(audio, sample_rate).rms_db,
        silent=float((_levels(audio, sample_rate, 0.02) < SILENCE_DB).mean()),
        loudness=np.quantile(levels, places),
        change=np.quantile(np.diff(levels), places),
    )


def difference(mine: Profile, real: Profile) -> Comparison:
    """How far a sound is from recordings, by what is compared of both."""

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(np.mean((a - b) ** 2)))

    return Comparison(
        spectrum_db=distance(mine.spectrum, real.spectrum),
        movement_db=distance(mine.movement, real.movement),
        tones_db=mine.tones - real.tones,
        level_db=mine.level - real.level,
        silence=mine.silent - real.silent,
        loudness_db=float(np.abs(mine.loudness - real.loudness).mean()),
        change_db=float(np.abs(mine.change - real.change).mean()),
    )


def compare(audio: np.ndarray, real: np.ndarray, sample_rate: int) -> Comparison:
    """Compares a generated sound with recordings, `real`, both float [n]. Raises SopiError if one is shorter than about
    1/8 s."""
    return difference(profile(audio, sample_rate), profile(real, sample_rate))


def _levels(audio: np.ndarray, sample_rate: int, seconds: float) -> np.ndarray:
    """The levels of whole windows in dB, at least -80, each around the window's own mean: an offset is not a sound."""
    window = max(1, round(seconds * sample_rate))
    frames = audio[: len(audio) // window * window].reshape(-1, window)
    return 20 * np.log10(np.maximum(frames.std(axis=1), 1e-4))


def failures(
    audio: np.ndarray, sample_rate: int, real: np.ndarray | None = None, still: Stillness | None = None
) -> list[str]:
    """Names how a sound fails as models are known to: "silence", "a tone", "noise", "a DC offset", "a drone", or mostly
    not at all, which is an empty list.

    audio  float [n]
    still  how still the model's file says that its recordings ever are: without it, no sound is a drone
    real   recordings, float [n]: what they do as well is no failure; and with them, "no pitch" can be one
    """
    found = _failures(audio, sample_rate)
    if still and not found and is_drone(audio, sample_rate, still):
        return ["a drone"]
    if real is None:
        return found
    theirs = _failures(real, sample_rate)
    found = [f for f in found if f not in theirs]
    if found or min(len(audio), len(real)) <= sample_rate / 4:
        return found
    wanted = tones(real, sample_rate)
    return ["no pitch"] if wanted > 3 and tones(audio, sample_rate) < wanted / 4 else []


def _failures(audio: np.ndarray, sample_rate: int) -> list[str]:
    d, out = describe(audio, sample_rate), []
    if abs(d.dc) > 0.02:
        out.append("a DC offset")
    centred = audio.astype(np.float64) - d.dc
    if _db(float(centred.std())) < -55 or d.longest_silence > 0.8 * len(audio) / sample_rate:
        return [*out, "silence"]
    size = min(1024, len(audio))
    power = np.concatenate(list(power_of(windows_of(centred, size, size // 2)))) + 1e-12
    whole = power.mean(axis=0)
    loudest = int(whole.argmax())
    # one line of the spectrum, and always the same one
    if (
        whole[max(0, loudest - 2) : loudest + 3].sum() > 0.95 * whole.sum()
        and (power.argmax(1) == loudest).mean() > 0.9
    ):
        out.append("a tone")
    # as flat as white noise, at every moment: a frame of it has a flatness of 0.56
    flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
    if np.quantile(flatness, 0.1) > 0.3:
        out.append("noise")
    return out
