"""`sopi bench`: how fast models run here, and what bounds them. docs/performance.md says how to read it."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import numpy as np

import sopilib
from sopilib.errors import SopiError

SIZES: dict[str, dict[str, Any]] = {
    "256x1": {"frame_sizes": [16, 64], "dim": 256},
    "512x2": {"frame_sizes": [16, 64], "dim": 512, "num_rnn_layers": 2},
    "1024x4": {"frame_sizes": [16, 64], "dim": 1024, "num_rnn_layers": 4},
    "1024x5-lstm": {
        "frame_sizes": [16],
        "dim": 1024,
        "num_rnn_layers": 5,
        "rnn_type": "lstm",
        "skip_conn": True,
        "skip_style": "full",
    },
}
"""What `--size` offers: fields of `Config`. The weights are random, for the work does not depend on their values."""
ALL = {"256x1": [(1, 1)], "512x2": [(1, 1), (1, 2), (8, 1), (8, 2)], "1024x4": [(1, 1), (1, 2)]}
ALL["1024x5-lstm"] = ALL["1024x4"]
"""What `--all` measures: for each size its pairs of (voices, threads)."""
WORDS = 3
"""How many columns of the table are words, and not numbers."""
BLOCK = 32
"""Samples that are made at a time, as the stream makes them at 16 kHz."""
TORCH_SHARE = 0.25
"""How long a run of the slow torch reference is, as a share of the others' runs; a largest frame at least."""


@dataclass
class Row:
    """One engine's figures: medians over the runs, and block times of all runs together."""

    model: str
    precision: str
    voices: int
    threads: int
    instruction_set: str
    samples_per_second: float = 0
    """Samples that all voices together make in a second."""
    real_time: float = 0
    """Seconds of sound that all voices together make in a second."""
    slowest: float = 0
    fastest: float = 0
    """`real_time` in the slowest run and in the fastest."""
    block_ms: dict[str, float] = field(default_factory=dict)
    """Percentiles of the time that a block of BLOCK samples takes, and how long it sounds."""
    memory_mb: float = 0
    """How large weights and tables are, in MB."""
    kb_per_sample: float = 0
    """How much is read for one sample of each voice, on average, in KB."""
    gb_per_second: float = 0
    bandwidth_gb_per_second: float = 0
    """How much as many threads can read in a second, from as much memory as the matrices take, measured here."""
    giga_products_per_second: float = 0
    """Billions of multiplications, each with its addition, in a second."""
    peak_giga_products_per_second: float = 0
    """How many they would be if as many threads did nothing but multiply what is in registers, in the forms of this
    model's matrices, each as often as the model needs it: measured here."""
    share_of_products: float = 0
    """Which share of its time the engine multiplies, 0 to 1. The rest is tables, gates, drawing and the like."""
    bound: float = 0
    """What `real_time` would be if products took no longer than at that peak, and the rest as long as it does."""
    times_torch: float | None = None
    """How many times as fast as the torch reference with as many voices, in the same run; None without torch."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi bench` and its options."""

    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = commands.add_parser(
        "bench",
        help="how fast models run on this machine",
        description="Measures how fast models run on this machine. Of the columns, GMAC/s says how much is multiplied"
        " in a second, and how much could be if the processor did nothing else; bound is how many times real time the"
        " model would reach if it multiplied at that speed, and everything else took as long as it does."
        " docs/performance.md explains the others.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("model", nargs="?", help="a name under models/, or a file")
    which.add_argument("--size", choices=SIZES, help="random weights of this size instead of a model")
    which.add_argument("--all", action="store_true", help="a fixed list of sizes, voices and threads")
    parser.add_argument("--threads", type=numbers, metavar="N[,N]", help="default 1")
    parser.add_argument("--voices", type=numbers, metavar="N[,N]", help="default 1")
    parser.add_argument(
        "--set",
        default="auto",
        metavar="NAME[,NAME]",
        help="instructions to compute with: avx512, avx_vnni, avx2, neon_i8mm, neon, plain; default the best that are"
        " here",
    )
    parser.add_argument("--precision", default="auto", help="one or more of auto, int4, int8, f32; default %(default)s")
    parser.add_argument("--seconds", type=float, default=2, help="that a run takes; default %(default)s")
    parser.add_argument("--runs", type=int, default=5, help="default %(default)s")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="the table as Markdown")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Returns 130 after Ctrl-C, when what was measured until then is printed. Raises SopiError if
    the options make no sense or the model can't be loaded."""
    if args.seconds <= 0 or args.runs < 1:
        raise SopiError("expected --seconds above 0 and --runs of at least 1")
    rows: list[Row] = []
    torch: dict[str, float] = {}
    stopped = False
    for model, shapes in subjects(args):
        try:
            measured, stopped = measure(
                model, shapes, args.set.split(","), args.precision.split(","), args.seconds, args.runs, torch
            )
        except KeyboardInterrupt:  # before its first run was over
            if not rows:
                raise
            measured, stopped = [], True
        rows += measured
        if stopped:
            print("sopi bench: stopped, this is what was measured until then", file=sys.stderr)
            break
    how = f"medians of {args.runs} runs of {args.seconds:g} s"
    if args.json:
        found = {"machine": processor(), "how": how, "rows": [asdict(r) for r in rows], "torch": torch}
        print(json.dumps(found, indent=2))
        return 130 if stopped else 0
    print(f"{processor()}; {how}")
    print(table(rows, args.markdown))
    if torch:
        factors = ", ".join(f"{engine} {factor:.3f}" for engine, factor in torch.items())
        print(f"torch, x real time (v voices, t threads): {factors}")
    else:
        print("torch is not installed: nothing to compare with")
    return 130 if stopped else 0


