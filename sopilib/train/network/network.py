"""The torch module that is trained: the canonical weights as parameters, whole sequences at a time.

Equations: docs/model.md. The step-by-step twin of this file is `sopilib.engine.reference`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sopilib.model import Config, Model, fold, frame_table, shapes
from sopilib.train.network import recurrence, sample_level

PARTS = ("weight", "bias")
State = list[list[Tensor]]
"""The RNNs' state, for each tier and layer: float32 [batch, D], or [batch, 2D] (h then c) for LSTM."""

Dropout = Callable[[int, int, Tensor], Tensor]
"""Called with tier, layer and the layer's input [frames, batch, D|n]; gives the same with some of it zero and the rest
scaled up."""


class _SampleLevel(NamedTuple):
    """The sample level's weights as they are multiplied, when all that can fold has folded."""

    tables: Tensor
    """float32 [f * q, W]"""
    up: Tensor
    """[r, W, D]: conditioning by the lowest tier"""
    up_bias: Tensor
    """[r, W]"""
    layers: list[tuple[Tensor, Tensor]]
    """weight [out, in], bias [out], in the type of the matrix products"""
    relu: list[bool]
    """after the sum, then after each layer"""


class SampleRNN(nn.Module):
    """A SampleRNN as torch trains it: `forward` gives logits, and `loss` the same loss without ever holding the logits.

    The parameters are those of `Model`, with two exceptions. With `emb_size` > 0, `sample.tables` is the product of
    `sample.embedding` [q, E] and `sample.convolution` [f, W, E]. With `weight_norm`, a matrix `w` is `w.gain` * `w` /
    |w|, with the norm of each output (Theano's and PyTorch's old weight norm). `to_model` folds both.

    seed           of the random weights
    learn_initial  False keeps the initial states as they are: zero, or those of the model that is trained on
    forget_bias    what the forget gates of an LSTM begin with
    precision      the type of matrix products; parameters, state and loss stay float32
    rounded        the layer that gives the logits is used, and comes out, as the engine rounds it to 8 bits, which
                   costs more there than anywhere else, so the network learns around it
    """

    seen: Tensor
    """float32 [q]: what a frame tier sees of each code"""

    def __init__(
        self,
        config: Config,
        seed: int = 0,
        weight_norm: bool = False,
        learn_initial: bool = True,
        forget_bias: float = 1.0,
        precision: torch.dtype = torch.float32,
        rounded: bool = False,
    ) -> None:
        super().__init__()
        self.config, self.precision = config, precision
        self.rounded = f"sample.layer{len(config.sample_relu) - 2}.weight" if rounded else None
        self.register_buffer("seen", torch.from_numpy(frame_table(config)), persistent=False)
        generator = torch.Generator().manual_seed(seed)
        self.weights = nn.ParameterDict()
        for name, shape in shapes(config).items():
            if name == "sample.tables" and config.emb_size:
                f, q, width = shape
                self._add("sample.embedding", _embedding(q, config.emb_size, generator))
                self._add(
                    "sample.convolution", _normal((f, width, config.emb_size), (f * config.emb_size) ** -0.5, generator)
                )
            else:
                self._add(name, _initial(name, shape, config, forget_bias, generator))
        if not learn_initial:
            for name in [n for n in self.weights if n.endswith("initial")]:
                self.weights[name].requires_grad_(False)
        if weight_norm:
            for name in [n for n, w in self.weights.items() if w.ndim > 1 and not n.endswith(("bias", "embedding"))]:
                self.weights[name + "/gain"] = nn.Parameter(_norm(name, self.weights[name].detach()))

    def _add(self, name: str, value: Tensor) -> None:
        self.weights[name.replace(".", "/")] = nn.Parameter(value)

    def weight(self, name: str) -> Tensor:
        """The weight of a name as in `Model`, or `sample.embedding` or `sample.convolution`: float32, with weight norm
        applied."""
        key = name.replace(".", "/")
        w = self.weights[key]
        if key + "/gain" in self.weights:
            w = w * (self.weights[key + "/gain"] / _norm(key, w))
        return _eight_bits(w) if name == self.rounded else w

    def tables(self) -> Tensor:
        """What each of the codes before adds to the sample level: [f, q, W]."""
        if not self.config.emb_size:
            return self.weight("sample.tables")
        e, convolution = self.weight("sample.embedding"), self.weight("sample.convolution")
        return self._linear(e, convolution.flatten(0, 1)).float().unflatten(1, convolution.shape[:2]).transpose(0, 1)

    def initial_state(self, batch: int) -> State:
        """The states with which `batch` sounds begin, for each tier and layer [batch, D or 2 D]."""
        c = self.config
        return [
            [self.weight(f"tier{i}.rnn{k}.initial").expand(batch, -1) for k in range(c.num_rnn_layers)]
            for i in range(len(c.frame_sizes))
        ]

    def forward(
        self, codes: Tensor, state: State | None = None, features: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Predicts codes, and gives the state to carry on with, where the next codes overlap these by the lookback.

        codes     int64 [batch, lookback + L], L a multiple of the largest frame
        state     None: the initial one
        features  float [batch, L, F] of codes[:, lookback:]; None: zeros

        Returns float32 logits [batch, L, q] for codes[:, lookback:], and the state. ValueError if L is no such
        multiple.
        """
        c, length = self.config, codes.shape[1] - self.config.lookback
        level, conditioning, after = self._frames(codes, state, features, None)
        h = F.embedding_bag(self._rows(codes), level.tables, mode="sum") + conditioning
        h = F.relu(h) if level.relu[0] else h
        for (w, bias), relu in zip(level.layers, level.relu[1:]):
            h = F.linear(h.to(w.dtype), w, bias)
            h = F.relu(h) if relu else h
        n = c.frame_sizes[0]
        return h.float().reshape(length // n, -1, n, c.q_levels).transpose(0, 1).reshape(-1, length, c.q_levels), after

    def loss(
        self,
        codes: Tensor,
        state: State | None = None,
        features: Tensor | None = None,
        counted: Tensor | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """Scores how well codes are predicted; its first result is what training makes smaller.

        codes, state, features  as in `forward`
        counted  bool [batch, L], False where a target is padding; None: all count
        dropout  leaves out some of the layers' inputs; None: nothing is left out

        Returns the sum of -ln p(code) over codes[:, lookback:], for how many the code was the likeliest, and the state.
        """
        c, n = self.config, self.config.frame_sizes[0]
        level, conditioning, after = self._frames(codes, state, features, dropout)
        targets = codes[:, c.lookback :]
        if counted is not None:
            targets = torch.where(counted, targets, -1)
        targets = targets.unflatten(1, (-1, n)).transpose(0, 1).reshape(-1)
        total, correct = sample_level.loss(
            self._rows(codes), targets, level.tables, conditioning, level.layers, level.relu
        )
        return total, correct, after

    def _frames(
        self, codes: Tensor, state: State | None, features: Tensor | None, dropout: Dropout | None
    ) -> tuple[_SampleLevel, Tensor, State]:
        """Runs the frame tiers. Gives the sample level's weights, its conditioning [frames * batch * n, W] and the
        states."""
        c = self.config
        batch, length = codes.shape[0], codes.shape[1] - c.lookback
        if length <= 0 or length % c.lookback:
            raise ValueError(f"{length} samples after the first {c.lookback}, expected a multiple of {c.lookback}")
        state = self.initial_state(batch) if state is None else state
        level = self._sample_level()
        after: State = [[] for _ in c.frame_sizes]
        above: Tensor | None = None
        for i in reversed(range(len(c.frame_sizes))):
            n = c.frame_sizes[i]
            frames = codes[:, c.lookback - n : codes.shape[1] - n].reshape(batch, -1, n).transpose(0, 1)
            x = self.seen[frames]
            if c.has_input_layer(i):
                x = self._linear(x, self.weight(f"tier{i}.input.weight"), self.weight(f"tier{i}.input.bias"))
            if i == 0 and features is not None:
                mean = features.reshape(batch, -1, n, c.features).mean(2).transpose(0, 1)
                x = x + self._linear(mean, self.weight("tier0.input.features"))
            if above is not None:
                x = x + above
            y, after[i] = self._stack(i, x, state[i], dropout)
            up, bias = (level.up, level.up_bias) if i == 0 else (self.weight(f"tier{i}.up.{p}") for p in PARTS)
            above = self._linear(y, up.flatten(0, 1), bias.flatten()).unflatten(2, up.shape[:2])
            if i:
                above = above.transpose(1, 2).flatten(0, 1)
        assert above is not None
        return level, above.flatten(0, 2), after

    def _rows(self, codes: Tensor) -> Tensor:
        """Says which rows of the tables each sample adds up: int64 [frames * batch * n, f]."""
        c, f = self.config, self.config.frame_sizes[0]
        windows = codes[:, c.lookback - f : -1].unfold(1, f, 1) + c.q_levels * torch.arange(f, device=codes.device)
        return windows.unflatten(1, (-1, f)).transpose(0, 1).reshape(-1, f)

    def _sample_level(self) -> _SampleLevel:
        """The tables and layers. Where nothing nonlinear follows the sum, as in PRiSM, the first layer folds into the
        tables and into what the lowest tier hands down: f * q + f products of a matrix instead of one a sample."""
        c = self.config
        tables, up, up_bias = self.tables().flatten(0, 1), *(self.weight(f"tier0.up.{p}") for p in PARTS)
        names = [f"sample.layer{k}" for k in range(len(c.sample_relu) - 1)]
        layers, relu = [(self.weight(f"{n}.weight"), self.weight(f"{n}.bias")) for n in names], list(c.sample_relu)
        if not relu[0] and len(layers) > 1:
            (w, bias), layers, relu = layers[0], layers[1:], relu[1:]
            tables = self._linear(tables, w).float()
            up = torch.matmul(w.to(self.precision), up.to(self.precision)).float()
            up_bias = F.linear(up_bias, w, bias)
        low = self.precision
        return _SampleLevel(tables, up, up_bias, [(w.to(low), b.to(low)) for w, b in layers], relu)

    def _linear(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        low = self.precision
        return F.linear(x.to(low), w.to(low), None if bias is None else bias.to(low))

    def _stack(self, tier: int, x: Tensor, state: list[Tensor], dropout: Dropout | None) -> tuple[Tensor, list[Tensor]]:
        """Turns a tier's input, x [frames, batch, D|n], into its output [frames, batch, D] and the layers' last
        states."""
        c = self.config
        below, total, after = x, None, []
        for layer in range(c.num_rnn_layers):
            name = f"tier{tier}.rnn{layer}"
            if layer == 0:
                w, into = self.weight(f"{name}.input"), x
            elif c.skip_conn and c.skip_style == "full":
                w = torch.cat([self.weight(f"{name}.below"), self.weight(f"{name}.input")], 1)
                into = torch.cat([below, x.to(below.dtype)], 2)
            else:
                w, into = self.weight(f"{name}.below"), below
            if dropout is not None:
                into = dropout(tier, layer, into)
            below, last = self._rnn(name, w, into, state[layer])
            after.append(last)
            if c.skip_conn:
                part = self._linear(below, self.weight(f"{name}.output"))
                total = part if total is None else total + part
        return (below if total is None else total + self.weight(f"tier{tier}.output_bias")), after

    def _rnn(self, name: str, w: Tensor, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        c, low = self.config, self.precision
        u, bias = self.weight(f"{name}.recurrent"), self.weight(f"{name}.bias")
        fast = x.is_cuda and (c.rnn_type == "lstm" or c.gru_reset_after)
        if not fast:
            projected, u = self._linear(x, w, bias), u.to(low)
            if c.rnn_type == "lstm":
                h, cell = state.split(c.dim, 1)
                out, cell = recurrence.lstm(projected, h, cell, u)
                return out, torch.cat([out[-1], cell], 1)
            if c.gru_reset_after:
                out = recurrence.gru(projected, state, u, self.weight(f"{name}.candidate"))
            else:
                out = recurrence.gru_reset_before(projected, state, u)
            return out, out[-1]
        # cuDNN
        weights = [p.to(low) for p in (w, u, bias)]
        if c.rnn_type == "lstm":
            h, cell = (s.to(low).contiguous()[None] for s in state.split(c.dim, 1))
            weights.append(torch.zeros_like(weights[2]))
            out, h, cell = torch.lstm(x.to(low), (h, cell), weights, True, 1, 0.0, self.training, False, False)
            return out, torch.cat([h[0], cell[0]], 1).float()
        candidate = self.weight(f"{name}.candidate").to(low)
        weights.append(torch.cat([candidate.new_zeros(2 * c.dim), candidate]))
        out, h = torch.gru(
            x.to(low), state.to(low).contiguous()[None], weights, True, 1, 0.0, self.training, False, False
        )
        return out, h[0].float()

    @torch.no_grad()
    def to_model(self, name: str = "model") -> Model:
        """The canonical model that has been learnt, its embedding folded into the tables in float64."""
        weights = {}
        for key in shapes(self.config):
            if key == "sample.tables" and self.config.emb_size:
                e, k = (self.weight(f"sample.{name}").double().cpu().numpy() for name in ("embedding", "convolution"))
                weights[key] = fold.tables(e, k.transpose(0, 2, 1))
            else:
                weights[key] = self.weight(key).detach().float().cpu().numpy().copy()
        return Model(self.config, weights, name=name)

    @classmethod
    def from_model(cls, model: Model, seed: int = 0, **options: Any) -> SampleRNN:
        """A network to go on training any model with, whose tables become parameters. `options` are those of the
        constructor."""
        network = cls(Config.from_dict({**model.config.to_dict(), "emb_size": 0}), seed, **options)
        with torch.no_grad():
            for key, value in model.weights.items():
                name = key.replace(".", "/")
                network.weights[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
                if name + "/gain" in network.weights:
                    network.weights[name + "/gain"].copy_(_norm(key, network.weights[name]))
        return network


def _normal(shape: tuple[int, ...], scale: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * scale


def _embedding(q: int, width: int, generator: torch.Generator) -> Tensor:
    """An embedding [q, width] to begin with: random, plus slow cosines over the code, so that neighbouring codes start
    out alike."""
    code = (torch.arange(q) + 0.5) / q
    waves = torch.cos(math.pi * code[:, None] * torch.arange(1, min(width, 16) + 1)[None])
    out = 0.3 * torch.randn(q, width, generator=generator)
    out[:, : waves.shape[1]] += waves
    return out


def _eight_bits(w: Tensor) -> Tensor:
    """Rounds w [out, in] as the engine does, in 127 steps to the largest of an output. Its gradient is that of w."""
    step = w.detach().abs().amax(1, keepdim=True).clamp_min(1e-30) / 127
    return w + ((w / step).round() * step - w).detach()


def _norm(name: str, w: Tensor) -> Tensor:
    """The norm of each output over all that goes into it, shaped to divide `w`. `name` tells which axis is the
    outputs'."""
    if name.endswith("tables"):
        return w.norm(dim=(0, 1), keepdim=True)  # [f, q, W]
    if name.endswith("convolution"):
        return w.norm(dim=(0, 2), keepdim=True)  # [f, W, E]
    return w.norm(dim=-1, keepdim=True)  # [..., out, in]


def _initial(
    name: str, shape: tuple[int, ...], config: Config, forget_bias: float, generator: torch.Generator
) -> Tensor:
    if name.endswith(".bias") and ".rnn" in name and config.rnn_type == "lstm":
        bias = torch.zeros(shape)
        bias[config.dim : 2 * config.dim] = forget_bias
        return bias
    if len(shape) == 1 or name.endswith("up.bias"):
        return torch.zeros(shape)
    if name.endswith(".recurrent"):
        blocks = [
            torch.linalg.qr(torch.randn(config.dim, config.dim, generator=generator))[0] for _ in range(config.gates)
        ]
        return torch.cat(blocks)
    if name == "sample.tables":
        return _normal(shape, shape[0] ** -0.5, generator)
    relu_follows = name.startswith("sample.layer") and shape[0] != config.q_levels
    return _normal(shape, (2.0 if relu_follows else 1.0) ** 0.5 * shape[-1] ** -0.5, generator)
