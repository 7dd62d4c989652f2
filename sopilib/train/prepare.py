"""From recordings to a data set: one memory-mapped array of sound, and which parts of it are for what.

    DATASET/audio.f32      float32, little endian: every recording at the data set's rate, one after the other
    DATASET/features.f32   float32 [frames, F], where features were asked for: one row for every HOP samples
    DATASET/dataset.json   rate, options, sources, and the segments [start, length] of train, validation and test
    DATASET/summary.txt, .png  minutes kept and dropped and why, levels, spectrogram

Nothing is normalised file by file: there is one gain for all, so that loud stays loud and silence is silence.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sopilib.errors import SopiError
from sopilib.files import whole_folder, write_whole
from sopilib.locks import one_process
from sopilib.sound import resample
from sopilib.train import features as feature_curves
from sopilib.train.features import Curves
from sopilib.train.preparation import silence
from sopilib.train.preparation.dataset import FORMAT, HOP, PARTS, VERSION, Dataset, Stretch, is_dataset
from sopilib.train.preparation.divide import chunks, divide, divided_as
from sopilib.train.preparation.options import Preparation
from sopilib.train.preparation.recordings import Recordings, append, find_audio, read_recordings
from sopilib.train.preparation.summary import write_summary

__all__ = ["HOP", "PARTS", "Dataset", "Preparation", "find_audio", "is_dataset", "prepare"]

PEAK_DB, RMS_DB = -1.0, -18.0
"""To what the whole is normalised, in dB below full scale."""
PIECE = 1 << 22
"""Samples of audio that are in memory at a time."""


def prepare(paths: Sequence[str | Path], output: str | Path, options: Preparation | None = None) -> Dataset:
    """Makes the data set `output`, which appears when it is complete. Files that can't be read are left out and named
    in its `about["sources"]`. Raises SopiError if nothing is left to train on, or it can't be written."""
    output, options = Path(output), options or Preparation()
    if output.exists():
        raise SopiError(f"{output} exists already: give another name, or remove it")
    files = find_audio(paths)
    try:
        with one_process(output, "sopi prepare", beside=True), whole_folder(output) as half:
            _build(half, files, options)
    except OSError as e:
        raise SopiError(f"{output}: could not be written ({e.strerror or e})") from None
    return Dataset(output)


def _build(folder: Path, files: list[Path], options: Preparation) -> None:
    """Fills the folder."""
    read = read_recordings(files, folder / "audio.f32", options)
    audio = np.memmap(folder / "audio.f32", "<f4", "r+")
    gain = _normalise(audio, options)
    sounding = [silence.without_silence(audio, s, options) for s in read.stretches]
    silent = sum(n for _, n in read.stretches) - sum(n for stretches in sounding for _, n in stretches)
    parts = _divided(read, sounding, options)
    samples = {p: sum(n for _, n in parts[p]) for p in PARTS}
    if not samples["train"]:
        raise SopiError("no sound is left to train on: all is silence, or given to validation and test")
    curves = [_measure(audio, s, options, Path(path)) for s, path in zip(read.stretches, read.used)]
    del audio
    parts["train"] += _augment(folder, parts["train"], curves, options)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "preparation": dataclasses.asdict(options),
        "gain": gain,
        "sources": read.sources,
        "features": _write_features(folder / "features.f32", curves, parts["train"]),
        "segments": {
            "train": [list(c) for s in parts["train"] for c in chunks(s, options)],
            **{p: [list(s) for s in parts[p]] for p in PARTS[1:]},
        },
    }
    write_whole(folder / "dataset.json", json.dumps(about, indent=1).encode())
    write_summary(folder, read, samples, silent, gain, options.sample_rate)


