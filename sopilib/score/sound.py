from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Description:
    """What a sound is like. Levels in dB re full scale."""

    rms_db: float
    peak_db: float
    dc: float
    longest_silence: float
    """Seconds; silence is 20 ms windows below -60 dB."""


def _db(x: float) -> float:
    return 20 * float(np.log10(max(x, 1e-9)))


def describe(audio: np.ndarray, sample_rate: int) -> Description:
    """audio float [n] in [-1, 1]."""
    window = max(1, round(0.02 * sample_rate))
    frames = audio[: len(audio) // window * window].reshape(-1, window)
    # of each window around its own mean: an offset is not a sound
    quiet = frames.std(axis=1) < 1e-3
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return Description(
        rms_db=_db(float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))),
        peak_db=_db(float(np.abs(audio).max())),
        dc=float(np.mean(audio, dtype=np.float64)),
        longest_silence=float(runs.max() * window / sample_rate) if runs.size else 0.0,
    )


def log_mel(audio: np.ndarray, sample_rate: int, bands: int = 40) -> np.ndarray:
    """[bands]: long-term mel spectrum in dB, 1024-point Hann windows, triangular bands from 40 Hz to Nyquist."""
    size, hop = 1024, 512
    frames = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), size)[::hop] * np.hanning(size)
    power = (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0)

    def mel(hz: float) -> float:
        return 2595 * float(np.log10(1 + hz / 700))

    points = 700 * (10 ** (np.linspace(mel(40), mel(sample_rate / 2), bands + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(size, 1 / sample_rate)
    up = (hz - points[:-2, None]) / (points[1:-1] - points[:-2])[:, None]
    down = (points[2:, None] - hz) / (points[2:] - points[1:-1])[:, None]
    weights = np.clip(np.minimum(up, down), 0, None)
    # a band narrower than a bin takes the nearest one
    weights[np.arange(bands), np.abs(hz - points[1:-1, None]).argmin(axis=1)] += 1e-3
    return 10 * np.log10(weights @ power / weights.sum(axis=1) + 1e-12)


def log_mel_distance(a: np.ndarray, b: np.ndarray, sample_rate: int) -> float:
    """Root mean square difference of the long-term log-mel spectra of two sounds, in dB."""
    return float(np.sqrt(np.mean((log_mel(a, sample_rate) - log_mel(b, sample_rate)) ** 2)))


def failures(audio: np.ndarray, sample_rate: int, real: np.ndarray | None = None) -> list[str]:
    """How a sound, float [n], fails as models are known to: "silence", "a tone", "noise", "a DC offset"; mostly not at
    all. What the recordings `real` do as well is no failure."""
    found = _failures(audio, sample_rate)
    return [f for f in found if real is None or f not in _failures(real, sample_rate)]


def _failures(audio: np.ndarray, sample_rate: int) -> list[str]:
    d, out = describe(audio, sample_rate), []
    if abs(d.dc) > 0.02:
        out.append("a DC offset")
    centred = audio.astype(np.float64) - d.dc
    if _db(float(centred.std())) < -55 or d.longest_silence > 0.8 * len(audio) / sample_rate:
        return [*out, "silence"]
    size = min(1024, len(audio))
    frames = np.lib.stride_tricks.sliding_window_view(centred, size)[:: max(1, size // 2)] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames)) ** 2 + 1e-12
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
