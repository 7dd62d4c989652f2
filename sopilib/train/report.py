"""What one sees and hears of a run: the console, log.csv, curves.png, TensorBoard and previews."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sopilib import Engine, Model, sound
from sopilib.amounts import duration
from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.model import Config
from sopilib.names import escaped
from sopilib.score import failures
from sopilib.train import listening, machine, pictures
from sopilib.train.parallel import Group
from sopilib.train.preparation.summary import too_little
from sopilib.train.prepare import Dataset
from sopilib.train.settings import Settings
from sopilib.train.validation import SCORED

COLUMNS = (
    *("step", "seconds", "train_bits", "train_accuracy", "held_out_bits", "held_out_accuracy"),
    *("learning_rate", "gradient", "audio_seconds_per_second", "held_out_density_bits"),
)


PREVIEW_SEED = 1
PRIMED = 10.0
"""Seconds at most that a model hears before its previews, where they go on from a sound."""


class Report:
    """The report of a run, written into its folder by the first of several processes alone.

    step   the step that the run goes on from; what the log says of later ones is cut off
    steps  how many it will do in all
    first  True in the first process
    loud   the first process prints, too

    What can't be written raises OSError.
    """

    def __init__(self, folder: Path, step: int, steps: int, first: bool, loud: bool) -> None:
        self.folder, self.steps, self.first, self.loud = folder, steps, first, first and loud
        self.log = folder / "log.csv"
        self.tensorboard: Any = None
        self._shown = ""
        self._told, self._validation = 0.0, 0.0
        if first:
            self.cut_back(step)

    def say(self, line: str) -> None:
        """Prints a line, if this run prints at all."""
        if self.loud:
            self._wipe()
            print(line, flush=True)

    def show(self, line: str) -> None:
        """Shows a line on a terminal, in place of the last one that was shown so."""
        if self.loud and sys.stdout.isatty():
            self._wipe()
            print(line, end="\r", flush=True)
            self._shown = line

    def _wipe(self) -> None:
        if self._shown:
            print(" " * len(self._shown), end="\r")
            self._shown = ""

    def rows(self) -> list[dict[str, str]]:
        """Reads log.csv, each row by the names in COLUMNS. A line that was cut short in the writing is left out. What
        an older version didn't log is empty."""
        if not self.log.exists():
            return []
        rows = list(csv.DictReader(io.StringIO(self.log.read_text())))
        whole = [r for r in rows if None not in r.values() and str(r.get("step")).isdigit()]
        return [{c: r.get(c, "") for c in COLUMNS} for r in whole]

    def cut_back(self, step: int) -> None:
        """Cuts off what the log says of steps after `step`: a run that was killed may have logged steps that its
        checkpoint doesn't hold."""
        kept = [r for r in self.rows() if int(r["step"]) <= step]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        write_whole(self.log, text.getvalue().encode())
        if self.tensorboard is not None:
            self.tensorboard.close()
        self.tensorboard = None
        if escaped(self.folder) != str(self.folder):  # TensorBoard writes only under names that are UTF-8
            return
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.tensorboard = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)
        except ImportError:
            pass

    def row(self, values: dict[str, Any]) -> None:
        """Adds a line to the log, and its values to TensorBoard. `values` are by the names in COLUMNS; those that are
        missing stay empty."""
        if not self.first:
            return
        with self.log.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(
                {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()}
            )
        if self.tensorboard is not None:
            for name, value in values.items():
                if name != "step":
                    self.tensorboard.add_scalar(name, value, values["step"])

    def announce(
        self, dataset: Dataset, config: Config, settings: Settings, step: int, lanes: int, each: float, group: Group
    ) -> None:
        """Says what is trained on what, and about how long it will take from `step` on, with so many `lanes` in each
        process of the group, if a step takes `each` seconds."""
        trained, held_out = (dataset.seconds(p) for p in ("train", "validation"))
        steps = max(0, settings.steps - step)
        # a validation goes forward only, which is a third of the work
        validated = min(SCORED, held_out) * config.sample_rate / (lanes * config.seq_len) / 3
        self._told, self._validation = each, validated / settings.every
        heard = settings.steps * settings.batch * config.seq_len / config.sample_rate
        for line in too_little(trained, held_out):
            self.say(line)
        self.say(
            f"{duration(trained)} to train on, {held_out:.1f} s held out; "
            f"{machine.parameters(config) / 1e6:.1f} M weights, {settings.precision} on {settings.device}"
            + (f" in {group.size} processes" if group.size > 1 else "")
        )
        self.say(
            f"about {self._duration(steps, each)} for {steps} steps, which hear everything "
            f"{heard / max(trained, 1e-9):.1f} times; "
            f"about {machine.memory(config, settings, lanes) / 1e9:.1f} GB of memory"
        )
        if step:
            self.say(f"goes on from step {step}")

    def correct(self, step: int, each: float) -> None:
        """Says at a step anew how long training will take if a step takes `each` seconds, unless `announce` was told
        about that."""
        times = each / max(self._told, 1e-9)
        if not 0.8 < times < 1.25:
            left = self._duration(self.steps - step, each)
            self.say(f"step {step}: about {left} left, since steps take {times:.2g} times as long as measured before")

    def _duration(self, steps: int, each: float) -> str:
        """How long so many steps take, of `each` seconds, and the validations in between."""
        return duration(each * steps * (1 + self._validation))

    def progress(self, values: dict[str, Any], left: float, final: bool) -> None:
        """Tells where the run is: `values` by COLUMNS, and how many seconds are left. A line that is `final` stays; the
        others take each other's place, and are seen on a terminal only."""
        held_out = f", held out {values['held_out_bits']:.3f}" if "held_out_bits" in values else ""
        density = f" ({values['held_out_density_bits']:.3f} density bits)" if "held_out_density_bits" in values else ""
        line = (
            f"step {values['step']}/{self.steps}: {values['train_bits']:.3f}{held_out} bits per sample{density}, "
            f"{100 * values['train_accuracy']:.0f} % right, {values['audio_seconds_per_second']:.1f} s of sound a "
            f"second, {duration(left)} left"
        )
        (self.say if final else self.show)(line)

    def curves(self) -> None:
        """Draws log.csv anew as curves.png."""
        if self.first:
            pictures.learning_curves(self.rows(), self.folder / "curves.png")
            if self.tensorboard is not None:
                self.tensorboard.flush()

    def previews(self, model: Model, step: int, settings: Settings, real: np.ndarray) -> None:
        """Lets the model play at each temperature, with the same seeds at every step, and draws these sounds below real
        sound. What is wrong with one is said.

        step      the step that the model is of
        settings  say how many, how long and at which temperatures
        real      some of the recordings, float [n]
        """
        if not self.first:
            return
        folder, rate = self.folder / "previews", model.config.sample_rate
        folder.mkdir(exist_ok=True)
        temperatures = np.repeat(np.array(settings.preview_temperatures, np.float32), settings.previews)
        engine = Engine(model, voices=len(temperatures))
        engine.reset(PREVIEW_SEED)  # the same for every step, so that they compare
        memory = model.silence(len(temperatures))
        if settings.preview_from:
            try:
                heard = model.encode(prime(settings, rate))[None].repeat(len(temperatures), 0)
                engine.prime(heard)
                model.decode(heard, memory)
            except SopiError as e:  # it is gone, or live.json names another one: no reason to stop training
                self.say(f"  previews go on from nothing ({e})")
        codes = engine.generate(round(settings.preview_seconds * rate), temperatures[:, None])
        sounds = model.decode(codes, memory)
        sheet = {"recorded": real[: sounds.shape[1]]}
        shown: list[dict[str, Any]] = []
        for k, (temperature, made) in enumerate(zip(temperatures, sounds)):
            number = f"_{k % settings.previews + 1}" if settings.previews > 1 else ""
            name = f"step{step:07}_t{temperature:g}{number}"
            sound.write_audio(folder / f"{name}.wav", [made[None]], rate)
            wrong = failures(made, rate, real, model.stillness)
            shown.append(
                {
                    "file": f"{name}.wav",
                    "step": step,
                    "temperature": round(float(temperature), 6),
                    "number": k % settings.previews + 1 if number else None,
                    "bits": model.about["training"].get("held_out_bits"),
                    "wrong": wrong,
                }
            )
            title = f"temperature {temperature:g}{number.replace('_', ', number ')}"
            sheet[title + (f": {', '.join(wrong)}" if wrong else "")] = made
            if wrong:
                self.say(f"  preview {name}.wav: {', '.join(wrong)}")
            if self.tensorboard is not None:
                self.tensorboard.add_audio(f"temperature {temperature:g}{number}", made[None], step, rate)
        pictures.spectrograms(sheet, rate, folder / f"step{step:07}.png")
        listening.write_page(self.folder, shown, real, rate)

    def close(self) -> None:
        """Closes TensorBoard's files."""
        if self.tensorboard is not None:
            self.tensorboard.close()


def prime(settings: Settings, rate: int) -> np.ndarray:
    """The sound that previews go on from, float32 [n], of at most `PRIMED` seconds. Raises SopiError if it can't be
    read."""
    audio = sound.read_audio(settings.preview_from, rate)[round(settings.preview_offset * rate) :]
    if not len(audio):
        raise SopiError(f"{settings.preview_from}: ends before --preview-offset, {settings.preview_offset:g} s")
    return audio[: round(PRIMED * rate)]
