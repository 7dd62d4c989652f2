"""What became of the recordings, for people: DATASET/summary.txt and summary.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sopilib.files import write_whole
from sopilib.names import shown, unescaped
from sopilib.train.preparation.dataset import PARTS
from sopilib.train.preparation.recordings import Recordings
from sopilib.train.preparation.silence import levels

SHOWN = 60
"""Seconds of the spectrogram."""


def write_summary(folder: Path, read: Recordings, samples: dict[str, int], silent: int, gain: float, rate: int) -> None:
    """Writes how much is kept and for what, what was dropped and why, a table of levels, and a spectrogram.

    samples  how many each part has, without altered copies
    silent   how many were dropped as silence
    gain     by which all was multiplied
    rate     of the data set, in Hz

    Raises SopiError without matplotlib, and OSError if something can't be written.
    """
    from sopilib.train import pictures

    audio = np.memmap(folder / "audio.f32", "<f4", "r")
    minutes = {p: samples[p] / rate / 60 for p in PARTS}
    lines = [
        f"{len(read.used)} recording(s) at {rate} Hz, gain {20 * np.log10(max(gain, 1e-9)):+.1f} dB: "
        + ", ".join(f"{minutes[p]:.2f} minutes for {p}" for p in PARTS if samples[p] or p == "train"),
        f"dropped: {silent / rate / 60:.2f} minutes of silence, {len(read.left_out)} file(s) that could not be read",
        *(f"  left out: {shown(unescaped(s['file']))}: {s['left_out']}" for s in read.left_out),
        *(
            f"  had a DC offset of {s['dc']:+.3f}: {shown(unescaped(s['file']))}"
            for s in read.sources
            if abs(s.get("dc", 0)) > 0.01
        ),
        *_histogram(20 * np.log10(np.maximum(levels(audio, (0, len(audio)), rate), 1e-6))),
    ]
    write_whole(folder / "summary.txt", "\n".join(lines) + "\n")
    pictures.spectrograms({"the recordings": np.array(audio[: SHOWN * rate])}, rate, folder / "summary.png")


ENOUGH = 300.0
"""Seconds below which a model can do little more than know its recordings by heart."""
SCORABLE = 2.0
"""Seconds held out below which a score says little."""


def too_little(trained: float, held_out: float) -> list[str]:
    """Lines that say what will come of it if so many seconds are few to train on, or to measure with."""
    lines = []
    if trained < ENOUGH:
        lines.append(
            f"{trained:.1f} s are little to train on: it will learn these by heart rather than play something new, "
            "and what is held out will soon get worse; ten minutes of one kind are enough to begin with, half an hour "
            "is good"
        )
    if held_out < SCORABLE:
        lines.append(
            f"{held_out:.1f} s are held out, too little to tell how good it is, so listen to the previews: more "
            "recordings, or a larger --validation (10 s or more), would tell"
        )
    return lines


def _histogram(decibels: np.ndarray) -> list[str]:
    """Lines that show how much of the sound has which level, in steps of 10 dB."""
    lines = ["level of 20 ms windows, dB below full scale:"]
    for low in range(-80, 0, 10):
        share = float(np.mean((decibels >= low) & (decibels < low + 10)))
        lines.append(f"  {low:4} to {low + 10:4}  {100 * share:5.1f} %  {'#' * round(50 * share)}")
    return lines
