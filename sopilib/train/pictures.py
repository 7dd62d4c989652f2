"""Pictures of sound and of training, made by matplotlib. Each is a PNG that appears when it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sopilib import needed
from sopilib.errors import SopiError
from sopilib.files import whole_file


def _figure(rows: int, height: float, share_x: bool) -> tuple[Any, Any, Any]:
    try:
        import matplotlib
    except ImportError:
        raise SopiError(f"pictures need matplotlib: {needed.pip('sopilib[train]')}") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, 1, figsize=(10, height * rows), sharex=share_x, layout="constrained")
    return pyplot, figure, np.atleast_1d(axes)


def _save(pyplot: Any, figure: Any, path: Path) -> None:
    with whole_file(path) as half:
        figure.savefig(half, dpi=80, format="png")
    pyplot.close(figure)


def spectrograms(parts: dict[str, np.ndarray], sample_rate: int, path: Path) -> None:
    """Writes a PNG with one spectrogram above the other, each 0 Hz to Nyquist and 80 dB deep.

    parts  title -> sound, float [n] at `sample_rate` Hz

    Raises SopiError without matplotlib, and OSError if the file can't be written.
    """
    pyplot, figure, axes = _figure(len(parts), 2.6, True)
    for axis, (title, audio) in zip(axes, parts.items()):
        padded = np.pad(audio, (0, max(0, 1024 - len(audio))))
        with np.errstate(divide="ignore"):  # digital silence
            axis.specgram(padded, NFFT=512, Fs=sample_rate, noverlap=384, cmap="magma", vmin=-120, vmax=-40)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylabel("Hz")
    axes[-1].set_xlabel("seconds")
    _save(pyplot, figure, path)


def learning_curves(rows: Sequence[dict[str, str]], path: Path) -> None:
    """Writes a PNG of the rows of log.csv: bits per sample in training and held out, accuracy, learning rate. Raises
    SopiError without matplotlib, and OSError if the file can't be written."""
    pyplot, figure, axes = _figure(3, 2.4, True)
    for axis, columns, label in (
        (axes[0], ("train_bits", "held_out_bits"), "bits per sample"),
        (axes[1], ("train_accuracy", "held_out_accuracy"), "accuracy"),
        (axes[2], ("learning_rate",), "learning rate"),
    ):
        for column in columns:
            points = [(int(r["step"]), float(r[column])) for r in rows if r[column]]
            if points:
                axis.plot(*zip(*points), label=column.replace("_", " "), marker="." if len(points) < 50 else "")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.legend(loc="best", fontsize=8)
    axes[-1].set_xlabel("step")
    _save(pyplot, figure, path)
