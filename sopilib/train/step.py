"""One step of training: the network hears a chunk of each lane, and every weight moves a little.

Training is truncated back-propagation over long excerpts. Each lane plays an excerpt chunk by chunk; the gradient goes
back to the beginning of the chunk, while the RNN's memory carries over from one chunk to the next.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sopilib.model import Config, Model
from sopilib.train import machine
from sopilib.train.dropout import Dropout
from sopilib.train.lanes import Lanes
from sopilib.train.network import SampleRNN, State
from sopilib.train.parallel import Group
from sopilib.train.prepare import Dataset
from sopilib.train.schedule import Bend, rate
from sopilib.train.settings import Settings

TRIAL = 2.0
"""Seconds for which steps are tried, to tell how long training will take."""


class _Loss(nn.Module):
    """The module that several processes share (torch's DDP wraps it): the network, called for its loss."""

    def __init__(self, network: SampleRNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: Any) -> tuple[Tensor, Tensor, State]:
        return self.network.loss(*args)


@dataclass(frozen=True)
class Outcome:
    """What one step gave, summed over the samples of all lanes and all processes."""

    nats: float
    """The sum of -ln p of the samples, in nats."""
    correct: float
    """How many samples had the code that the network held for the likeliest."""
    samples: float
    """How many samples were counted; padding is not."""
    learnt: bool
    """False if the loss or the gradient was unusable, in which case no weight has changed."""
    stop: bool
    """True if any of the processes was asked to stop."""

    @property
    def bits(self) -> float:
        """The mean loss in bits per sample; it may be infinite or no number."""
        return self.nats / self.samples / math.log(2)


class Learner:
    """The network and all that changes from step to step: the optimiser, the lanes' places, the RNN's memory.

    step      how many steps are done
    rnn       the RNN's state in this process's lanes, carried from chunk to chunk; None before the first step
    lr_scale  a factor of the learning rate, halved at each setback
    gradient  the norm of the last step's gradient, before it was clipped
    bend      of the learning rate, since the number of steps was changed
    mine      which lanes of the batch are this process's
    """

    def __init__(
        self, dataset: Dataset, config: Config, settings: Settings, group: Group, start: Model | None = None
    ) -> None:
        """The network begins with the weights of `start`, or at random from `settings.seed` if that is None. Raises
        SopiError if the batch can't be divided over the processes of `group`."""
        self.config, self.group = config, group
        self.mine = group.lanes(settings.batch)
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
        self.device = settings.device
        self.network = network.to(self.device)
        self.module = group.wrap(_Loss(self.network), self.device)
        if settings.compile:
            self.module = torch.compile(self.module)  # type: ignore[assignment]
        self.optimiser = _optimiser(settings, self.network)
        self.scaler = torch.amp.GradScaler(torch.device(self.device).type, enabled=settings.precision == "float16")
        self.rnn: State | None = None
        self.step, self.lr_scale, self.gradient = 0, 1.0, 0.0
        self.bend = Bend()

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return self.optimiser.param_groups[0]["lr"]

    def learn(self, settings: Settings, stopping: bool) -> Outcome:
        """Does one step. `settings` are those of this moment, and `stopping` says that this process was asked to stop.
        All processes of a group do the same steps and get the same outcome."""
        chunk = self.lanes.next()
        codes = self._to_device(chunk.codes)
        counted = None if chunk.counted.all() else self._to_device(chunk.counted)
        features = None if chunk.features is None else self._to_device(chunk.features)
        share = settings.rnn_dropout
        dropout = Dropout(share, settings.seed, self.step, self.mine.start) if share else None
        for group in self.optimiser.param_groups:
            group["lr"] = rate(settings, self.bend, self.step) * self.lr_scale
        total, correct, after = self.module(codes, self._memory(chunk.jumped), features, counted, dropout)
        self._back(total / (len(codes) * self.config.seq_len), settings)
        mine = [total.item(), correct.item(), float(chunk.counted.sum()), float(stopping)]
        nats, right, samples, stop = self.group.sum(torch.tensor(mine, dtype=torch.float64)).tolist()
        if self._unusable(nats / samples / math.log(2), settings):
            return Outcome(nats, right, samples, learnt=False, stop=stop > 0)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.rnn = [[t.detach() for t in tier] for tier in after]
        self.step += 1
        return Outcome(nats, right, samples, learnt=True, stop=stop > 0)

    def seconds(self, left: int) -> float:
        """How many seconds each of the `left` steps will take: the median of those that it does for nothing in two
        seconds, of three at least and of a tenth of `left` at most. The very first doesn't count, as memory is fetched
        in it. Training goes on as if it had not been asked."""
        lanes = self.lanes.state_dict()
        seconds: list[float] = []
        while len(seconds) < 4 or (sum(seconds) < TRIAL and len(seconds) <= left // 10):
            began = time.perf_counter()
            chunk = self.lanes.next()
            codes = self._to_device(chunk.codes)
            counted = None if chunk.counted.all() else self._to_device(chunk.counted)
            features = None if chunk.features is None else self._to_device(chunk.features)
            total, _, _ = self.network.loss(codes, self._memory(chunk.jumped), features, counted)
            total.backward()
            total.item()  # waits until all is done
            seconds.append(time.perf_counter() - began)
        self.lanes.load_state_dict(lanes)
        self.optimiser.zero_grad(set_to_none=True)
        return statistics.median(seconds[1:])

    def _back(self, loss: Tensor, settings: Settings) -> None:
        """Leaves the clipped gradient in the parameters. `loss` is the mean over the whole chunk, padding included, so
        that processes with less of a chunk don't weigh more."""
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        largest = settings.clip if settings.clip_by == "norm" else math.inf
        self.gradient = float(nn.utils.clip_grad_norm_(parameters, largest))
        if settings.clip_by == "value":
            nn.utils.clip_grad_value_(parameters, settings.clip)

    def _unusable(self, bits: float, settings: Settings) -> bool:
        """True if the loss is no number, or far worse than that of a network that knows nothing. In float16 the scaler
        deals with gradients that are not finite."""
        broken = not math.isfinite(bits) or not (math.isfinite(self.gradient) or self.scaler.is_enabled())
        return broken or (self.step > settings.warm_up and bits > math.log2(self.config.q_levels) + 1)

    def _memory(self, jumped: np.ndarray) -> State:
        """The RNN's state with which a chunk begins: initial in lanes that jumped, bool [lanes], else carried over."""
        initial = self.network.initial_state(len(jumped))
        if self.rnn is None:
            return initial
        fresh = self._to_device(jumped)[:, None]
        return [[torch.where(fresh, new, old) for new, old in zip(*tier)] for tier in zip(initial, self.rnn)]

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)

    def state_dict(self) -> dict[str, Any]:
        """Everything that bit-exact continuation needs, of all lanes. All processes have to call this together."""
        states = self.group.gather(None if self.rnn is None else [[t.cpu() for t in tier] for tier in self.rnn])
        rnn = None
        if states[0] is not None:
            rnn = [[torch.cat(parts) for parts in zip(*tier)] for tier in zip(*states)]
        return {
            "weights": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "lanes": self.lanes.state_dict(),
            "rnn": rnn,
            "step": self.step,
            "bend": dataclasses.astuple(self.bend),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave, in any number of processes."""
        self.network.load_state_dict(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.lanes.load_state_dict(state["lanes"])
        rnn = state["rnn"]
        if rnn is not None:
            rnn = [[t[self.mine].to(self.device) for t in tier] for tier in rnn]
        self.rnn = rnn
        self.step = state["step"]
        self.bend = Bend(*state.get("bend", ()))


def _optimiser(settings: Settings, network: SampleRNN) -> torch.optim.Optimizer:
    parameters = [p for p in network.parameters() if p.requires_grad]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, lr=settings.lr, momentum=0.9 if settings.momentum is None else settings.momentum, fused=True
        )
    if settings.optimiser == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=settings.lr, alpha=0.99, eps=1e-5, momentum=settings.momentum or 0.0)
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(
            parameters, lr=settings.lr, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.Adam(parameters, lr=settings.lr, betas=(0.9, 0.99), fused=True)
