"""deepsound's and a2aaron's checkpoints with random weights, and what these systems compute with them, by torch's own
layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = OrderedDict[str, Tensor]


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Of about unit gain from the last axes to the first."""
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 10
    return torch.randn(*shape, generator=generator) * fan_in**-0.5


# ---------------------------------------------------------------- deepsound


@dataclass(frozen=True)
class Deepsound:
    ratios: list[int] = field(default_factory=lambda: [4])
    """samples in a frame of tier 0, then frames of each tier in one of the next"""
    n_rnn: int = 1
    dim: int = 6
    q: int = 16
    weight_norm: bool = True

    @property
    def sizes(self) -> list[int]:
        return [int(n) for n in np.cumprod(self.ratios)]


def deepsound_state(s: Deepsound, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    out: State = OrderedDict()

    def convolution(name: str, *shape: int, bias: bool = True) -> None:
        if s.weight_norm:
            out[f"{name}.weight_g"] = torch.rand(shape[0], 1, 1, generator=generator) + 0.5
            out[f"{name}.weight_v"] = _normal(shape, generator)
        else:
            out[f"{name}.weight"] = _normal(shape, generator)
        if bias:
            out[f"{name}.bias"] = _normal(shape[:1], generator)

    for i, (n, r) in enumerate(zip(s.sizes, s.ratios)):
        tier = f"model.frame_level_rnns.{i}"
        out[f"{tier}.h0"] = _normal((s.n_rnn, s.dim), generator)
        convolution(f"{tier}.input_expand", s.dim, n, 1)
        for name, w in nn.GRU(s.dim, s.dim, s.n_rnn).named_parameters():
            out[f"{tier}.rnn.{name}"] = _normal(w.shape, generator)
        out[f"{tier}.upsampling.bias"] = _normal((s.dim, r), generator)
        convolution(f"{tier}.upsampling.conv_t", s.dim, s.dim, r, bias=False)
    mlp = "model.sample_level_mlp"
    out[f"{mlp}.embedding.weight"] = _normal((s.q, s.q), generator)
    convolution(f"{mlp}.input", s.dim, s.q, s.ratios[0], bias=False)
    convolution(f"{mlp}.hidden", s.dim, s.dim, 1)
    convolution(f"{mlp}.output", s.q, s.dim, 1)
    return out


def _kernel(p: State, name: str) -> Tensor:
    if f"{name}.weight" in p:
        return p[f"{name}.weight"]
    v, g = p[f"{name}.weight_v"], p[f"{name}.weight_g"]
    return v * g / v.flatten(1).norm(dim=1)[:, None, None]


@torch.no_grad()
def deepsound_log_probabilities(s: Deepsound, state: State, codes: np.ndarray) -> np.ndarray:
    """codes (batch, lookback + L) -> (batch, L, q), from h0"""
    p = OrderedDict((name, w.double()) for name, w in state.items())
    given, lookback, above = torch.as_tensor(codes), s.sizes[-1], None
    for i in reversed(range(len(s.ratios))):
        tier, n, r = f"model.frame_level_rnns.{i}", s.sizes[i], s.ratios[i]
        frames = given[:, lookback - n : given.shape[1] - n].unflatten(1, (-1, n))
        x = 2 * (frames.double() / (s.q / 2) - 1.0)
        x = F.conv1d(x.mT, _kernel(p, f"{tier}.input_expand"), p[f"{tier}.input_expand.bias"]).mT
        rnn = nn.GRU(s.dim, s.dim, s.n_rnn, batch_first=True).double()
        rnn.load_state_dict({name: p[f"{tier}.rnn.{name}"] for name, _ in rnn.named_parameters()})
        x = x if above is None else x + above
        h, _ = rnn(x, p[f"{tier}.h0"][:, None].repeat(1, len(x), 1))
        up = F.conv_transpose1d(h.mT, _kernel(p, f"{tier}.upsampling.conv_t"), stride=r)
        above = (up + p[f"{tier}.upsampling.bias"].repeat(1, frames.shape[1])).mT
    mlp, f = "model.sample_level_mlp", s.ratios[0]
    embedded = F.embedding(given[:, lookback - f : -1], p[f"{mlp}.embedding.weight"]).mT
    assert above is not None
    h = F.relu(F.conv1d(embedded, _kernel(p, f"{mlp}.input")) + above.mT)
    h = F.relu(F.conv1d(h, _kernel(p, f"{mlp}.hidden"), p[f"{mlp}.hidden.bias"]))
    logits = F.conv1d(h, _kernel(p, f"{mlp}.output"), p[f"{mlp}.output.bias"]).mT
    return F.log_softmax(logits, -1).numpy()


# ---------------------------------------------------------------- a2aaron


@dataclass(frozen=True)
class A2aaron:
    frame: int = 4
    hidden: int = 6
    layers: int = 1
    embed: int = 5
    q: int = 16

    def modules(self) -> tuple[nn.LSTM, nn.Linear, list[nn.Linear]]:
        """float64: the frame level, its linear layer, the sample level's four"""
        h = self.hidden
        level = [nn.Linear(self.frame * self.embed, h), nn.Linear(h, h), nn.Linear(h, h), nn.Linear(h, self.q)]
        return (
            nn.LSTM(self.frame, h, self.layers, batch_first=True).double(),
            nn.Linear(h, self.frame * h).double(),
            [layer.double() for layer in level],
        )


def a2aaron_state(s: A2aaron, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    lstm, linear, level = s.modules()
    modules: dict[str, nn.Module] = {"frame_level_rnn.lstm": lstm, "frame_level_rnn.linear": linear}
    modules |= {f"sample_predictor.linear_{k + 1}": layer for k, layer in enumerate(level)}
    out: State = OrderedDict({"sample_predictor.embed.weight": torch.randn(s.q, s.embed, generator=generator)})
    for prefix, module in modules.items():
        for name, w in module.named_parameters():
            out[f"{prefix}.{name}"] = _normal(w.shape, generator)
    return out


def a2aaron_checkpoint(state: State) -> dict[str, object]:
    """The whole object that the system saves."""
    optimizer = torch.optim.Adam([nn.Parameter(w) for w in state.values()])
    for group in optimizer.param_groups:
        for w in group["params"]:
            w.grad = torch.zeros_like(w)
    optimizer.step()
    return {"model": state, "optim": optimizer.state_dict(), "epoch": 3, "iter": 200, "losses": [5.5, 5.25]}


@torch.no_grad()
def a2aaron_logits(s: A2aaron, state: State, codes: np.ndarray, decode: np.ndarray) -> np.ndarray:
    """codes (batch, frame + L), decode [q] the audio of each code -> (batch, L, q), from zeros. No ReLU anywhere."""
    lstm, linear, level = s.modules()
    for prefix, module in (("frame_level_rnn.lstm", lstm), ("frame_level_rnn.linear", linear)):
        module.load_state_dict({name: state[f"{prefix}.{name}"].double() for name, _ in module.named_parameters()})
    for k, layer in enumerate(level):
        layer.load_state_dict({n: state[f"sample_predictor.linear_{k + 1}.{n}"].double() for n in ("weight", "bias")})
    given = torch.as_tensor(codes)
    frames = 2 * torch.as_tensor(decode, dtype=torch.float64)[given[:, : -s.frame]].unflatten(1, (-1, s.frame))
    conditioning = linear(lstm(frames)[0]).reshape(len(given), -1, s.hidden)
    windows = given[:, :-1].unfold(1, s.frame, 1)
    embedded = state["sample_predictor.embed.weight"].double()[windows].flatten(2)
    z = level[0](embedded) + conditioning
    for layer in level[1:]:
        z = layer(z)
    return z.numpy()
