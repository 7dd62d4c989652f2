"""From recordings to a data set: one memory-mapped array of sound, and which parts of it are for what.

    DATASET/audio.f32      float32, little endian: every recording at the data set's rate, one after the other
    DATASET/features.f32   float32 [frames, F], where features were asked for: one row for every HOP samples
    DATASET/dataset.json   rate, options, sources, and the segments [start, length] of train, validation and test
    DATASET/summary.txt, .png  minutes kept and dropped and why, levels, spectrogram

Nothing is normalised file by file: one gain for all, so that loud stays loud and silence is silence.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sopilib.errors import SopiError
from sopilib.files import whole_folder
from sopilib.sound import read_sound, resample
from sopilib.train import features as feature_curves
from sopilib.train.settings import option

SUFFIXES = {
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64"),
    *(".rf64", ".m4a", ".aac", ".mp4", ".wma", ".webm", ".mkv"),  # from here through ffmpeg
}
PARTS = ("train", "validation", "test")
PEAK_DB, RMS_DB = -1.0, -18.0
WINDOW = 0.02
"""Seconds over which silence is measured."""
HOP = 64
"""Samples between two rows of features."""
FORMAT, VERSION = "sopilib-dataset", 1
Stretch = tuple[int, int]
"""Start and length in samples."""


@dataclass
class Preparation:
    """Also the options of `sopi prepare`, with these helps."""

    sample_rate: int = option(16000, "Hz of the data set and of models trained on it")
    channel: int = option(0, "which channel of each file, from 1; 0: their mean")
    normalise: str = option("peak", "of the whole: peak (to -1 dB), loudness (to -18 dB, no clipping) or none")
    keep_dc: bool = option(False, "leave each recording's DC offset in")
    silence_db: float = option(-60.0, "what is quieter than this is silence")
    longest_silence: float = option(1.0, "seconds; of longer silences so much is kept; 0: keep all")
    chunk: float = option(0.0, "cut what is trained on into pieces of so many seconds; 0: leave whole")
    overlap: float = option(0.0, "seconds that two pieces share")
    split: str = option("time", "validation and test are the ends of every file (time), or whole files (file)")
    validation: str = option("10%", "share that is never trained on; or, such as 60s, the end of the last file")
    test: str = option("0%", "another one, in front of that; for you to score")
    validation_files: list[str] = option([], "names or patterns of the files to validate on")
    test_files: list[str] = option([], "names or patterns of the files to keep for a test")
    augment: list[str] = option([], "more to train on: reverse, pitch (a semitone up and down), gain (6 dB down)")
    features: list[str] = option([], "curves to be played with: loudness, onset, or csv (FILE.csv beside each FILE)")

    def __post_init__(self) -> None:
        self._one_of("normalise", [self.normalise], ("peak", "loudness", "none"))
        self._one_of("split", [self.split], ("time", "file"))
        self._one_of("augment", self.augment, ("reverse", "pitch", "gain"))
        self._one_of("features", self.features, ("loudness", "onset", "csv"))
        if not 1000 <= self.sample_rate <= 192000:
            raise SopiError(f"sample_rate is {self.sample_rate}, expected 1000 to 192000 Hz")
        if self.chunk and not 0 <= self.overlap < self.chunk:
            raise SopiError(f"overlap is {self.overlap:g} s, expected less than a chunk of {self.chunk:g} s")
        for name in ("validation", "test"):
            _amount(name, getattr(self, name))

    def _one_of(self, name: str, values: list[str], known: tuple[str, ...]) -> None:
        for value in values:
            if value not in known:
                raise SopiError(f"{name} is {value!r}, expected one of {', '.join(known)}")


def _amount(name: str, text: str) -> tuple[float, float]:
    """ "10%" -> (0.1, 0), "60s" -> (0, 60): a share, or seconds."""
    try:
        number = float(text[:-1])
        if text[-1:] == "%" and 0 <= number <= 50:
            return number / 100, 0.0
        if text[-1:] == "s" and number >= 0:
            return 0.0, number
    except ValueError:
        pass
    raise SopiError(f"{name} is {text!r}, expected a share such as 10% (at most 50%), or seconds such as 60s")


class Dataset:
    """A prepared folder, memory-mapped.

    audio      float32 [n] at `sample_rate` Hz
    segments   part -> [(start, length), ...] in samples; train, validation and test never share a sample
    features   float32 [n / HOP, F], standardised, or None
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

    def seconds(self, part: str) -> float:
        """How long a part is: "train", "validation" or "test"."""
        return sum(n for _, n in self.segments[part]) / self.sample_rate

    def features_at(self, start: int, n: int) -> np.ndarray:
        """float32 [n, F] of the samples from `start` on."""
        assert self.features is not None
        rows = np.minimum(np.arange(start, start + n) // HOP, len(self.features) - 1)
        return self.features[rows]


def is_dataset(folder: str | Path) -> bool:
    """Whether this is a folder that `sopi prepare` made, by the file that it must hold."""
    return (Path(folder) / "dataset.json").is_file()


def find_audio(paths: Sequence[str | Path]) -> list[Path]:
    """The sound files named, in the folders named, or that fit the patterns; sorted by folder and name."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        elif path.is_file():
            found.append(path)
        elif fits := sorted(glob.glob(str(path), recursive=True)):
            found += [Path(p) for p in fits]
        else:
            raise SopiError(f"{path}: no such file or folder, expected audio to train on")
    found = list(dict.fromkeys(found))
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        raise SopiError(f"no audio found in {', '.join(map(str, paths))}, expected {kinds} files")
    return found


def prepare(paths: Sequence[str | Path], output: str | Path, options: Preparation | None = None) -> Dataset:
    """Makes the data set `output`, which appears when it is complete. Files that can't be read are left out and named
    in its `about["sources"]`. Raises SopiError if nothing is left to train on, or it can't be written."""
    output, options = Path(output), options or Preparation()
    if output.exists():
        raise SopiError(f"{output} exists already: give another name, or remove it")
    files = find_audio(paths)
    try:
        with whole_folder(output) as half:
            _Builder(half, options).build(files)
    except OSError as e:
        raise SopiError(f"{output}: could not be written ({e.strerror or e})") from None
    return Dataset(output)


class _Builder:
    def __init__(self, folder: Path, options: Preparation) -> None:
        self.folder, self.options, self.rate = folder, options, options.sample_rate
        self.sources: list[dict[str, Any]] = []
        self.dropped = {"unreadable": 0.0, "silence": 0.0}
        """Why -> seconds (of what can't be read: files)."""

    def build(self, files: list[Path]) -> None:
        o = self.options
        stretches = self._write(files)
        audio = np.memmap(self.folder / "audio.f32", "<f4", "r+")
        gain = self._gain(audio)
        for at in range(0, len(audio), 1 << 22):
            audio[at : at + (1 << 22)] *= np.float32(gain)
        sounding = [self._without_silence(audio, s) for s in stretches]
        parts = self._divide(sounding)
        total = {p: sum(n for _, n in parts[p]) for p in PARTS}
        if not total["train"]:
            raise SopiError("no sound is left to train on: all is silence, or given to validation and test")
        raw = [self._features(audio, s, Path(path)) for s, path in zip(stretches, self.used)]
        del audio
        parts["train"] += self._augmented(parts["train"], raw)
        features = self._write_features(raw, parts["train"])
        about = {
            "format": FORMAT,
            "version": VERSION,
            "preparation": dataclasses.asdict(o),
            "gain": gain,
            "sources": self.sources,
            "features": features,
            "segments": {
                "train": [list(c) for s in parts["train"] for c in self._chunks(s)],
                **{p: [list(s) for s in parts[p]] for p in PARTS[1:]},
            },
        }
        (self.folder / "dataset.json").write_text(json.dumps(about, indent=1))
        self._summary(total, gain)

    def _write(self, files: list[Path]) -> list[Stretch]:
        """Appends every readable file to audio.f32."""
        stretches: list[Stretch] = []
        self.used: list[str] = []
        end = 0
        with (self.folder / "audio.f32").open("wb") as out:
            for path in files:
                try:
                    audio, rate = read_sound(path, self.options.channel or None)
                    audio = resample(audio, rate, self.rate)
                    if not len(audio):
                        raise SopiError(f"{path}: is empty")
                    if not np.isfinite(audio).all():
                        raise SopiError(f"{path}: holds values that are no numbers")
                except SopiError as e:
                    self.sources.append({"file": str(path), "left_out": str(e).removeprefix(f"{path}: ")})
                    self.dropped["unreadable"] += 1
                    continue
                offset = float(audio.mean(dtype=np.float64))
                if not self.options.keep_dc:
                    audio = audio - np.float32(offset)
                out.write(audio.astype("<f4").tobytes())
                out.write(bytes(4 * (-len(audio) % HOP)))  # rows of features begin with a recording
                stretches.append((end, len(audio)))
                self.used.append(str(path))
                end += len(audio) + -len(audio) % HOP
                self.sources.append(
                    {
                        "file": str(path),
                        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                        "seconds": round(len(audio) / self.rate, 3),
                        "rate": rate,
                        "dc": offset,
                    }
                )
        if not stretches:
            why = "; ".join(f"{Path(s['file']).name}: {s['left_out']}" for s in self.sources[:3])
            raise SopiError(f"none of {len(files)} file(s) could be read ({why})")
        return stretches

    def _gain(self, audio: np.ndarray) -> float:
        peak = max(float(np.abs(audio[at : at + (1 << 22)]).max()) for at in range(0, len(audio), 1 << 22))
        if self.options.normalise == "none" or peak == 0:
            return 1.0
        to_peak = 10 ** (PEAK_DB / 20) / peak
        if self.options.normalise == "peak":
            return to_peak
        levels = self._levels(audio, (0, len(audio)))
        sounding = levels[levels > levels.max() * 1e-3]
        return min(to_peak, 10 ** (RMS_DB / 20) / float(np.sqrt(np.mean(sounding**2))))

    def _levels(self, audio: np.ndarray, stretch: Stretch) -> np.ndarray:
        """RMS of each whole window, around the window's own mean: an offset is not a sound."""
        start, length = stretch
        window = max(1, round(WINDOW * self.rate))
        count = length // window
        levels = np.empty(count)
        for at in range(0, count, 10000):
            n = min(10000, count - at)
            levels[at : at + n] = audio[start + at * window :][: n * window].reshape(n, window).std(axis=1)
        return levels

    def _without_silence(self, audio: np.ndarray, stretch: Stretch) -> list[Stretch]:
        """The stretch without what exceeds `longest_silence` in each silence: half of that stays at either side."""
        keep = self.options.longest_silence
        if not keep:
            return [stretch]
        start, length = stretch
        window = max(1, round(WINDOW * self.rate))
        quiet = self._levels(audio, stretch) < 10 ** (self.options.silence_db / 20)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
        out, at, margin = [], 0, round(keep * self.rate / 2)
        for first, last in zip(edges[::2] * window, edges[1::2] * window):
            # silence at the very beginning or end has a sound on one side only
            cut_from, cut_to = first + margin * (first > 0), last - margin
            if last >= length - window:
                cut_to = length
            if last - first > 2 * margin:
                if cut_from > at:
                    out.append((start + at, int(cut_from) - at))
                at = int(cut_to)
        if at < length:
            out.append((start + at, length - at))
        self.dropped["silence"] += (length - sum(n for _, n in out)) / self.rate
        return out

    def _divide(self, files: list[list[Stretch]]) -> dict[str, list[Stretch]]:
        """Stretches of every file -> of each part."""
        o = self.options
        names = [Path(u).name for u in self.used]
        parts: dict[str, list[Stretch]] = {p: [] for p in PARTS}
        free = list(range(len(files)))
        for part, patterns in (("validation", o.validation_files), ("test", o.test_files)):
            for pattern in patterns:
                fits = [k for k in free if Path(names[k]).match(pattern) or Path(self.used[k]).match(pattern)]
                if not fits:
                    raise SopiError(f"{part}_files: {pattern!r} fits none of the files")
                parts[part] += [s for k in fits for s in files[k]]
                free = [k for k in free if k not in fits]
        rest = [files[k] for k in free]
        for part in ("validation", "test"):
            share, seconds = _amount(part, getattr(o, part))
            if getattr(o, part + "_files"):
                continue
            if seconds:
                flat, taken = _take_end([s for f in rest for s in f], round(seconds * self.rate))
                if taken and not flat:
                    raise SopiError(f"all sound is shorter than the {seconds:g} s for {part}")
                rest = [flat]
                parts[part] += taken
            elif share and o.split == "file":
                rest, files_taken = _take_files(rest, share)
                parts[part] += [s for f in files_taken for s in f]
            elif share:
                cut = [_take_end(f, round(share * sum(n for _, n in f))) for f in rest]
                rest = [front for front, _ in cut]
                parts[part] += [s for _, back in cut for s in back]
        parts["train"] = [s for f in rest for s in f]
        return parts

    def _chunks(self, stretch: Stretch) -> list[Stretch]:
        if not self.options.chunk:
            return [stretch]
        start, length = stretch
        size = round(self.options.chunk * self.rate)
        step = size - round(self.options.overlap * self.rate)
        # the last one too, however short: it is played to its end
        starts = range(0, max(1, length - round(self.options.overlap * self.rate)), max(1, step))
        return [(start + at, min(size, length - at)) for at in starts]

    def _augmented(self, train: list[Stretch], raw: list[feature_curves.Curves | None]) -> list[Stretch]:
        """Appends altered copies of the training part to the audio."""
        if not self.options.augment:
            return []
        source = np.memmap(self.folder / "audio.f32", "<f4", "r")
        end, out = len(source), []
        with (self.folder / "audio.f32").open("ab") as file:
            for kind in self.options.augment:
                for start, length in train:
                    sound = np.array(source[start : start + length])
                    for copy in _altered(kind, sound, self.rate):
                        file.write(copy.astype("<f4").tobytes())
                        file.write(bytes(4 * (-len(copy) % HOP)))
                        out.append((end, len(copy)))
                        raw.append(self._features(copy, (0, len(copy)), None))
                        end += len(copy) + -len(copy) % HOP
        return out

    def _features(self, audio: np.ndarray, stretch: Stretch, path: Path | None) -> feature_curves.Curves | None:
        if not self.options.features:
            return None
        start, length = stretch
        sound = np.array(audio[start : start + length])
        return feature_curves.measure(self.options.features, sound, self.rate, HOP, path)

    def _write_features(self, raw: list[feature_curves.Curves | None], train: list[Stretch]) -> list[dict[str, Any]]:
        """Standardises the curves by the training part and writes them; returns what each column is."""
        whole = [c for c in raw if c is not None]
        if not whole:
            return []
        names = whole[0].names
        if any(c.names != names for c in whole):
            raise SopiError("the csv files have different columns, expected the same in all")
        rows = np.concatenate([c.rows for c in whole])
        trained = np.concatenate([rows[a // HOP : (a + n) // HOP + 1] for a, n in train])
        mean, std = trained.mean(0), np.maximum(trained.std(0), 1e-6)
        (self.folder / "features.f32").write_bytes(((rows - mean) / std).astype("<f4").tobytes())
        return [
            {"name": n, "mean": float(m), "std": float(s), "lowest": float(low), "highest": float(high)}
            for n, m, s, low, high in zip(names, mean, std, trained.min(0), trained.max(0))
        ]

    def _summary(self, total: dict[str, int], gain: float) -> None:
        audio = np.memmap(self.folder / "audio.f32", "<f4", "r")
        minutes = {p: total[p] / self.rate / 60 for p in PARTS}
        lines = [
            f"{len(self.used)} recording(s) at {self.rate} Hz, gain {20 * np.log10(max(gain, 1e-9)):+.1f} dB: "
            + ", ".join(f"{minutes[p]:.2f} minutes for {p}" for p in PARTS if total[p] or p == "train"),
            f"dropped: {self.dropped['silence'] / 60:.2f} minutes of silence, "
            f"{int(self.dropped['unreadable'])} file(s) that could not be read",
            *(f"  left out: {s['file']}: {s['left_out']}" for s in self.sources if "left_out" in s),
            *(f"  had a DC offset of {s['dc']:+.3f}: {s['file']}" for s in self.sources if abs(s.get("dc", 0)) > 0.01),
        ]
        levels = 20 * np.log10(np.maximum(self._levels(audio, (0, len(audio))), 1e-6))
        lines.append("level of 20 ms windows, dB below full scale:")
        for low in range(-80, 0, 10):
            share = float(np.mean((levels >= low) & (levels < low + 10)))
            lines.append(f"  {low:4} to {low + 10:4}  {100 * share:5.1f} %  {'#' * round(50 * share)}")
        (self.folder / "summary.txt").write_text("\n".join(lines) + "\n")
        from sopilib.train import pictures

        pictures.spectrograms(
            {"the recordings": np.array(audio[: 60 * self.rate])}, self.rate, self.folder / "summary.png"
        )


def _take_end(stretches: list[Stretch], samples: int) -> tuple[list[Stretch], list[Stretch]]:
    """The last `samples` samples apart: what comes before, and they."""
    front: list[Stretch] = list(stretches)
    back: list[Stretch] = []
    while samples > 0 and front:
        start, length = front.pop()
        n = min(samples, length)
        back.insert(0, (start + length - n, n))
        if length > n:
            front.append((start, length - n))
        samples -= n
    return front, back


def _take_files(files: list[list[Stretch]], share: float) -> tuple[list[list[Stretch]], list[list[Stretch]]]:
    """Whole files with about `share` of the sound apart, at least one, at random (always the same)."""
    if len(files) < 2:
        raise SopiError("split by file needs two files at least; split by time, or name validation_files")
    lengths = [sum(n for _, n in f) for f in files]
    order = np.random.default_rng(0).permutation(len(files))
    taken: list[int] = []
    for k in order[:-1]:
        if taken and sum(lengths[t] for t in taken) + lengths[k] / 2 > share * sum(lengths):
            break
        taken.append(int(k))
    return [f for k, f in enumerate(files) if k not in taken], [files[k] for k in sorted(taken)]


def _altered(kind: str, sound: np.ndarray, rate: int) -> list[np.ndarray]:
    if kind == "reverse":
        return [sound[::-1]]
    if kind == "gain":
        return [sound * np.float32(0.5)]
    semitone = 2 ** (1 / 12)
    return [np.clip(resample(sound, rate, rate * by), -1, 1) for by in (semitone, 1 / semitone)]
