"""A patch of pd/examples or pd/exercises in real Pd, with a hand that presses what a player presses."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pd_lint
import soundfile
from pd_host import ROOT, Patch, Result, end, run, start

EXAMPLES = ROOT / "pd" / "examples"
RATE = 48_000


class Example:
    """A copy of a patch, in which a hand can press what a player presses, and what sounds is recorded."""

    def __init__(self, name: str, folder: Path, of: Path = EXAMPLES) -> None:
        (path,) = of.glob(f"{name}*.pd")
        self.boxes = pd_lint.read(path).boxes
        text = path.read_text()
        assert "-path .. -path ../pyext -lib sopi" in text
        here = " ".join(f"-path {p}" for p in (EXAMPLES, EXAMPLES.parent, EXAMPLES.parent / "pyext"))
        text = re.sub(r"(-path \.\S* )+", f"{here} ", text).replace("../../", f"{ROOT}/")
        self.patch = Patch([text.rstrip("\n")], len(self.boxes))
        self.sound = folder / "sound.wav"
        self.path = folder / path.name

    def box(self, words: str, nth: int = 0) -> int:
        """The number of the box whose text begins with these words."""
        found = [i for i, box in enumerate(self.boxes) if " ".join(box.words).replace("\\", "").startswith(words)]
        return found[nth]

    def press(self, ms: float, words: str, message: str = "bang", nth: int = 0) -> None:
        self.patch.at(ms, message, self.box(words, nth))

    def print_status(self) -> None:
        self.patch.print(self.box("samplernn~"), 1, "status")

    def write(self) -> Path:
        """The text is a whole patch: what was added follows it."""
        self.path.write_text("\n".join(self.patch.lines) + "\n")
        return self.path

    def play(self, ms: float, source: str = "samplernn~", begin: float = 0, nth: int = 0) -> tuple[np.ndarray, Result]:
        """Switches it on at 0 -> its sound from `begin` to `ms`, and what Pd printed. `source`, `nth`: where it is
        taken from."""
        self.press(0, "play", "1")
        self.patch.record(self.sound, self.box(source, nth), ms - begin, begin=begin)
        self.patch.quit(ms + 20)
        result = run(self.write())
        assert not result.errors(), result.out
        return soundfile.read(self.sound, dtype="float32")[0], result


def sounds(sound: np.ndarray) -> bool:
    return bool(np.isfinite(sound).all()) and float(sound.std()) > 1e-3


def at(ms: float) -> int:
    return round(ms * RATE / 1000)


def live_until(example: Example, words: str) -> str:
    """Plays it in real time until a line with these words is printed -> that line."""
    process = start(example.write())
    said, limit = "", threading.Timer(60, process.kill)
    limit.start()
    try:
        while words not in said:
            line = process.stdout.readline() if process.stdout else b""
            assert line, said
            said += line.decode()
    finally:
        limit.cancel()
        end(process)
    return said.splitlines()[-1]
