"""A training run in its folder: step after step, with checkpoints, until it is done or stopped.

RUN/<name>.safetensors   the best model so far; it plays                      (`sopilib.train.checkpoints`)
RUN/checkpoints/         the last few, as models
RUN/state.pt             all that is needed to go on                          (`sopilib.train.state`)
RUN/live.json            settings that may be changed while it works          (`sopilib.train.live`)
RUN/run.json             what it began with                                   (`sopilib.train.run_folder`)
RUN/log.csv, curves.png, tensorboard/                                         (`sopilib.train.report`)
RUN/previews/            sounds of the model, with spectrograms below real sound
RUN/listen.html          a page to hear them with                             (`sopilib.train.listening`)
RUN/heard.wav            some of the recordings as the model hears them: coded, and decoded again
"""

from __future__ import annotations

import dataclasses
import math
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sopilib import sound
from sopilib.errors import SopiError
from sopilib.model import Config, Model
from sopilib.train import checkpoints, machine, state
from sopilib.train.live import LiveSettings
from sopilib.train.parallel import Group
from sopilib.train.prepare import Dataset
from sopilib.train.report import Report, prime
from sopilib.train.schedule import bent
from sopilib.train.settings import LIVE, Settings
from sopilib.train.step import Learner
from sopilib.train.validation import Best, coded, recorded, validate

HEARD = 30.0
"""Seconds of heard.wav."""
MEASURED = 20
"""After so many steps it is said how long training will take, if it was told wrong before the first one."""
SETBACKS = 6
"""So many times in all a run steps back before it gives up."""


class Meter:
    """Sums of what was learnt, and how well, since the last line of the log."""

    def __init__(self) -> None:
        self.nats = self.correct = self.samples = self.seconds = 0.0

    def add(self, nats: float, correct: float, samples: float) -> None:
        """Adds a step: the sum of -ln p of its `samples` samples, and how many of them were guessed right."""
        self.nats, self.correct, self.samples = self.nats + nats, self.correct + correct, self.samples + samples

    @property
    def bits(self) -> float:
        """The mean loss in bits per sample."""
        return self.nats / self.samples / math.log(2)

    @property
    def accuracy(self) -> float:
        """How many samples were guessed right, as a share."""
        return self.correct / self.samples