def _divided(read: Recordings, sounding: list[list[Stretch]], options: Preparation) -> dict[str, list[Stretch]]:
    """Which of the sounding stretches of each recording are for what: all channels of a file alike."""
    firsts = sorted(set(read.firsts))
    parts = divide([sounding[k] for k in firsts], [read.used[k] for k in firsts], options)
    others = [k for k, first in enumerate(read.firsts) if k != first]
    alike = [divided_as(parts, read.stretches[read.firsts[k]], read.stretches[k], sounding[k]) for k in others]
    return {p: parts[p] + [s for a in alike for s in a[p]] for p in PARTS}


def _normalise(audio: np.ndarray, options: Preparation) -> float:
    """Multiplies the whole audio by one gain, and returns that."""
    gain = _gain(audio, options)
    for at in range(0, len(audio), PIECE):
        audio[at : at + PIECE] *= np.float32(gain)
    return gain


def _gain(audio: np.ndarray, options: Preparation) -> float:
    peak = max(float(np.abs(audio[at : at + PIECE]).max()) for at in range(0, len(audio), PIECE))
    if options.normalise == "none" or peak == 0:
        return 1.0
    to_peak = 10 ** (PEAK_DB / 20) / peak
    if options.normalise == "peak":
        return to_peak
    levels = silence.levels(audio, (0, len(audio)), options.sample_rate)
    sounding = levels[levels > levels.max() * 1e-3]
    return min(to_peak, 10 ** (RMS_DB / 20) / float(np.sqrt(np.mean(sounding**2))))


def _augment(folder: Path, train: list[Stretch], curves: list[Curves | None], options: Preparation) -> list[Stretch]:
    """Appends altered copies of the training part to the audio, and their curves to `curves`. Gives where they lie."""
    if not options.augment:
        return []
    source = np.memmap(folder / "audio.f32", "<f4", "r")
    end, out = len(source), []
    with (folder / "audio.f32").open("ab") as file:
        for kind in options.augment:
            for start, length in train:
                sound = np.array(source[start : start + length])
                for copy in _altered(kind, sound, options.sample_rate):
                    append(file, copy)
                    out.append((end, len(copy)))
                    curves.append(_measure(copy, (0, len(copy)), options, None))
                    end += len(copy) + -len(copy) % HOP
    return out


def _altered(kind: str, sound: np.ndarray, rate: int) -> list[np.ndarray]:
    """The copies, float32 [n], that `augment` makes of a sound: for "pitch" two of them, a semitone up and down."""
    if kind == "reverse":
        return [sound[::-1]]
    if kind == "gain":
        return [sound * np.float32(0.5)]
    semitone = 2 ** (1 / 12)
    return [np.clip(resample(sound, rate, rate * by), -1, 1) for by in (semitone, 1 / semitone)]


def _measure(audio: np.ndarray, stretch: Stretch, options: Preparation, path: Path | None) -> Curves | None:
    """The feature curves of a stretch; None if none were asked for. path: the recording's file."""
    if not options.features:
        return None
    start, length = stretch
    sound = np.array(audio[start : start + length])
    return feature_curves.measure(options.features, sound, options.sample_rate, HOP, path)


def _write_features(path: Path, curves: list[Curves | None], train: list[Stretch]) -> list[dict[str, Any]]:
    """Standardises the curves by the training part and writes them. Gives what each column is."""
    whole = [c for c in curves if c is not None]
    if not whole:
        return []
    names = whole[0].names
    if any(c.names != names for c in whole):
        raise SopiError("the csv files have different columns, expected the same in all")
    rows = np.concatenate([c.rows for c in whole])
    trained = np.concatenate([rows[a // HOP : (a + n) // HOP + 1] for a, n in train])
    mean, std = trained.mean(0), np.maximum(trained.std(0), 1e-6)
    write_whole(path, ((rows - mean) / std).astype("<f4").tobytes())
    return [
        {"name": n, "mean": float(m), "std": float(s), "lowest": float(low), "highest": float(high)}
        for n, m, s, low, high in zip(names, mean, std, trained.min(0), trained.max(0))
    ]
