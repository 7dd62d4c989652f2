"""Training: truncated back-propagation over long excerpts, one file to read in one sitting.

RUN/state.pt holds everything: weights, optimiser, where every lane is and what its RNN remembers, the progress, the
live settings. It is replaced atomically; all randomness is a function of the seed, the step and the lane. So a run that
was stopped at any moment, even in the middle of a write, goes on from its last checkpoint as if nothing had happened.

    RUN/<name>.safetensors   the best model so far; it plays
    RUN/checkpoints/         the last few, as models
    RUN/previews/            sounds of the model, with spectrograms below real sound
    RUN/log.csv, curves.png, tensorboard/
    RUN/live.json            settings that may be changed while it works
    RUN/run.json             what it began with
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sopilib import checkpoint
from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.model import Config, Model
from sopilib.score import Likelihood, likelihood
from sopilib.train import machine
from sopilib.train.dropout import Dropout
from sopilib.train.lanes import Lanes
from sopilib.train.network import SampleRNN, State
from sopilib.train.parallel import Group
from sopilib.train.prepare import Dataset
from sopilib.train.report import Report, duration
from sopilib.train.settings import LIVE, Settings

SETBACKS = 6
"""So many times in all a run steps back before it gives up."""
LATER = (*LIVE, "steps", "threads", "device", "log_every")
"""Settings that may be given anew when a run goes on."""
SCORED = 60.0
"""Seconds of the validation part that are scored at each checkpoint, from the start of each of its segments."""


class TeacherForced:
    """The network as a `sopilib.score.Predictor`, in float32."""

    def __init__(self, network: SampleRNN) -> None:
        self.network, self.config = network, network.config
        self.device = next(network.parameters()).device
        self.state: State | None = None

    def reset(self) -> None:
        self.state = None

    @torch.no_grad()
    def teacher_force(self, codes: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """int [1, lookback + n] -> float32 logits [1, n, q]. The state carries on."""
        precision, self.network.precision = self.network.precision, torch.float32
        try:
            given = None if features is None else torch.as_tensor(features, dtype=torch.float32, device=self.device)
            logits, self.state = self.network(
                torch.as_tensor(codes.astype(np.int64)).to(self.device), self.state, given
            )
            return logits.cpu().numpy()
        finally:
            self.network.precision = precision


class _Loss(nn.Module):
    """What several processes share: the network, called for its loss."""

    def __init__(self, network: SampleRNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: Any) -> tuple[Tensor, Tensor, State]:
        return self.network.loss(*args)


class Meter:
    """Sums since the last line of the log."""

    def __init__(self) -> None:
        self.nats = self.correct = self.samples = self.seconds = 0.0

    def add(self, nats: float, correct: float, samples: float) -> None:
        self.nats, self.correct, self.samples = self.nats + nats, self.correct + correct, self.samples + samples

    @property
    def bits(self) -> float:
        return self.nats / self.samples / math.log(2)


class Run:
    """One training run in its folder. Goes on where it stopped if the folder holds a state."""

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
        """start: a model to go on with; origin: what to keep of where it came from. given: settings, of `LATER`, that
        were asked for anew although the run goes on. loud: it prints."""
        settings = dataclasses.replace(settings, device=machine.device(settings.device))
        settings.precision = machine.precision(settings.precision, settings.device)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        machine.keep_memory()
        self.folder, self.dataset, self.config, self.settings = folder, dataset, config, settings
        if dataset.sample_rate != config.sample_rate:
            raise SopiError(
                f"the data set is at {dataset.sample_rate} Hz, the model at {config.sample_rate}: prepare it for that"
            )
        self.group = Group.join(settings.device)
        self.mine = self.group.lanes(settings.batch)
        self.lanes = Lanes(
            dataset, config, settings.batch, round(settings.excerpt * config.sample_rate), settings.seed, self.mine
        )
        options: dict[str, Any] = {
            "rounded": True,
            "weight_norm": settings.weight_norm,
            "learn_initial": settings.learn_initial,
            "precision": machine.TYPES[settings.precision],
        }
        if start is None:
            network = SampleRNN(config, settings.seed, forget_bias=settings.forget_bias, **options)
        else:
            network = SampleRNN.from_model(start, **options)
        self.origin = origin
        self.network = network.to(settings.device)
        self.module = self.group.wrap(_Loss(self.network), settings.device)
        if settings.compile:
            self.module = torch.compile(self.module)  # type: ignore[assignment]
        self.optimiser = _optimiser(settings, self.network)
        self.scaler = torch.amp.GradScaler(torch.device(settings.device).type, enabled=settings.precision == "float16")
        self.state: State | None = None
        self.meter = Meter()
        self.step, self.seconds, self.lr_scale, self.setbacks = 0, 0.0, 1.0, 0
        self.best, self.best_step, self.stale = math.inf, 0, 0
        self.monitor = settings.monitor if dataset.segments["validation"] else "train_bits"
        self._live_seen = 0
        self._stopping = False

        resumes = (folder / "state.pt").exists()
        with self._writing():
            if self.group.rank == 0:
                folder.mkdir(parents=True, exist_ok=True)
            if resumes:
                self._load()
            if given:
                self.settings = dataclasses.replace(self.settings, **given)
            self.report = Report(folder, self.step, settings.steps, self.group.rank == 0, loud)
            if not resumes:
                self._save()
            if given or not resumes:
                self._write_live()

    # ------------------------------------------------------------------ the loop

    def train(self, watch: Callable[[int, Mapping[str, float]], bool] = lambda step, row: False) -> str:
        """Until it is done or stopped; returns why it ended. `watch` is called after each checkpoint with its step and
        scores, in the first process, and returns True to stop."""
        self._announce()
        with self._signals(), self._writing():
            began = time.monotonic()
            why = "done"
            while self.step < self.settings.steps and why == "done":
                self._read_live()
                try:
                    stop = self.train_step()
                except torch.cuda.OutOfMemoryError as e:
                    raise SopiError(
                        f"the GPU's memory is used up ({str(e).splitlines()[0]}): try --batch "
                        f"{max(1, self.settings.batch // 2)}, a shorter --seq-len, or --precision bfloat16"
                    ) from None
                now = time.monotonic()
                self.seconds, self.meter.seconds = self.seconds + now - began, self.meter.seconds + now - began
                began = now
                at_checkpoint = self.step % self.settings.every == 0 or self.step == self.settings.steps
                if at_checkpoint and self.meter.samples:
                    if self._checkpoint(watch):
                        why = f"no better for {self.stale} validations"
                    began = time.monotonic()
                elif self.step % self.settings.log_every == 0 and self.meter.samples:
                    self._log({})
                if stop:
                    self._save()
                    why = "stopped"
            self.report.close()
        return why

    def train_step(self) -> bool:
        """One update; True if a process was asked to stop."""
        s, c = self.settings, self.config
        chunk = self.lanes.next()
        codes = self._to_device(chunk.codes)
        counted = None if chunk.counted.all() else self._to_device(chunk.counted)
        features = None if chunk.features is None else self._to_device(chunk.features)
        dropout = Dropout(s.rnn_dropout, s.seed, self.step, self.mine.start) if s.rnn_dropout else None
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate(self.step) * self.lr_scale
        total, correct, after = self.module(codes, self._state(chunk.jumped), features, counted, dropout)
        self.optimiser.zero_grad(set_to_none=True)
        # by the size of the whole chunk, padding included: so that processes with less of it don't weigh more
        self.scaler.scale(total / (len(codes) * c.seq_len)).backward()
        self.scaler.unscale_(self.optimiser)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        largest = s.clip if s.clip_by == "norm" else math.inf
        self.gradient = float(nn.utils.clip_grad_norm_(parameters, largest))
        if s.clip_by == "value":
            nn.utils.clip_grad_value_(parameters, s.clip)
        mine = [total.item(), correct.item(), float(chunk.counted.sum()), float(self._stopping)]
        nats, right, samples, stop = self.group.sum(torch.tensor(mine, dtype=torch.float64)).tolist()
        if self._failed(nats / samples / math.log(2)):
            self._step_back(nats / samples / math.log(2))
            return stop > 0
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.state = [[t.detach() for t in tier] for tier in after]
        self.step += 1
        self.meter.add(nats, right, samples)
        return stop > 0

    def _state(self, jumped: np.ndarray) -> State:
        initial = self.network.initial_state(len(jumped))
        if self.state is None:
            return initial
        fresh = self._to_device(jumped)[:, None]
        return [[torch.where(fresh, new, old) for new, old in zip(*tier)] for tier in zip(initial, self.state)]

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.settings.device, non_blocking=True)

    # ------------------------------------------------------------------ when it goes wrong

    def _failed(self, bits: float) -> bool:
        """The loss is no number, or far worse than knowing nothing. (float16: the scaler handles gradients.)"""
        broken = not math.isfinite(bits) or not (math.isfinite(self.gradient) or self.scaler.is_enabled())
        return broken or (self.step > self.settings.warm_up and bits > math.log2(self.config.q_levels) + 1)

    def _step_back(self, bits: float) -> None:
        """To the last checkpoint, with half the learning rate and other data."""
        at, scale, attempt, setbacks = self.step, self.lr_scale / 2, self.lanes.attempt + 1, self.setbacks + 1
        if setbacks > SETBACKS:
            raise SopiError(
                f"step {at}: the loss is {bits:.3g} bits, after {SETBACKS} steps back: start anew with a lower --lr "
                f"than {self.settings.lr:g}"
            )
        self._load()
        self.lr_scale, self.lanes.attempt, self.setbacks = scale, attempt, setbacks
        self.lanes.left[:] = 0
        self.report.cut_back(self.step)
        self._save()
        self.report.say(
            f"step {at}: the loss is {bits:.3g} bits, so it goes back to step {self.step}, with other data and "
            f"{scale:g} times the learning rate"
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C, or what Slurm sends: finish the step, save, stop. A second one stops at once."""

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
        """A full disk, or one that can't be written, is one sentence; the last checkpoint stays whole."""
        try:
            yield
        except OSError as e:
            kept = "the last checkpoint is whole: make room, then give the same command again"
            lost = kept if (self.folder / "state.pt").exists() else "nothing was begun"
            raise SopiError(f"{e.filename or self.folder}: could not be written ({e.strerror or e}); {lost}") from None

    # ------------------------------------------------------------------ checkpoints

    def _checkpoint(self, watch: Callable[[int, Mapping[str, float]], bool]) -> bool:
        """Validates, logs, keeps the models, and only then the state: a run killed in here does it again, alike.
        True if it is time to stop early."""
        began = time.monotonic()
        held_out = self.validate() if self.group.rank == 0 else None
        held_out = self.group.gather(held_out)[0]
        row: dict[str, float] = {"train_bits": self.meter.bits}
        if held_out is not None:
            row |= {"held_out_bits": held_out.bits, "held_out_accuracy": held_out.accuracy}
        value = -row["held_out_accuracy"] if self.monitor == "held_out_accuracy" else row[self.monitor]
        self.stale += 1
        better = value < self.best
        if better:
            self.best, self.best_step, self.stale = value, self.step, 0
        if self.group.rank == 0:
            model = self._model(row)
            folder = self.folder / "checkpoints"
            folder.mkdir(exist_ok=True)
            checkpoint.save(model, folder / f"step{self.step:07}.safetensors")
            if better:
                checkpoint.save(model, self.folder / f"{self.folder.name}.safetensors")
            if self.settings.keep:
                for old in sorted(folder.glob("step*.safetensors"))[: -self.settings.keep]:
                    old.unlink()
            self._log(row)
            self.report.curves()
            every = self.settings.preview_every
            if every and self.settings.previews and (self.step % every < self.settings.every or self._last()):
                self.report.previews(model, self.step, self.settings, self._real())
        else:
            self.meter = Meter()
        self.seconds += time.monotonic() - began
        self._save()
        enough = bool(self.settings.patience) and self.stale >= self.settings.patience
        return self.group.gather(enough or (self.group.rank == 0 and watch(self.step, row)))[0]

    def _last(self) -> bool:
        return self.step == self.settings.steps

    def validate(self) -> Likelihood | None:
        """Of the validation part, each segment from its own initial state; None without one."""
        c, segments = self.config, [s for s in self.dataset.segments["validation"] if s[1] >= self.config.lookback]
        whole = sum(n for _, n in segments)
        share = min(1.0, SCORED * c.sample_rate / max(1, whole))
        out: Likelihood | None = None
        predictor = TeacherForced(self.network)
        for start, length in segments:
            n = max(c.lookback, round(share * length))
            features = self.dataset.features_at(start, n) if c.features else None
            scored = likelihood(predictor, c.quantiser.encode(self.dataset.audio[start : start + n]), features)
            out = scored if out is None else out + scored
        return out

    def _real(self) -> np.ndarray:
        """Some real sound to compare previews with: what is held out, or else the end of what is trained on."""
        start, length = (self.dataset.segments["validation"] or self.dataset.segments["train"])[-1]
        n = min(length, round(max(10.0, self.settings.preview_seconds) * self.config.sample_rate))
        return np.array(self.dataset.audio[start : start + n])

    def _model(self, scores: Mapping[str, float]) -> Model:
        model = self.network.to_model(self.folder.name)
        preparation = self.dataset.about["preparation"]
        sources = [s for s in self.dataset.about["sources"] if "sha256" in s]
        model.about = {
            "training": {
                "steps": self.step,
                "batch": self.settings.batch,
                "samples_seen": self.step * self.settings.batch * self.config.seq_len,
                "seconds": round(self.seconds),
                "held_out_seconds": round(self.dataset.seconds("validation"), 3),
                **{k: round(v, 4) for k, v in scores.items()},
                "settings": {k: v for k, v in dataclasses.asdict(self.settings).items() if not k.startswith("preview")},
                "files": [{"file": Path(s["file"]).name, "sha256": s["sha256"]} for s in sources],
            },
            "data": {"preparation": preparation, "gain": self.dataset.about["gain"]},
        }
        if self.config.features:
            model.about["features"] = self.dataset.about["features"]
        if self.origin is not None:
            model.about["from"] = dict(self.origin)
        return model

    def _save(self) -> None:
        states = self.group.gather(None if self.state is None else [[t.cpu() for t in tier] for tier in self.state])
        if self.group.rank:
            return
        rnn = None
        if states[0] is not None:
            rnn = [[torch.cat(parts) for parts in zip(*tier)] for tier in zip(*states)]
        buffer = io.BytesIO()
        torch.save(
            {
                "config": self.config.to_dict(),
                "settings": dataclasses.asdict(self.settings),
                "weights": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "scaler": self.scaler.state_dict(),
                "lanes": self.lanes.state_dict(),
                "rnn": rnn,
                "meter": vars(self.meter),
                "step": self.step,
                "seconds": self.seconds,
                "best": (self.best, self.best_step, self.stale),
                "setbacks": (self.setbacks, self.lr_scale),
            },
            buffer,
        )
        write_whole(self.folder / "state.pt", buffer.getbuffer())

    def _load(self) -> None:
        whole = torch.load(self.folder / "state.pt", map_location="cpu", weights_only=True)
        if whole["config"] != self.config.to_dict():
            differs = next(k for k, v in self.config.to_dict().items() if whole["config"].get(k) != v)
            raise SopiError(
                f"{self.folder} holds a run with {differs} {whole['config'].get(differs)!r}, not "
                f"{self.config.to_dict()[differs]!r}: give the same options, or another folder"
            )
        for name, value in dataclasses.asdict(self.settings).items():
            if name not in LATER and whole["settings"].get(name) != value:
                raise SopiError(
                    f"{self.folder} holds a run with {name} {whole['settings'].get(name)!r}, not {value!r}: "
                    "give the same options, or another folder"
                )
        self.network.load_state_dict(whole["weights"])
        self.optimiser.load_state_dict(whole["optimiser"])
        self.scaler.load_state_dict(whole["scaler"])
        self.lanes.load_state_dict(whole["lanes"])
        rnn = whole["rnn"]
        if rnn is not None:
            rnn = [[t[self.mine].to(self.settings.device) for t in tier] for tier in rnn]
        self.state = rnn
        vars(self.meter).update(whole["meter"])
        self.settings = self.settings.with_live({name: whole["settings"][name] for name in LIVE})
        self._live_seen = 0
        self.step, self.seconds = whole["step"], whole["seconds"]
        self.best, self.best_step, self.stale = whole["best"]
        self.setbacks, self.lr_scale = whole["setbacks"]

    # ------------------------------------------------------------------ what one sees

    def _announce(self) -> None:
        c, s = self.config, self.settings
        trained, held_out = (self.dataset.seconds(p) for p in ("train", "validation"))
        each = machine.seconds(c, s, self.mine.stop - self.mine.start)
        left = (s.steps - self.step) * each
        needed = machine.memory(c, s, self.mine.stop - self.mine.start)
        for line in (
            f"{trained / 60:.1f} minutes to train on, {held_out:.0f} s held out; "
            f"{machine.parameters(c) / 1e6:.1f} M weights, {s.precision} on {s.device}"
            + (f" in {self.group.size} processes" if self.group.size > 1 else ""),
            f"about {duration(left)} for {s.steps - self.step} steps, which hear everything "
            f"{s.steps * s.batch * c.seq_len / c.sample_rate / max(trained, 1e-9):.1f} times; "
            f"about {needed / 1e9:.1f} GB of memory",
            *([f"goes on from step {self.step}"] if self.step else []),
        ):
            self.report.say(line)

    def _log(self, row: Mapping[str, float]) -> None:
        seconds = max(self.meter.seconds, 1e-9)
        values = {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "train_bits": self.meter.bits,
            "train_accuracy": self.meter.correct / self.meter.samples,
            **row,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "gradient": self.gradient,
            "audio_seconds_per_second": self.meter.samples / self.config.sample_rate / seconds,
        }
        each = seconds / self.meter.samples * self.settings.batch * self.config.seq_len
        self.report.row(values)
        self.report.progress(values, (self.settings.steps - self.step) * each, bool(row))
        self.meter = Meter()

    def _write_live(self) -> None:
        if self.group.rank == 0:
            live = {name: getattr(self.settings, name) for name in LIVE}
            write_whole(self.folder / "live.json", (json.dumps(live, indent=1) + "\n").encode())
        self._live_seen = self._live_changed()

    def _live_changed(self) -> int:
        try:
            return (self.folder / "live.json").stat().st_mtime_ns
        except OSError:
            return 0

    def _read_live(self) -> None:
        """The first process looks whether live.json has changed, and all take what it says."""
        if self.group.size > 1 and self.step % self.settings.log_every:
            return
        news: dict[str, Any] | None = None
        if self.group.rank == 0 and (changed := self._live_changed()) != self._live_seen:
            self._live_seen = changed
            try:
                values = json.loads((self.folder / "live.json").read_text())
                after = self.settings.with_live(values)
                news = {n: getattr(after, n) for n in LIVE if getattr(after, n) != getattr(self.settings, n)}
                if news:
                    self.report.say("live.json: " + ", ".join(f"{k} is {v}" for k, v in news.items()))
            except (OSError, ValueError, TypeError, SopiError) as e:
                self.report.say(f"live.json is left aside until it changes again ({e})")
        news = self.group.gather(news)[0]
        if news:
            self.settings = self.settings.with_live(news)


def _optimiser(settings: Settings, network: SampleRNN) -> torch.optim.Optimizer:
    parameters = [p for p in network.parameters() if p.requires_grad]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=settings.lr, momentum=0.9, fused=True)
    if settings.optimiser == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=settings.lr, alpha=0.99, eps=1e-5)
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(
            parameters, lr=settings.lr, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.Adam(parameters, lr=settings.lr, betas=(0.9, 0.99), fused=True)
