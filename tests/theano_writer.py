"""Theano checkpoints with random weights, as Python 2 pickles them, and what the system computes with them.

The forward pass is plain NumPy in the system's own terms, one chunk of codes at a time, float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Shape:
    """`big` > 0: three_tier. `emb` 0: one-hot. `features` > 0: Dadabots' local conditioning."""

    rnn: str = "GRU"
    n_rnn: int = 1
    frame: int = 4
    big: int = 0
    dim: int = 6
    emb: int = 5
    q: int = 16
    skip: bool = False
    weight_norm: bool = True
    features: int = 0

    @property
    def tiers(self) -> list[tuple[str, int, int]]:
        """name, samples in a frame, vectors handed down per frame; largest frames first"""
        low = ("FrameLevel", self.frame, self.frame)
        return [("BigFrameLevel", self.big, self.big // self.frame), low] if self.big else [low]

    @property
    def overlap(self) -> int:
        return self.big or self.frame


def parameters(s: Shape, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    out: Arrays = {}

    def linear(name: str, inputs: list[int], columns: int, bias: bool = False) -> None:
        for k, n in enumerate(inputs):
            out[f"{name}.W{k}"] = rng.standard_normal((n, columns)) / np.sqrt(n)
            if s.weight_norm:
                out[f"{name}.g{k}"] = rng.uniform(0.5, 1.5, columns)
        if bias:
            out[f"{name}.b"] = rng.normal(0, 0.3, columns)

    d, gates = s.dim, 3 if s.rnn == "GRU" else 4
    for tier, n, r in s.tiers:
        width = n
        if s.features:
            linear(f"{tier}.rnn_inp_fusion", [n, s.features], d, bias=True)
            width = d
        elif s.big and tier == "FrameLevel":
            linear(f"{tier}.InputExpand", [n], d, bias=True)
            width = d
        for k in range(1, s.n_rnn + 1):
            step = f"{tier}.{s.rnn}{k}{'+inpskip' if s.skip and k > 1 else ''}.Step"
            into = width if k == 1 else d + (width if s.skip else 0)
            linear(f"{step}.Input", [into], gates * d, bias=s.rnn == "GRU")
            if s.rnn == "GRU":
                linear(f"{step}.Recurrent_Gates", [d], 2 * d)
                linear(f"{step}.Recurrent_Candidate", [d], d)
            else:
                linear(f"{step}.Recurrent_Gates", [d], 4 * d)
                out[f"{step}.b"] = rng.normal(0, 0.5, 4 * d)
            if s.skip:
                linear(outskip(s, tier, k), [d], d, bias=k == 1)
        out[f"{tier}.h0"] = rng.normal(0, 0.5, (s.n_rnn, d if s.rnn == "GRU" else 2 * d))
        linear(f"{tier}.Output", [d], r * d, bias=True)
    if s.big:
        linear("BigFrameLevel.IndependentPreds", [d], s.q * s.big, bias=True)
    if s.emb:
        out["SampleLevel.Embedding"] = rng.standard_normal((s.q, s.emb))
    linear("SampleLevel.L1_PrevSamples", [s.frame * (s.emb or s.q)], d)
    for name, columns in (("L2", d), ("L3", d), ("Output", s.q)):
        linear(f"SampleLevel.{name}", [d], columns, bias=True)
    return {name: np.asfortranarray(w, np.float32) for name, w in out.items()}


def outskip(s: Shape, tier: str, k: int) -> str:
    return f"{tier}.{s.rnn}{k if s.rnn == 'LSTM' else ''}.outskip{k}y"


# ---------------------------------------------------------------- what the system computes


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class Theano:
    """`forward` goes on with the states that the call before left."""

    def __init__(self, s: Shape, p: Mapping[str, np.ndarray]) -> None:
        self.s, self.p = s, {name: w.astype(np.float64) for name, w in p.items()}
        self.state: dict[str, np.ndarray] = {}

    def linear(self, name: str, *inputs: np.ndarray) -> np.ndarray:
        out = np.zeros(())
        for k, x in enumerate(inputs):
            w = self.p[f"{name}.W{k}"]
            if f"{name}.g{k}" in self.p:
                w = w * (self.p[f"{name}.g{k}"] / np.linalg.norm(w, axis=0))
            out = out + x @ w
        return out + self.p.get(f"{name}.b", 0.0)

    def forward(self, codes: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """codes (batch, overlap + L), features (batch, L, F) of codes[:, overlap:] -> logits (batch, L, q)"""
        s, batch, above = self.s, len(codes), None
        for tier, n, _ in s.tiers:
            frames = codes[:, s.overlap - n : codes.shape[1] - n].reshape(batch, -1, n)
            x = 2 * (frames / (s.q // 2) - 1.0)
            if s.features:
                assert features is not None
                x = self.linear(f"{tier}.rnn_inp_fusion", x, features.reshape(batch, -1, n, s.features).mean(2))
            elif s.big and tier == "FrameLevel":
                x = self.linear(f"{tier}.InputExpand", x) + above
            above = self.linear(f"{tier}.Output", self.stack(tier, x)).reshape(batch, -1, s.dim)
        windows = np.lib.stride_tricks.sliding_window_view(codes[:, s.overlap - s.frame : -1], s.frame, axis=1)
        rows = self.p["SampleLevel.Embedding"] if s.emb else np.eye(s.q)
        h = self.linear("SampleLevel.L1_PrevSamples", rows[windows].reshape(batch, windows.shape[1], -1)) + above
        for name in ("L2", "L3"):
            h = np.maximum(self.linear(f"SampleLevel.{name}", h), 0)
        return self.linear("SampleLevel.Output", h)

    def stack(self, tier: str, x: np.ndarray) -> np.ndarray:
        s, below, total = self.s, x, np.zeros(())
        for k in range(1, s.n_rnn + 1):
            skips = s.skip and k > 1
            step = f"{tier}.{s.rnn}{k}{'+inpskip' if skips else ''}.Step"
            below = self.rnn(step, np.concatenate([below, x], 2) if skips else below, self.p[f"{tier}.h0"][k - 1])
            if s.skip:
                total = total + self.linear(outskip(s, tier, k), below)
        return total if s.skip else below

    def rnn(self, step: str, x: np.ndarray, h0: np.ndarray) -> np.ndarray:
        d, outs = self.s.dim, []
        state = self.state.get(step, np.broadcast_to(h0, (len(x), len(h0))))
        for into in self.linear(f"{step}.Input", x).swapaxes(0, 1):
            h = state[:, :d]
            recurrent = self.linear(f"{step}.Recurrent_Gates", h)
            if self.s.rnn == "GRU":
                z, r = np.split(sigmoid(into[:, : 2 * d] + recurrent), 2, 1)
                candidate = np.tanh(into[:, 2 * d :] + self.linear(f"{step}.Recurrent_Candidate", r * h))
                state = z * candidate + (1 - z) * h
            else:
                i, f, o, g = np.split(into + recurrent + self.p[f"{step}.b"], 4, 1)
                c = sigmoid(f) * state[:, d:] + sigmoid(i) * np.tanh(g)
                state = np.concatenate([sigmoid(o) * np.tanh(c), c], 1)
            outs.append(state[:, :d])
        self.state[step] = state
        return np.stack(outs, 1)


# ---------------------------------------------------------------- as Python 2 writes it


def pickle_as_python_2(arrays: Mapping[str, np.ndarray], protocol: int = 0) -> bytes:
    """What cPickle of Python 2 makes of a dictionary of arrays: text in protocol 0, str where Python 3 has bytes."""
    text = protocol == 0
    numbers, memo = itertools.count(1), dict[str, int]()

    def put(key: str = "") -> bytes:
        memo[key] = n = next(numbers)
        return b"p%d\n" % n if text else b"r" + n.to_bytes(4, "little")

    def known(key: str, made: bytes) -> bytes:
        if key not in memo:
            return made + put(key)
        return b"g%d\n" % memo[key] if text else b"j" + memo[key].to_bytes(4, "little")

    def string(value: bytes) -> bytes:
        return b"S" + repr(value)[1:].encode() + b"\n" if text else b"T" + len(value).to_bytes(4, "little") + value

    def number(n: int) -> bytes:
        return b"I%d\n" % n if text else b"J" + n.to_bytes(4, "little", signed=True)

    def boolean(value: bool) -> bytes:
        return (b"I01\n" if value else b"I00\n") if protocol < 2 else (b"\x88" if value else b"\x89")

    def tuple_(*parts: bytes) -> bytes:
        return b"(" + b"".join(parts) + b"t"

    out = [b"" if text else b"\x80" + bytes([protocol]), b"(d" if text else b"}", put()]
    for name, array in arrays.items():
        fortran = array.ndim > 1 and array.flags.f_contiguous
        order, kind = b"<" if array.dtype.byteorder in "=<|" else b">", array.dtype.str[1:]
        out += [
            string(name.encode()), put(),
            known("reconstruct", b"cnumpy.core.multiarray\n_reconstruct\n"),
            tuple_(known("ndarray", b"cnumpy\nndarray\n"), tuple_(number(0)), string(b"b")), b"R", put(),
            tuple_(
                number(1), tuple_(*map(number, array.shape)),
                known(
                    f"dtype {array.dtype.str}",
                    known("dtype", b"cnumpy\ndtype\n") + tuple_(string(kind.encode()), number(0), number(1)) + b"R"
                    + tuple_(number(3), string(order), b"NNN", number(-1), number(-1), number(0)) + b"b",
                ),
                boolean(fortran), string(array.tobytes("F" if fortran else "C")),
            ),
            b"bs",
        ]  # fmt: skip
    return b"".join(out) + b"."