def subjects(args: argparse.Namespace) -> Iterator[tuple[sopilib.Model, list[tuple[int, int]]]]:
    """The models to measure, each with the pairs of (voices, threads) to measure it with."""
    if args.all:
        for name, shapes in ALL.items():
            chosen = list(product(args.voices or [1], args.threads or [1])) if args.voices or args.threads else shapes
            yield of_size(name), chosen
        return
    model = of_size(args.size) if args.size else sopilib.load(args.model)
    yield model, list(product(args.voices or [1], args.threads or [1]))


def of_size(name: str) -> sopilib.Model:
    """A model of one of the SIZES, its weights random."""
    model = sopilib.Model.random(sopilib.Config(**SIZES[name]))
    model.name = name
    return model


def measure(
    model: sopilib.Model,
    shapes: list[tuple[int, int]],
    sets: list[str],
    precisions: list[str],
    seconds: float,
    runs: int,
    torch: dict[str, float],
) -> tuple[list[Row], bool]:
    """One row for each of (voices, threads), set of instructions and precision, and whether Ctrl-C ended it after the
    first run. In each run all engines take turns, and the reference, so that a noisy machine is noisy for all of them.
    `torch` gets the reference's real-time factors."""
    engines = [
        sopilib.Engine(model, voices=voices, threads=threads, precision=precision, instruction_set=name)
        for (voices, threads), name, precision in product(shapes, sets, precisions)
    ]
    slow_ones = references(model, {voices for voices, _ in shapes})
    blocks = [max(1, round(seconds / _block_seconds(engine))) for engine in engines]
    times: list[list[np.ndarray]] = [[] for _ in engines]
    shares: list[list[float]] = [[] for _ in engines]
    slow: dict[int, list[float]] = {voices: [] for voices in slow_ones}
    stopped = False
    for number in range(runs):
        try:
            for engine, n, found, multiplying in zip(engines, blocks, times, shares):
                found.append(engine.source.time_blocks(n, BLOCK))
                multiplying.append(engine.source.share_of_products(-(-n // 4), BLOCK))
            for voices, reference in slow_ones.items():
                slow[voices].append(reference.samples_per_second(TORCH_SHARE * seconds))
        except KeyboardInterrupt:
            if not number:
                raise
            stopped = True
            break
    for voices, speeds in sorted(slow.items()):
        how = f"{model.name} {voices}v {slow_ones[voices].threads}t"
        torch[how] = statistics.median(speeds) / model.config.sample_rate
    measured = zip(engines, times, shares)
    return [_row(engine, t, statistics.median(s), slow.get(engine.voices)) for engine, t, s in measured], stopped


def _row(engine: sopilib.Engine, times: list[np.ndarray], multiplying: float, slow: list[float] | None) -> Row:
    from sopilib.native import _native

    work, rate = engine.source.work(), engine.config.sample_rate
    speeds = [engine.voices * BLOCK * len(t) / t.sum() for t in times]
    each = np.concatenate(times) * 1000
    speed = statistics.median(speeds)
    threads = engine.source.threads
    row = Row(engine.model.name, engine.precision, engine.voices, threads, engine.source.instruction_set)
    row.samples_per_second = round(speed)
    row.real_time, row.slowest, row.fastest = (x / rate for x in (speed, min(speeds), max(speeds)))
    row.block_ms = {
        **{f"p{p:g}": float(np.percentile(each, p)) for p in (50, 99, 99.9)},
        "max": float(each.max()),
        "sounds": 1000 * BLOCK / rate,
    }
    row.memory_mb = work["memory"] / 1e6
    row.kb_per_sample = work["moved"] / 1e3
    row.gb_per_second = speed / engine.voices * work["moved"] / 1e9
    row.bandwidth_gb_per_second = max(_native.read_bandwidth(work["again"], threads, 0.05) for _ in range(3)) / 1e9
    products = sum(work["products"].values())
    row.giga_products_per_second = speed * products / 1e9
    row.peak_giga_products_per_second = products / _least_seconds(row.instruction_set, work["products"], threads) / 1e9
    row.share_of_products = multiplying
    row.bound = bound(row.real_time, multiplying, row.giga_products_per_second / row.peak_giga_products_per_second)
    if slow is not None:
        row.times_torch = statistics.median(a / b for a, b in zip(speeds, slow))
    return row


def bound(real_time: float, multiplying: float, of_peak: float) -> float:
    """What `real_time` would be with products at their peak: a share `multiplying` of the time goes into products, and
    at their peak they would take the share `of_peak` of it."""
    return real_time / (1 - multiplying + of_peak)


def _least_seconds(instruction_set: str, products: dict[str, float], threads: int) -> float:
    """How long products of these forms take at least."""
    from sopilib.native import _native

    def peak(form: str) -> float:
        return max(_native.peak_products(instruction_set, form, threads, 0.05) for _ in range(3))

    return sum(number / peak(form) for form, number in products.items() if number)


def _block_seconds(engine: sopilib.Engine) -> float:
    """After the caches are warm and the threads awake."""
    frame = max(1, engine.config.lookback // BLOCK)
    engine.source.time_blocks(2 * frame, BLOCK)
    return float(engine.source.time_blocks(2 * frame, BLOCK).mean())


class Reference:
    """The torch backend, with as many threads as it is fastest with. ImportError without torch."""

    def __init__(self, model: sopilib.Model, voices: int) -> None:
        import torch

        self.engine = sopilib.Engine(model, voices=voices, backend="torch")
        self.set_threads = torch.set_num_threads
        speeds: dict[int, float] = {}
        for self.threads in {1, torch.get_num_threads()}:
            self.samples_per_second(0)
            speeds[self.threads] = self.samples_per_second(0.1)
        self.threads = max(speeds, key=lambda threads: speeds[threads])

    def samples_per_second(self, seconds: float) -> float:
        """Of all voices together, over whole largest frames."""
        self.set_threads(self.threads)
        n, began = 0, time.perf_counter()
        while n == 0 or time.perf_counter() - began < seconds:
            self.engine.generate(self.engine.config.lookback)
            n += self.engine.voices * self.engine.config.lookback
        return n / (time.perf_counter() - began)


def references(model: sopilib.Model, voices: set[int]) -> dict[int, Reference]:
    """The torch reference for each number of voices; nothing if torch is not installed."""
    try:
        return {n: Reference(model, n) for n in voices}
    except ImportError:
        return {}


def table(rows: list[Row], markdown: bool) -> str:
    """The figures as text in columns, or as a table in Markdown. Each row is a line."""
    heads = ["model", "set", "precision", "voices", "threads", "samples/s", "x real time", "(slowest, fastest)"]
    heads += [
        "block p50",
        "p99",
        "p99.9",
        "max ms",
        "MB",
        "KB/sample",
        "GB/s",
        "of",
        "GMAC/s",
        "of",
        "%",
        "bound",
        "x torch",
    ]
    cells = [heads]
    for r in rows:
        block = [f"{r.block_ms[name]:.3g}" for name in ("p50", "p99", "p99.9", "max")]
        cells.append(
            [r.model, r.instruction_set, r.precision, str(r.voices), str(r.threads), f"{r.samples_per_second:.0f}"]
            + [f"{r.real_time:.2f}", f"({r.slowest:.2f}, {r.fastest:.2f})", *block]
            + [f"{r.memory_mb:.1f}", f"{r.kb_per_sample:.0f}", f"{r.gb_per_second:.1f}"]
            + [f"{r.bandwidth_gb_per_second:.0f}", f"{r.giga_products_per_second:.0f}"]
            + [f"{r.peak_giga_products_per_second:.0f}"]
            + [f"{100 * r.giga_products_per_second / r.peak_giga_products_per_second:.0f}", f"{r.bound:.2f}"]
            + ["" if r.times_torch is None else f"{r.times_torch:.0f}"]
        )
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    lines = [
        [cell.ljust(w) if i < WORDS else cell.rjust(w) for i, (cell, w) in enumerate(zip(c, widths))] for c in cells
    ]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * w if i < WORDS else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def processor() -> str:
    """This machine's processor, by name."""
    try:
        with open("/proc/cpuinfo") as f:
            names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
        return f"{names[0]}, {len(names)} cores"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
