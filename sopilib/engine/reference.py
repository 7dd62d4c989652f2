"""The readable engine: one sample at a time, in torch, to test the native engine against.

The equations are in docs/model.md. In shapes B is voices, D dim, W mlp_dim, n the samples of a frame, q q_levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sopilib.model import Model, frame_table

WINDOW = 512  # samples over which a voice is loud or quiet
GAMMA, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


def _mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def coin(seed: int, voice: int, counter: int) -> float:
    """Draws number `counter` of a voice's random stream, in [0, 1): the output of SplitMix64 for a counter."""
    key = _mix(seed + GAMMA * (voice + 1) & MASK)
    return (_mix(key + GAMMA * (counter + 1) & MASK) >> 40) / (1 << 24)


def probabilities(logits: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Tensor:
    """The probabilities of the codes, float64 [q]: softmax(logits / temperature), with those that may not be drawn set
    to 0. They need not sum to 1.

    logits       float [q]
    temperature  above 0
    top_k        first all but the k likeliest are ruled out; 0: none
    top_p        then those outside the smallest set that has this share of the mass that is left; 1: none
    min_p        then those less than this times as likely as the likeliest; 0: none

    Of equally likely codes the lower comes first.
    """
    ranks = torch.sort(logits, descending=True, stable=True).indices
    p = torch.softmax(logits.double() / temperature, 0)[ranks]
    if top_k > 0:
        p[top_k:] = 0
    if top_p < 1:
        p[p.cumsum(0) - p >= top_p * p.sum()] = 0
    p[p < min_p * p[0]] = 0
    return torch.zeros_like(p).scatter_(0, ranks, p)


def draw(p: Tensor, u: float) -> int:
    """Gives the code whose share of [0, 1) holds u. p [q] need not sum to 1."""
    edges = p.cumsum(0)
    return min(int(torch.searchsorted(edges, u * edges[-1], right=True)), int(p.nonzero()[-1]))


class ReferenceEngine:
    """A plain and slow engine in torch, to be read and to test the native one against. It has the same methods, whose
    arguments `sopilib.Engine` has checked. B is the number of voices, D `config.dim`, q `config.q_levels`."""

    def __init__(self, model: Model, voices: int, device: str = "cpu") -> None:
        self.model, self.config, self.voices, self.device = model, model.config, voices, device
        self.w = {name: torch.tensor(w, dtype=torch.float32, device=device) for name, w in model.weights.items()}
        self.seen = torch.from_numpy(frame_table(model.config)).to(device)
        self.reset(0)

    def clone(self, voices: int) -> ReferenceEngine:
        """A new engine of the same model on the same device, with so many voices, as it is after `reset(0)`."""
        return ReferenceEngine(self.model, voices, self.device)

    def reset(self, seed: int) -> None:
        """Goes back to the beginning: to a past of silence, the initial states, and the random streams of this seed."""
        c = self.config
        self.position = 0  # samples since frames began, modulo lookback
        self.history = torch.full((self.voices, c.lookback), c.q_zero, device=self.device)
        self.rnn = {
            f"tier{i}.rnn{k}": self.w[f"tier{i}.rnn{k}.initial"].repeat(self.voices, 1)
            for i in range(len(c.frame_sizes))
            for k in range(c.num_rnn_layers)
        }
        self.output = [torch.zeros(self.voices, c.dim, device=self.device) for _ in c.frame_sizes]
        self.features = torch.zeros(self.voices, c.features, device=self.device)  # that the next frame hears
        self.emphasis = self.model.silence(self.voices)
        self.recent = np.zeros((self.voices, WINDOW), np.int32)
        self.replace_history(self.history)
        self.seed = np.full(self.voices, seed, np.uint64)
        self.drawn = np.zeros(self.voices, np.uint64)

    # ------------------------------------------------------------ one sample

    def run_tiers(self) -> None:
        """Lets every tier whose frame is complete hear it."""
        for i in reversed(range(len(self.config.frame_sizes))):
            if self.position % self.config.frame_sizes[i] == 0:
                self.output[i] = self.run_tier(i)

    def run_tier(self, i: int) -> Tensor:
        """Lets tier i hear its newest frame: its RNN states move on, and its output [B, D] is given."""
        c, w = self.config, self.w
        n = c.frame_sizes[i]
        x = self.seen[self.history[:, -n:]]  # [B, n]
        if c.has_input_layer(i):
            x = F.linear(x, w[f"tier{i}.input.weight"], w[f"tier{i}.input.bias"])  # [B, D]
        if i == 0 and c.features:
            x = x + F.linear(self.features, w["tier0.input.features"])
        if i + 1 < len(c.frame_sizes):
            x = x + self.hand_down(i + 1, self.position % c.frame_sizes[i + 1] // n)
        below, total = x, torch.zeros(self.voices, c.dim, device=self.device)
        for k in range(c.num_rnn_layers):
            name = f"tier{i}.rnn{k}"
            gates = w[f"{name}.bias"]
            if f"{name}.input" in w:
                gates = gates + F.linear(x, w[f"{name}.input"])
            if f"{name}.below" in w:
                gates = gates + F.linear(below, w[f"{name}.below"])
            self.rnn[name] = self.cell(name, gates, self.rnn[name])
            below = self.rnn[name][:, : c.dim]
            if c.skip_conn:
                total = total + F.linear(below, w[f"{name}.output"])
        return total + w[f"tier{i}.output_bias"] if c.skip_conn else below

    def cell(self, name: str, x: Tensor, state: Tensor) -> Tensor:
        """Gives an RNN layer's new state from x [B, G*D], which comes from the input, bias included, and the state
        before, [B, D] or [B, 2D]."""
        d, u = self.config.dim, self.w[f"{name}.recurrent"]
        h = state[:, :d]
        if self.config.rnn_type == "lstm":
            i, f, g, o = (x + F.linear(h, u)).chunk(4, 1)
            cell = torch.sigmoid(f) * state[:, d:] + torch.sigmoid(i) * torch.tanh(g)
            return torch.cat([torch.sigmoid(o) * torch.tanh(cell), cell], 1)
        r, z = torch.sigmoid(x[:, : 2 * d] + F.linear(h, u[: 2 * d])).chunk(2, 1)
        if self.config.gru_reset_after:
            n = torch.tanh(x[:, 2 * d :] + r * (F.linear(h, u[2 * d :]) + self.w[f"{name}.candidate"]))
        else:
            n = torch.tanh(x[:, 2 * d :] + F.linear(r * h, u[2 * d :]))
        return (1 - z) * n + z * h

    def hand_down(self, i: int, part: int) -> Tensor:
        """What tier i's present frame gives to the level below for the part of it with this number: [B, V]."""
        return F.linear(self.output[i], self.w[f"tier{i}.up.weight"][part], self.w[f"tier{i}.up.bias"][part])

    def logits(self) -> Tensor:
        """The logits of the next code, [B, q]."""
        c, w = self.config, self.w
        f = c.frame_sizes[0]
        codes = self.history[:, -f:]
        h = w["sample.tables"][torch.arange(f, device=self.device), codes].sum(1) + self.hand_down(0, self.position % f)
        h = F.relu(h) if c.sample_relu[0] else h
        for k, relu in enumerate(c.sample_relu[1:]):
            h = F.linear(h, w[f"sample.layer{k}.weight"], w[f"sample.layer{k}.bias"])
            h = F.relu(h) if relu else h
        return h

    def push(self, codes: Tensor) -> None:
        """Appends one code for each voice, int64 [B], to the past."""
        self.sound(codes.cpu().numpy())
        self.history = torch.cat([self.history[:, 1:], codes[:, None]], 1)
        self.position = (self.position + 1) % self.config.lookback

    def sound(self, codes: np.ndarray) -> np.ndarray:
        """What the codes of one moment, int [B], sound like after those before them: float32 [B]."""
        c = self.config
        y = self.model.decode_table[codes]
        for k, a in enumerate(c.emphasis):
            y = y + np.float32(a) * self.emphasis[:, k]
            y[np.abs(y) < np.float32(1e-15)] = 0
            self.emphasis[:, k] = y
        y = np.float32(c.level) * y
        y = np.clip(y, -1, 1) if c.emphasis else y
        newest = np.rint(np.clip(y, -1, 1) * np.float32(32767)).astype(np.int32)
        self.recent = np.concatenate([self.recent[:, 1:], newest[:, None]], 1)
        return y

    def quieter(self, voice: int, level: float) -> bool:
        """Whether the root mean square of the voice's last samples is less than `level` dB below full scale."""
        energy = int((self.recent[voice].astype(np.int64) ** 2).sum())
        return energy < round(WINDOW * 32767**2 * 10 ** (level / 10))

    def replace_history(self, codes: Tensor) -> None:
        """Puts codes [B, lookback] in the place of the past, as if no others had ever been heard."""
        self.history, self.emphasis = codes, self.model.silence(self.voices)
        self.recent[:] = 0
        for of_moment in codes.T.cpu().numpy():
            self.sound(of_moment)

    # ------------------------------------------------------------ sequences

    @torch.no_grad()
    def teacher_force(self, codes: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Replaces the past by the first lookback codes and consumes the rest.

        codes     int [B, lookback + n]
        features  float [B, frames, F], one row for each of the lowest tier's frames

        Returns float32 logits [B, n, q] for codes[:, lookback:].
        """
        lookback = self.config.lookback
        given = torch.as_tensor(codes, dtype=torch.int64, device=self.device)
        self.replace_history(given[:, :lookback])
        self.position = 0
        out = torch.empty(self.voices, given.shape[1] - lookback, self.config.q_levels)
        for t in range(out.shape[1]):
            self.features = torch.as_tensor(features[:, t // self.config.frame_sizes[0]], device=self.device)
            self.run_tiers()
            out[:, t] = self.logits().cpu()
            self.push(given[:, lookback + t])
        return out.numpy()

    @torch.no_grad()
    def prime(self, codes: np.ndarray, features: np.ndarray) -> None:
        """Appends codes, int [B, n], to the past, and runs them through all tiers. All of them hear the same features,
        float [B, F]."""
        self.features = torch.as_tensor(features, device=self.device)
        given = torch.as_tensor(codes, dtype=torch.int64, device=self.device)
        for t in range(given.shape[1]):
            self.run_tiers()
            self.push(given[:, t])

    @torch.no_grad()
    def generate(
        self,
        temperature: np.ndarray,
        top_k: np.ndarray,
        top_p: np.ndarray,
        min_p: np.ndarray,
        rest: np.ndarray,
        rest_level: np.ndarray,
        features: np.ndarray,
    ) -> np.ndarray:
        """Draws n codes for each voice, int32 [B, n].

        temperature          float [B, n], above 0
        top_k, top_p, min_p  [B], as `probabilities` has them
        rest                 [B], the temperature where a voice is quieter than rest_level [B], in dB; 0: its own
        features             float [B, F], which all of these codes hear
        """
        self.features = torch.as_tensor(features, device=self.device)
        voices, n = temperature.shape
        out = np.empty((voices, n), np.int32)
        for t in range(n):
            self.run_tiers()
            logits = self.logits().cpu()
            for v in range(voices):
                rests = rest[v] > 0 and self.quieter(v, float(rest_level[v]))
                hot = float(rest[v] if rests else temperature[v, t])
                p = probabilities(logits[v], hot, int(top_k[v]), float(top_p[v]), float(min_p[v]))
                u = coin(int(self.seed[v]), v, int(self.drawn[v]))
                self.drawn[v] += np.uint64(1)
                out[v, t] = draw(p, u)
            self.push(torch.as_tensor(out[:, t], dtype=torch.int64, device=self.device))
        return out

    # ------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Copies everything that decides what comes next, by name. With it any engine of the same model and number of
        voices goes on alike."""
        out: dict[str, Any] = {"position": self.position, "history": self.history.cpu().numpy().astype(np.int32)}
        out["recent"] = self.recent.copy()
        if self.config.emphasis:
            out["emphasis"] = self.emphasis.copy()
        out |= {"seed": self.seed.copy(), "drawn": self.drawn.copy()}
        out |= {name: h.cpu().numpy().copy() for name, h in self.rnn.items()}
        return out | {f"tier{i}.output": y.cpu().numpy().copy() for i, y in enumerate(self.output)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave, which stays as it is."""
        self.position = state["position"]
        self.replace_history(torch.as_tensor(state["history"], dtype=torch.int64, device=self.device))
        if "recent" in state:
            self.recent = state["recent"].copy()
        if "emphasis" in state:
            self.emphasis = state["emphasis"].copy()
        self.seed, self.drawn = state["seed"].copy(), state["drawn"].copy()
        for name in self.rnn:
            self.rnn[name] = torch.tensor(state[name], device=self.device)
        self.output = [torch.tensor(state[f"tier{i}.output"], device=self.device) for i in range(len(self.output))]