class Run:
    """One training run in its folder. It goes on where it stopped if the folder holds a state.

    step      how many steps are done
    seconds   how long it has trained in all
    settings  as they are now: live.json may change them
    best      the best score so far
    """

    def __init__(
        self,
        folder: Path,
        dataset: Dataset,
        config: Config,
        settings: Settings,
        start: Model | None = None,
        origin: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
        loud: bool = True,
    ) -> None:
        """Begins the run, or reads how far it had come.

        start   a model to go on with in place of random weights
        origin  name and `about` of that model, which the trained one keeps
        given   settings, of `LATER`, that were asked for anew although the run goes on
        loud    it prints what it does

        Raises SopiError if the data set or the settings don't fit the config, the machine, or the run in the folder, or
        if the folder can't be written.
        """
        settings = dataclasses.replace(settings, device=machine.device(settings.device))
        settings.precision = machine.precision(settings.precision, settings.device)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        machine.keep_memory()
        self.folder, self.dataset, self.config, self.settings, self.origin = folder, dataset, config, settings, origin
        if dataset.sample_rate != config.sample_rate:
            raise SopiError(
                f"the data set is at {dataset.sample_rate} Hz, the model at {config.sample_rate}: prepare it for that"
            )
        self.group = Group.join(settings.device)
        self.learner = Learner(dataset, config, settings, self.group, start)
        self.live = LiveSettings(folder, self.group)
        self.meter = Meter()
        self.seconds, self.setbacks = 0.0, 0
        self.best = Best(settings.monitor if dataset.segments["validation"] else "train_bits")
        self._stopping = False

        with self._writing():
            self._open(given or {}, loud)

    def _open(self, given: Mapping[str, Any], loud: bool) -> None:
        """Reads how far the run had come, and takes what live.json says and what was `given`; or writes the beginning
        of a new one."""
        resumes = state.exists(self.folder)
        if self.group.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
        if resumes:
            self._load()
        self.report = Report(self.folder, self.step, self.settings.steps, self.group.rank == 0, loud)
        if resumes:
            self._take(self.live.read(self.settings, self.report.say))
            for name, value in given.items():
                if (before := getattr(self.settings, name)) != value:
                    self.report.say(f"{name} is {value} from now on (before: {before})")
        self._take(dataclasses.replace(self.settings, **given))
        if self.settings.preview_from:
            prime(self.settings, self.config.sample_rate)  # so that a wrong one is said now
        if given or not resumes:  # at once, so that the rate bends from here wherever the run is stopped
            self.live.write(self.settings)
            self._save()
        if not resumes and self.group.rank == 0:
            heard = coded(self.dataset, self.learner.network.to_model(self.folder.name), HEARD)
            sound.write_audio(self.folder / "heard.wav", [heard[None]], self.config.sample_rate)

    def _take(self, settings: Settings) -> None:
        """Goes on with these settings."""
        self.learner.bend = bent(self.settings, settings, self.learner.bend, self.step)
        self.settings, self.report.steps = settings, settings.steps

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self.learner.step

    def train(self, watch: Callable[[int, Mapping[str, float]], bool] = lambda step, row: False) -> str:
        """Trains until the run is done or stopped, and returns why it ended. `watch` is called after each checkpoint
        with its step and scores, in the first process, and returns True to stop. Raises SopiError if the loss explodes
        again and again, a file can't be written, or the GPU's memory is used up."""
        self._announce()
        with self._signals(), self._writing():
            began = time.monotonic()
            first: list[float] = []
            why = "done"
            while self.step < self.settings.steps and why == "done":
                self._read_live()
                stop = self._step_in_memory()
                now = time.monotonic()
                self.seconds, self.meter.seconds = self.seconds + now - began, self.meter.seconds + now - began
                if len(first) <= MEASURED:
                    first.append(now - began)
                    if len(first) > MEASURED and not self._last():  # the very first is slow
                        self.report.correct(self.step, statistics.mean(first[1:]))
                began = now
                at_checkpoint = self.step % self.settings.every == 0 or self._last()
                if at_checkpoint and self.meter.samples:
                    if self._checkpoint(watch):
                        why = f"no better for {self.best.stale} validations"
                    began = time.monotonic()
                elif self.step % self.settings.log_every == 0 and self.meter.samples:
                    self._log({})
                if stop and not self._last():
                    self._save()
                    why = "stopped"
            self.report.close()
        return why

    def train_step(self) -> bool:
        """Does one step, or goes back to the last checkpoint if it fails. True if a process was asked to stop."""
        outcome = self.learner.learn(self.settings, self._stopping)
        if outcome.learnt:
            self.meter.add(outcome.nats, outcome.correct, outcome.samples)
        else:
            self._step_back(outcome.bits)
        return outcome.stop

    def _announce(self) -> None:
        if self.report.loud:
            with self._in_memory():
                left = self.settings.steps - self.step
                each = self.learner.seconds(left) if left > 0 else 0.0
            mine = self.learner.mine
            lanes = mine.stop - mine.start
            self.report.announce(self.dataset, self.config, self.settings, self.step, lanes, each, self.group)

    def _step_in_memory(self) -> bool:
        with self._in_memory():
            return self.train_step()

    @contextmanager
    def _in_memory(self) -> Iterator[None]:
        try:
            yield
        except torch.cuda.OutOfMemoryError as e:
            raise SopiError(
                f"the GPU's memory is used up ({str(e).splitlines()[0]}): try --batch "
                f"{max(1, self.settings.batch // 2)}, a shorter --seq-len, or --precision bfloat16"
            ) from None

    def _last(self) -> bool:
        return self.step == self.settings.steps

    def _read_live(self) -> None:
        # processes have to wait for each other to agree on it, so that they don't look at every step
        if self.group.size == 1 or self.step % self.settings.log_every == 0:
            self._take(self.live.read(self.settings, self.report.say))

    def _step_back(self, bits: float) -> None:
        """Goes back to the last checkpoint, with half the learning rate and other data."""
        lanes = self.learner.lanes
        at, scale, attempt, setbacks = self.step, self.learner.lr_scale / 2, lanes.attempt + 1, self.setbacks + 1
        if setbacks > SETBACKS:
            raise SopiError(
                f"step {at}: the loss is {bits:.3g} bits, after {SETBACKS} steps back: start anew with a lower --lr "
                f"than {self.settings.lr:g}"
            )
        self._load()
        self.learner.lr_scale, lanes.attempt, self.setbacks = scale, attempt, setbacks
        lanes.left[:] = 0
        self.report.cut_back(self.step)
        self._save()
        self.report.say(
            f"step {at}: the loss is {bits:.3g} bits, so it goes back to step {self.step}, with other data and "
            f"{scale:g} times the learning rate"
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """After Ctrl-C, or what Slurm sends, the step is finished and saved before training stops. A second one stops
        it at once."""

        def stop(number: int, frame: object) -> None:
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True
            self.report.say("stopping after this step (again: at once)")

        try:
            before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: whoever started this one handles signals
            yield
            return
        try:
            yield
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A disk that is full or can't be written becomes one sentence. The last checkpoint stays whole."""
        try:
            yield
        except OSError as e:
            kept = "the last checkpoint is whole: make room, then give the same command again"
            lost = kept if state.exists(self.folder) else "nothing was begun"
            raise SopiError(f"{e.filename or self.folder}: could not be written ({e.strerror or e}); {lost}") from None

    def _checkpoint(self, watch: Callable[[int, Mapping[str, float]], bool]) -> bool:
        """Validates, logs and keeps the models, and only then the state: a run that is killed in here does it again,
        alike. True if it is time to stop early."""
        began = time.monotonic()
        held_out = validate(self.learner.network, self.dataset) if self.group.rank == 0 else None
        held_out = self.group.gather(held_out)[0]
        row: dict[str, float] = {"train_bits": self.meter.bits, "train_accuracy": self.meter.accuracy}
        if held_out is not None:
            row |= {"held_out_bits": held_out.bits, "held_out_accuracy": held_out.accuracy}
            row |= {"held_out_density_bits": held_out.density_bits}
        better = self.best.update(row, self.step)
        if self.group.rank == 0:
            self._publish(row, better)
        else:
            self.meter = Meter()
        self.seconds += time.monotonic() - began
        self._save()
        enough = bool(self.settings.patience) and self.best.stale >= self.settings.patience
        return self.group.gather(enough or (self.group.rank == 0 and watch(self.step, row)))[0]

    def _publish(self, row: Mapping[str, float], better: bool) -> None:
        """What one sees and hears of a checkpoint: models, a line of the log, curves, previews."""
        s = self.settings
        model = self.learner.network.to_model(self.folder.name)
        model.about = checkpoints.provenance(self.dataset, self.config, s, self.step, self.seconds, row, self.origin)
        checkpoints.keep(self.folder, model, self.step, better, s.keep, s.keep_previewed)
        self._log(row)
        self.report.curves()
        if s.preview_every and s.previews and (self.step % s.preview_every < s.every or self._last()):
            real = recorded(self.dataset, max(10.0, s.preview_seconds))
            self.report.previews(model, self.step, s, real)

    def _log(self, row: Mapping[str, float]) -> None:
        seconds = max(self.meter.seconds, 1e-9)
        values = {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "train_bits": self.meter.bits,
            "train_accuracy": self.meter.accuracy,
            **row,
            "learning_rate": self.learner.rate,
            "gradient": self.learner.gradient,
            "audio_seconds_per_second": self.meter.samples / self.config.sample_rate / seconds,
        }
        each = seconds / self.meter.samples * self.settings.batch * self.config.seq_len
        self.report.row(values)
        self.report.progress(values, max(0, self.settings.steps - self.step) * each, bool(row))
        self.meter = Meter()

    def _save(self) -> None:
        whole = {
            **self.learner.state_dict(),
            "meter": vars(self.meter),
            "seconds": self.seconds,
            "best": (self.best.value, self.best.step, self.best.stale),
            "setbacks": (self.setbacks, self.learner.lr_scale),
        }
        if self.group.rank == 0:
            state.write(self.folder, self.config, self.settings, whole)

    def _load(self) -> None:
        whole = state.read(self.folder, self.config, self.settings)
        self.learner.load_state_dict(whole)
        vars(self.meter).update(whole["meter"])
        self.settings = self.settings.with_live({name: whole["settings"][name] for name in LIVE})
        self.live.look_again()
        self.seconds = whole["seconds"]
        self.best.value, self.best.step, self.best.stale = whole["best"]
        self.setbacks, self.learner.lr_scale = whole["setbacks"]
