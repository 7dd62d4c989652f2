"""Many voices at once on a GPU: the readable engine's equations, and nothing that waits for the host at each sample.

The random numbers are drawn on the device from the same counter-based streams as everywhere. With CUDA the work of a
whole frame of the highest tier, some dozen kernels a sample, is one CUDA graph, which the host starts once. In half
precision the matrices are float16, and what goes on from sample to sample stays float32.

In shapes B is voices, L the lookback, q q_levels.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sopilib.engine.reference import GAMMA, WINDOW, ReferenceEngine
from sopilib.errors import SopiError
from sopilib.model import Model

CHUNK = 4096  # samples whose temperatures and random numbers are on the device at a time


def best_device() -> str:
    """The GPU that torch can use here, "cuda" or "mps"; "" if there is none."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else ""


def check_device(device: str) -> torch.device:
    """The torch device of this name. Raises SopiError, which says what there is, if it can't be used."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError):
        there = ", ".join(["cpu", *([best_device()] if best_device() else [])])
        raise SopiError(
            f"device is {device!r}, which torch {torch.__version__} can't use here: there is {there}"
        ) from None
    return found


def fitting(engine: BatchEngine, voices: int) -> int:
    """How many voices, at most so many, the device's memory holds together: half as many as long as it doesn't."""
    while voices > 1:
        try:
            trial = engine.clone(voices)
            shape = (voices, trial.config.lookback)
            zeros, ones = np.zeros(voices, np.float32), np.ones(voices, np.float32)
            features = np.zeros((voices, trial.config.features), np.float32)
            trial.generate(np.ones(shape, np.float32), zeros, ones, zeros, ones, zeros, features)
            return voices
        except RuntimeError as e:  # what MPS raises has no name of its own
            if not isinstance(e, torch.OutOfMemoryError) and "out of memory" not in str(e):
                raise
        voices = voices // 2
    return voices


# ---------------------------------------------------------------- random numbers


def _signed(x: int) -> int:
    """A number of 64 bits as torch has it, which knows no unsigned ones."""
    return x - (1 << 64) if x >> 63 else x


def _shifted(z: Tensor, k: int) -> Tensor:
    """z >> k of numbers without sign."""
    return (z >> k) & ((1 << (64 - k)) - 1)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shifted(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def coins(seed: np.ndarray, drawn: np.ndarray, n: int, device: torch.device) -> Tensor:
    """The next n draws of each voice, float32 [n, B] in [0, 1), as `reference.coin` gives them one by one. `seed` and
    `drawn` are uint64 [B]. Products of 64 bits are taken modulo 2**64; on MPS, which can't be trusted with that, the
    processor computes them."""
    at = torch.device("cpu") if device.type == "mps" else device
    seeds = torch.from_numpy(seed.view(np.int64).copy()).to(at)
    counters = torch.from_numpy(drawn.view(np.int64).copy()).to(at) + torch.arange(n, device=at)[:, None]
    voice = torch.arange(1, len(seed) + 1, device=at)
    key = _mix(seeds + voice * _signed(GAMMA))
    mixed = _mix(key + (counters + 1) * _signed(GAMMA))
    return (_shifted(mixed, 40).to(torch.float32) / (1 << 24)).to(device)


# ---------------------------------------------------------------- drawing


class Choice(NamedTuple):
    """How codes are drawn: tensors [B, 1] on the device. What no voice uses is None, and costs nothing."""

    top_k: Tensor | None
    top_p: Tensor | None
    min_p: Tensor | None
    rest: Tensor | None
    quiet: Tensor | None
    """Below which energy of its last samples a voice rests."""


def draw(logits: Tensor, hot: Tensor, u: Tensor, how: Choice) -> Tensor:
    """Draws a code for each voice, int64 [B], as `reference.probabilities` and `reference.draw` do.

    logits  float [B, q]
    hot     float [B], the temperatures
    u       float [B], the draws
    """
    real = torch.float32 if logits.device.type == "mps" else torch.float64
    p = torch.softmax(logits.to(real) / hot[:, None].to(real), 1)
    if how.top_k is not None or how.top_p is not None or how.min_p is not None:
        p = _ruled_out(p, logits, how)
    edges = p.cumsum(1)
    found = torch.searchsorted(edges, u[:, None].to(real) * edges[:, -1:], right=True)[:, 0]
    last = ((p > 0) * torch.arange(p.shape[1], device=p.device)).amax(1)
    return torch.minimum(found, last)


def _ruled_out(p: Tensor, logits: Tensor, how: Choice) -> Tensor:
    ranks = torch.sort(logits, dim=1, descending=True, stable=True).indices
    p = p.gather(1, ranks)
    if how.top_k is not None:
        p = p.masked_fill((how.top_k > 0) & (torch.arange(p.shape[1], device=p.device) >= how.top_k), 0)
    if how.top_p is not None:
        p = p.masked_fill((how.top_p < 1) & (p.cumsum(1) - p >= how.top_p * p.sum(1, keepdim=True)), 0)
    if how.min_p is not None:
        p = p.masked_fill(p < how.min_p * p[:, :1], 0)
    return torch.zeros_like(p).scatter(1, ranks, p)


class Frame(NamedTuple):
    """L samples as one piece of work: `run` reads `hot` and `u`, [L, B], and what is in `held`, and writes `codes` [L,
    B], and into `held` the state after them. With CUDA it is a graph."""

    run: Callable[[], object]
    hot: Tensor
    u: Tensor
    codes: Tensor
    held: list[Tensor]
    """The state, and then what is used of a Choice."""


class BatchEngine(ReferenceEngine):
    """The engine for many voices. Its methods and states are those of the readable one.

    half  matrices in float16

    `in_frames` says whether whole frames are drawn as one piece of work: with CUDA.
    """

    def __init__(self, model: Model, voices: int, device: str, half: bool = False) -> None:
        self.at, self.half = check_device(device), half
        super().__init__(model, voices, device)
        if half:
            self.w = {name: w.half() if _is_matrix(name) else w for name, w in self.w.items()}
        self.table = torch.from_numpy(np.ascontiguousarray(model.decode_table)).to(self.at)
        self.in_frames = self.at.type == "cuda"

    def clone(self, voices: int) -> BatchEngine:
        """A new engine of the same weights, which are shared, with so many voices, as it is after `reset(0)`."""
        twin = object.__new__(BatchEngine)
        twin.__dict__.update(self.__dict__)
        twin.voices = voices
        twin.reset(0)
        return twin

    def reset(self, seed: int) -> None:
        """As in `ReferenceEngine`."""
        super().reset(seed)
        self.frames: dict[tuple[bool, ...], Frame] = {}

    def precise(self) -> Any:
        """The context in which products are computed as the precision says."""
        if not self.half:
            return nullcontext()
        return torch.autocast(self.at.type, torch.float16, cache_enabled=False)

    # ------------------------------------------------------------ sequences

    @torch.no_grad()
    def teacher_force(self, codes: np.ndarray, features: np.ndarray) -> np.ndarray:
        """As in `ReferenceEngine`."""
        with self.precise():
            return super().teacher_force(codes, features)

    @torch.no_grad()
    def prime(self, codes: np.ndarray, features: np.ndarray) -> None:
        """As in `ReferenceEngine`, but in steps of the lowest tier's frames, for nothing is drawn."""
        self.features = torch.as_tensor(features, device=self.at)
        given = torch.as_tensor(codes, dtype=torch.int64, device=self.at)
        size, t = self.config.frame_sizes[0], 0
        while t < given.shape[1]:
            with self.precise():
                self.run_tiers()
            n = min(size - self.position % size, given.shape[1] - t)
            self.history = torch.cat([self.history, given[:, t : t + n]], 1)[:, n:]
            self.position = (self.position + n) % self.config.lookback
            t += n
        self._heard(codes)

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
        """As in `ReferenceEngine`."""
        self.features = torch.as_tensor(features, device=self.at)
        how = self._choice(top_k, top_p, min_p, rest, rest_level)
        self._carry(how.rest is not None)
        made = [np.empty((self.voices, 0), np.int32)]
        for at in range(0, temperature.shape[1], CHUNK):
            hot = torch.from_numpy(np.ascontiguousarray(temperature[:, at : at + CHUNK].T)).to(self.at)
            u = coins(self.seed, self.drawn, len(hot), self.at)
            codes = self._draw_all(hot, u, how).cpu().numpy().T.astype(np.int32)
            self.drawn += np.uint64(len(hot))
            self._heard(codes)
            made.append(codes)
        return np.concatenate(made, 1)

    def _draw_all(self, hot: Tensor, u: Tensor, how: Choice) -> Tensor:
        """Draws one code for each voice and row of `hot` and `u`, [n, B]: int64 [n, B]. Whole frames are a graph where
        there is CUDA."""
        n, whole = len(hot), self.config.lookback
        codes = torch.empty(hot.shape, dtype=torch.int64, device=self.at)
        t = 0
        while t < n:
            size = min(whole - self.position, n - t)
            part = slice(t, t + size)
            draw_part = self._whole_frame if self.in_frames and size == whole else self._frame
            codes[part] = draw_part(hot[part], u[part], how)
            t += size
        return codes

    def _frame(self, hot: Tensor, u: Tensor, how: Choice) -> Tensor:
        """Draws [n, B] codes one after the other."""
        out = []
        with self.precise():
            for t in range(len(hot)):
                self.run_tiers()
                h = hot[t]
                if how.rest is not None and how.quiet is not None:
                    quiet = (how.rest > 0) & (self.energy[:, None] < how.quiet)
                    h = torch.where(quiet, how.rest, h[:, None])[:, 0]
                codes = draw(self.logits(), h, u[t], how)
                out.append(codes)
                self.history = torch.cat([self.history[:, 1:], codes[:, None]], 1)
                self.position = (self.position + 1) % self.config.lookback
                if how.rest is not None:
                    self._sound_on_device(codes)
        return torch.stack(out)

    # ------------------------------------------------------------ graphs

    def _whole_frame(self, hot: Tensor, u: Tensor, how: Choice) -> Tensor:
        """Draws L codes for each voice from the beginning of a frame on, with the work of this kind of choice."""
        kind = tuple(x is not None for x in how)
        if kind not in self.frames:
            self.frames[kind] = self._work(hot, u, how)
        frame = self.frames[kind]
        for held, now in zip([frame.hot, frame.u, *frame.held], [hot, u, *self._state(how), *_used(how)]):
            if held is not now:
                held.copy_(now)
        frame.run()
        self._put(frame.held, how)
        return frame.codes

    def _work(self, hot: Tensor, u: Tensor, how: Choice) -> Frame:
        """What `_frame` does for these shapes, in tensors of its own. The state stays as it is."""
        hot, u, before = hot.clone(), u.clone(), self._state(how)
        held, own = [x.clone() for x in before], Choice(*(None if x is None else x.clone() for x in how))
        codes = torch.empty(hot.shape, dtype=torch.int64, device=self.at)

        def work() -> None:
            self._put(held, how)
            codes.copy_(self._frame(hot, u, own))
            for x, now in zip(held, self._state(how)):
                if x is not now:
                    x.copy_(now)

        run: Callable[[], object] = work
        if self.at.type == "cuda":
            stream = torch.cuda.Stream(self.at)
            stream.wait_stream(torch.cuda.current_stream(self.at))
            with torch.cuda.stream(stream):  # what is done for the first time can't be captured
                work()
            torch.cuda.current_stream(self.at).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.device(self.at), torch.cuda.graph(graph):
                work()
            run = graph.replay
        self._put(before, how)
        return Frame(run, hot, u, codes, [*held, *_used(own)])

    def _state(self, how: Choice) -> list[Tensor]:
        """All that a frame reads and moves on."""
        heard = [self.loud, self.energy, self.filtered] if how.rest is not None else []
        return [self.history, self.features, *self.rnn.values(), *self.output, *heard]

    def _put(self, state: list[Tensor], how: Choice) -> None:
        """Goes on from what `_state` gave. There may be more behind it."""
        left = iter(state)
        self.history, self.features = next(left), next(left)
        self.rnn = {name: next(left) for name in self.rnn}
        self.output = [next(left) for _ in self.output]
        if how.rest is not None:
            self.loud, self.energy, self.filtered = next(left), next(left), next(left)

    # ------------------------------------------------------------ what was heard

    def _choice(
        self, top_k: np.ndarray, top_p: np.ndarray, min_p: np.ndarray, rest: np.ndarray, level: np.ndarray
    ) -> Choice:
        def put(values: np.ndarray, used: np.ndarray) -> Tensor | None:
            return torch.from_numpy(np.ascontiguousarray(values)[:, None]).to(self.at) if used.any() else None

        energy = np.array([round(WINDOW * 32767**2 * 10 ** (float(db) / 10)) for db in level], np.int64)
        real = np.float32 if self.at.type == "mps" else np.float64
        return Choice(
            put(top_k, top_k > 0),
            put(top_p.astype(real), top_p < 1),
            put(min_p.astype(real), min_p > 0),
            put(rest, rest > 0),
            put(energy, rest > 0),
        )

    def _carry(self, needed: bool) -> None:
        """Brings onto the device how loud the voices were, if somebody may rest."""
        if needed:
            self.loud = torch.from_numpy(self.recent.astype(np.int64) ** 2).to(self.at)
            self.energy = self.loud.sum(1)
            self.filtered = torch.from_numpy(np.array(self.emphasis, np.float32)).to(self.at)

    def _sound_on_device(self, codes: Tensor) -> None:
        """What `sound` does, where the codes are."""
        y, poles = self.table[codes], []
        for k, a in enumerate(self.config.emphasis):
            y = y + np.float32(a).item() * self.filtered[:, k]
            y = torch.where(y.abs() < 1e-15, torch.zeros_like(y), y)
            poles.append(y)
        self.filtered = torch.stack(poles, 1) if poles else self.filtered
        newest = torch.round(torch.clip(np.float32(self.config.level).item() * y, -1, 1) * 32767).long() ** 2
        self.energy = self.energy + newest - self.loud[:, 0]
        self.loud = torch.cat([self.loud[:, 1:], newest[:, None]], 1)

    def _heard(self, codes: np.ndarray) -> None:
        """Remembers what codes [B, n], which were appended, sound like."""
        sound = self.model.decode(codes, self.emphasis)
        newest = np.rint(np.clip(sound, -1, 1) * np.float32(32767)).astype(np.int32)
        self.recent = np.concatenate([self.recent, newest], 1)[:, -WINDOW:]


def _used(how: Choice) -> list[Tensor]:
    return [x for x in how if x is not None]


def _is_matrix(name: str) -> bool:
    """Whether a weight is only ever multiplied with: a product of half precision."""
    return not name.endswith(("tables", "bias", "initial", "candidate"))
