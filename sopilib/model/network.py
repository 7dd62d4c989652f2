"""The torch module that is trained: the canonical weights as parameters, whole sequences at a time.

Equations: docs/model.md. The step-by-step twin of this file is `sopilib.engine.reference`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sopilib.model.config import Config
from sopilib.model.weights import Model, shapes

State = list[list[Tensor]]
"""Per tier, per layer: [batch, D], or for LSTM [batch, 2D] (h then c)."""


class SampleRNN(nn.Module):
    """`forward(codes, state)` -> logits and the state after them.

    The parameters are those of `Model`, except that with `emb_size` > 0 `sample.tables` is the product of
    `sample.embedding` [q, E] and `sample.convolution` [f, W, E] (folded by `to_model`).
    """

    def __init__(self, config: Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
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
                self._add(name, _initial(name, shape, config, generator))

    def _add(self, name: str, value: Tensor) -> None:
        self.weights[name.replace(".", "/")] = nn.Parameter(value)

    def _get(self, name: str) -> Tensor:
        return self.weights[name.replace(".", "/")]

    def tables(self) -> Tensor:
        """[f, q, W]: what each of the codes before adds to the sample level."""
        if not self.config.emb_size:
            return self._get("sample.tables")
        return torch.einsum("qe,fwe->fqw", self._get("sample.embedding"), self._get("sample.convolution"))

    def initial_state(self, batch: int) -> State:
        c = self.config
        return [
            [self._get(f"tier{i}.rnn{k}.initial").expand(batch, -1) for k in range(c.num_rnn_layers)]
            for i in range(len(c.frame_sizes))
        ]

    def forward(
        self, codes: Tensor, state: State | None = None, features: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """codes int64 [batch, lookback + L], L a multiple of the largest frame -> logits [batch, L, q] for
        codes[:, lookback:], and the state to carry on with (codes overlapping by lookback).
        features float [batch, L, F] of codes[:, lookback:]; None: zeros."""
        c = self.config
        batch, length = codes.shape[0], codes.shape[1] - c.lookback
        if length <= 0 or length % c.lookback:
            raise ValueError(f"{length} samples after the first {c.lookback}, expected a multiple of {c.lookback}")
        state = self.initial_state(batch) if state is None else state
        after: State = [[] for _ in c.frame_sizes]
        above: Tensor | None = None
        for i in reversed(range(len(c.frame_sizes))):
            n = c.frame_sizes[i]
            frames = codes[:, c.lookback - n : codes.shape[1] - n].reshape(batch, -1, n)
            x = frames.to(self._get("tier0.up.weight").dtype) * c.frame_scale + c.frame_offset
            if c.has_input_layer(i):
                x = F.linear(x, self._get(f"tier{i}.input.weight"), self._get(f"tier{i}.input.bias"))
            if i == 0 and features is not None:
                mean = features.reshape(batch, -1, n, c.features).mean(2)
                x = x + F.linear(mean, self._get("tier0.input.features"))
            if above is not None:
                x = x + above
            y, after[i] = self._stack(i, x, state[i])
            up, bias = self._get(f"tier{i}.up.weight"), self._get(f"tier{i}.up.bias")
            above = F.linear(y, up.flatten(0, 1), bias.flatten()).reshape(batch, -1, up.shape[1])
        f, q = c.frame_sizes[0], c.q_levels
        rows = codes[:, c.lookback - f : -1].unfold(1, f, 1) + q * torch.arange(f, device=codes.device)
        h = F.embedding_bag(rows.reshape(-1, f), self.tables().flatten(0, 1), mode="sum")
        assert above is not None
        h = h + above.reshape(h.shape)
        h = F.relu(h) if c.sample_relu[0] else h
        for k, relu in enumerate(c.sample_relu[1:]):
            h = F.linear(h, self._get(f"sample.layer{k}.weight"), self._get(f"sample.layer{k}.bias"))
            h = F.relu(h) if relu else h
        return h.reshape(batch, length, q), after

    def _stack(self, tier: int, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """x [batch, frames, D|n] -> the tier's output [batch, frames, D] and the layers' last states."""
        c = self.config
        below, total, after = x, None, []
        for layer in range(c.num_rnn_layers):
            name = f"tier{tier}.rnn{layer}"
            if layer == 0:
                w, into = self._get(f"{name}.input"), x
            elif c.skip_conn and c.skip_style == "full":
                w, into = (
                    torch.cat([self._get(f"{name}.below"), self._get(f"{name}.input")], 1),
                    torch.cat([below, x], 2),
                )
            else:
                w, into = self._get(f"{name}.below"), below
            below, last = self._rnn(name, w, into, state[layer])
            after.append(last)
            if c.skip_conn:
                part = F.linear(below, self._get(f"{name}.output"))
                total = part if total is None else total + part
        return (below if total is None else total + self._get(f"tier{tier}.output_bias")), after

    def _rnn(self, name: str, w: Tensor, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        c = self.config
        u, bias = self._get(f"{name}.recurrent"), self._get(f"{name}.bias")
        if c.rnn_type == "lstm":
            h, cell = (s.contiguous()[None] for s in state.split(c.dim, 1))
            out, h, cell = torch.lstm(
                x, (h, cell), [w, u, bias, torch.zeros_like(bias)], True, 1, 0.0, self.training, False, True
            )
            return out, torch.cat([h[0], cell[0]], 1)
        if c.gru_reset_after:
            hidden_bias = torch.cat([bias.new_zeros(2 * c.dim), self._get(f"{name}.candidate")])
            out, h = torch.gru(
                x, state[None].contiguous(), [w, u, bias, hidden_bias], True, 1, 0.0, self.training, False, True
            )
            return out, h[0]
        h, outs = state, []
        for xr, xz, xn in (step.chunk(3, 1) for step in F.linear(x, w, bias).unbind(1)):
            gates = F.linear(h, u[: 2 * c.dim])
            r, z = torch.sigmoid(xr + gates[:, : c.dim]), torch.sigmoid(xz + gates[:, c.dim :])
            n = torch.tanh(xn + F.linear(r * h, u[2 * c.dim :]))
            h = z * h + (1 - z) * n
            outs.append(h)
        return torch.stack(outs, 1), h

    @torch.no_grad()
    def to_model(self, name: str = "model") -> Model:
        """The canonical weights, embedding folded into the tables in float64."""
        weights = {}
        for key in shapes(self.config):
            if key == "sample.tables" and self.config.emb_size:
                e, k = self._get("sample.embedding").double(), self._get("sample.convolution").double()
                weights[key] = torch.einsum("qe,fwe->fqw", e, k).float().cpu().numpy()
            else:
                weights[key] = self._get(key).detach().float().cpu().numpy().copy()
        return Model(self.config, weights, name=name)

    @classmethod
    def from_model(cls, model: Model) -> SampleRNN:
        """To go on training any model; its tables become parameters."""
        config = Config.from_dict({**model.config.to_dict(), "emb_size": 0})
        network = cls(config)
        with torch.no_grad():
            for key, value in model.weights.items():
                network._get(key).copy_(torch.from_numpy(np.ascontiguousarray(value)))
        return network


def _normal(shape: tuple[int, ...], scale: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * scale


def _embedding(q: int, width: int, generator: torch.Generator) -> Tensor:
    """[q, width]: random, plus slow cosines over the code, so that neighbouring codes start out alike."""
    code = (torch.arange(q) + 0.5) / q
    waves = torch.cos(math.pi * code[:, None] * torch.arange(1, min(width, 16) + 1)[None])
    out = 0.3 * torch.randn(q, width, generator=generator)
    out[:, : waves.shape[1]] += waves
    return out


def _initial(name: str, shape: tuple[int, ...], config: Config, generator: torch.Generator) -> Tensor:
    if name.endswith(".bias") and ".rnn" in name and config.rnn_type == "lstm":
        bias = torch.zeros(shape)
        bias[config.dim : 2 * config.dim] = 1.0  # forget gates start open
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
