"""Whether the engine for many voices computes on a device what the native one does: `sopi doctor --gpu`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from sopilib.engine import Engine
from sopilib.engine.batch import check_device, coins
from sopilib.engine.reference import coin
from sopilib.model import Model

SEED = 2**63 + 17


@dataclass(frozen=True)
class Check:
    """One thing that was compared or measured."""

    what: str
    found: str
    """In figures."""
    well: bool = True


def checks(model: Model, device: str) -> Iterator[Check]:
    """Compares what the batch engine does with a model on a torch device with what the native engine does, and then
    measures how fast it is, one by one. On a processor, which is slow in half precision, it compares less.

    Raises SopiError if torch can't use this device.
    """
    at = check_device(device)
    voices, frames = (4, 6) if at.type == "cpu" else (64, 32)
    n = frames * model.config.lookback
    yield Check("torch", f"{torch.__version__} on {_called(at)}")
    yield _random_numbers(at, voices)
    exact = Engine(model, voices, "batch", "f32", device=device)
    native = Engine(model, voices, precision="f32")
    exact.reset(SEED)
    codes = exact.generate(n)
    logits = _logits(native, codes)
    yield _same_logits(_logits(exact, codes), logits)
    yield _same_draws(codes, logits)
    half = Engine(model, voices, "batch", "f16", device=device)
    yield from _graphs(half, n)
    yield _half(model, half, codes, n)
    for count in (voices, 256, 1024) if at.type != "cpu" else (voices,):
        yield _speed(half.clone(count))


def _called(at: torch.device) -> str:
    if at.type != "cuda":
        return at.type
    about = torch.cuda.get_device_properties(at)
    return f"{about.name}, {about.total_memory / 1e9:.0f} GB"


def _random_numbers(at: torch.device, voices: int) -> Check:
    seed = np.full(voices, SEED, np.uint64)
    drawn = np.arange(voices, dtype=np.uint64) << np.uint64(33)
    made = coins(seed, drawn, 8, at).cpu().numpy()
    right = [[np.float32(coin(SEED, v, int(drawn[v]) + k)) for v in range(voices)] for k in range(8)]
    same = int((made == np.array(right)).sum())
    return Check("random numbers are those of every engine", f"{same} of {made.size}", same == made.size)


def _logits(engine: Engine, codes: np.ndarray) -> np.ndarray:
    """What an engine predicts for codes [B, n] from the beginning on: [B, n, q]."""
    engine.reset(SEED)
    past = np.full((len(codes), engine.config.lookback), engine.config.q_zero)
    return engine.teacher_force(np.concatenate([past, codes], 1))


def _same_logits(mine: np.ndarray, right: np.ndarray) -> Check:
    apart, wide = float(np.abs(mine - right).max()), float(right.max() - right.min())
    found = f"at most {apart:.1e} apart, of {wide:.1f}"
    return Check("f32 predicts what the native engine predicts", found, apart < 1e-4 * wide)


def _same_draws(codes: np.ndarray, logits: np.ndarray) -> Check:
    """Each code must be the one in whose share its random number lies, but for a hair's breadth."""
    p = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    ends = np.cumsum(p, -1) / p.sum(-1, keepdims=True)
    u = np.array([[coin(SEED, v, t) for t in range(codes.shape[1])] for v in range(len(codes))])
    end = np.take_along_axis(ends, codes[..., None], -1)[..., 0]
    begin = end - np.take_along_axis(p / p.sum(-1, keepdims=True), codes[..., None], -1)[..., 0]
    wrong = int(((u < begin - 1e-4) | (u > end + 1e-4)).sum())
    return Check("f32 draws the codes that these numbers mean", f"{codes.size - wrong} of {codes.size}", not wrong)


def _graphs(engine: Engine, n: int) -> Iterator[Check]:
    """Whole frames, single samples, and any split of the work give the same."""
    found = []
    for in_frames, split in ((True, [n]), (False, [n]), (True, [1, n // 3, n - n // 3 - 1])):
        engine.source.in_frames = in_frames
        engine.reset(SEED)
        found.append(np.concatenate([engine.generate(part) for part in split], 1))
    engine.source.in_frames = True
    for what, other in (("whole frames change", found[1]), ("a split into calls changes", found[2])):
        same = int((found[0] == other).sum())
        yield Check(f"{what} no code", f"{same} of {other.size}", same == other.size)


def _half(model: Model, half: Engine, codes: np.ndarray, n: int) -> Check:
    """What is drawn in half precision is as likely as what is drawn in f32."""
    half.reset(SEED)
    native = Engine(model, half.voices, precision="f32")
    bits = []
    for drawn in (half.generate(n), codes):
        logits = _logits(native, drawn).astype(np.float64)
        of_code = np.take_along_axis(logits, drawn[..., None], -1)[..., 0]
        bits.append(float((np.log(np.exp(logits).sum(-1)) - of_code).mean() / np.log(2)))
    found = f"{bits[0]:.3f} bits per sample, f32 {bits[1]:.3f}"
    return Check("half precision plays the same model", found, abs(bits[0] - bits[1]) < 0.05)


def _speed(engine: Engine) -> Check:
    rate, whole = engine.config.sample_rate, engine.config.lookback
    on_cuda = engine.source.at.type == "cuda"
    engine.generate(2 * whole)  # builds the graph
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(engine.source.at)
    n, began = 8 * whole, time.perf_counter()
    engine.generate(n)
    seconds = engine.voices * n / rate / (time.perf_counter() - began)
    memory = f", {torch.cuda.max_memory_allocated(engine.source.at) / 1e9:.1f} GB" if on_cuda else ""
    return Check(f"{engine.voices} voices", f"{seconds:.3g} s of sound a second{memory}")
