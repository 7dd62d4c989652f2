"""Audio files as training lanes: long excerpts, read in consecutive chunks so that the RNN state carries over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sopilib.errors import SopiError
from sopilib.model import Config
from sopilib.model.quantise import Codes, encode
from sopilib.sound import read_audio

SUFFIXES = {".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3"}


def find_audio(paths: Sequence[str | Path]) -> list[Path]:
    """The audio files named or in the folders named, sorted."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise SopiError(f"{path}: no such file or folder, expected audio to train on")
    if not found:
        raise SopiError(f"no audio found in {', '.join(map(str, paths))}, expected {', '.join(sorted(SUFFIXES))} files")
    return found


class Corpus:
    """Codes of all files, with the last `held_out` seconds of the last file set apart."""

    def __init__(self, files: Sequence[Path], config: Config, held_out: float) -> None:
        self.files = [encode(read_audio(f, config.sample_rate), config) for f in files]
        keep = round(held_out * config.sample_rate)
        if keep >= self.files[-1].size:
            raise SopiError(f"{files[-1]}: shorter than the {held_out:g} s to hold out, give a longer last file")
        self.held_out: Codes = self.files[-1][self.files[-1].size - keep :]
        self.files[-1] = self.files[-1][: self.files[-1].size - keep]
        need = config.lookback + config.seq_len
        self.files = [f for f in self.files if f.size >= need]
        if not self.files:
            raise SopiError(f"every file is shorter than {need} samples, the length of one training sequence")

    @property
    def samples(self) -> int:
        return sum(f.size for f in self.files)


class Lanes:
    """`batch` independent readers. Each plays an excerpt of about `excerpt` samples chunk by chunk, then jumps to
    another one, drawn uniformly over all samples. The whole state is in `state_dict`."""

    def __init__(self, corpus: Corpus, config: Config, batch: int, excerpt: int, seed: int) -> None:
        self.corpus, self.config, self.excerpt = corpus, config, excerpt
        self.rng = np.random.default_rng(seed)
        self.file = np.zeros(batch, np.int64)
        self.at = np.zeros(batch, np.int64)
        self.left = np.zeros(batch, np.int64)
        starts = np.array([f.size - config.lookback - config.seq_len + 1 for f in corpus.files])
        self.starts, self.share = starts, starts / starts.sum()

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 codes [batch, lookback + seq_len], and bool [batch]: lanes that jumped (RNN state starts anew)."""
        length = self.config.lookback + self.config.seq_len
        jumped = self.left <= 0
        out = np.empty((len(self.at), length), np.int64)
        for b in range(len(self.at)):
            if jumped[b]:
                self.file[b] = self.rng.choice(len(self.starts), p=self.share)
                self.at[b] = self.rng.integers(self.starts[self.file[b]])
                # lanes jump at different times from the first excerpt on
                self.left[b] = self.rng.integers(self.excerpt // 2, self.excerpt + 1)
            codes = self.corpus.files[self.file[b]]
            out[b] = codes[self.at[b] : self.at[b] + length]
            self.at[b] += self.config.seq_len
            self.left[b] -= self.config.seq_len
            if self.at[b] + length > codes.size:
                self.left[b] = 0
        return out, jumped

    def state_dict(self) -> dict[str, Any]:
        return {
            "file": self.file.tolist(),
            "at": self.at.tolist(),
            "left": self.left.tolist(),
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("file", "at", "left"):
            getattr(self, name)[:] = state[name]
        self.rng.bit_generator.state = state["rng"]
