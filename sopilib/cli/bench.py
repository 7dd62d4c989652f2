"""`sopi bench`: how fast a model runs here."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from typing import Any

import sopilib
from sopilib.errors import SopiError

REFERENCE = 50  # the reference makes so many times less sound in a run


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("bench", help="how fast a model runs on this machine")
    parser.add_argument("model", help="a name under models/, or a file")
    parser.add_argument("--seconds", type=float, default=5, help="of sound in each run; default %(default)s")
    parser.add_argument("--runs", type=int, default=5, help="default %(default)s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def _real_time(engine: sopilib.Engine, seconds: float) -> float:
    """Seconds of sound per second."""
    n = max(1, round(seconds * engine.config.sample_rate))
    began = time.perf_counter()
    engine.generate(n, 0.95)
    return n / engine.config.sample_rate / (time.perf_counter() - began)


def run(args: argparse.Namespace) -> None:
    if args.seconds <= 0 or args.runs < 1:
        raise SopiError("expected --seconds above 0 and --runs of at least 1")
    model = sopilib.load(args.model)
    result: dict[str, Any] = {"model": model.name, "machine": processor(), "engines": []}
    engines = [sopilib.Engine(model, precision=p, threads=args.threads) for p in ("int8", "f32")]
    reference = _reference(model, args.seconds / REFERENCE)
    for engine in engines:
        engine.generate(model.config.lookback * 4)  # warm
    rates: list[list[float]] = [[] for _ in engines]
    slow: list[float] = []
    for _ in range(args.runs):  # in turn, so that a noisy machine is noisy for all of them
        for engine, values in zip(engines, rates):
            values.append(_real_time(engine, args.seconds))
        if reference is not None:
            slow.append(_real_time(reference[0], args.seconds / REFERENCE))
    for engine, values in zip(engines, rates):
        entry = {
            "precision": engine.precision,
            "instruction_set": engine.source.instruction_set,
            "threads": args.threads,
            "real_time": statistics.median(values),
            "slowest": min(values),
            "fastest": max(values),
        }
        if slow:
            entry["times_torch"] = statistics.median(a / b for a, b in zip(values, slow))
        result["engines"].append(entry)
    if reference is not None:
        result["torch"] = {"real_time": statistics.median(slow), "threads": reference[1]}
    if args.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{model!r}\n{result['machine']}; seconds of sound per second, median of {args.runs} (slowest to fastest)")
    for e in result["engines"]:
        against = f", {e['times_torch']:.0f} times the torch reference" if slow else ""
        print(
            f"  {e['precision']:5} {e['instruction_set']:7} {e['threads']} thread(s): {e['real_time']:6.2f} "
            f"({e['slowest']:.2f} to {e['fastest']:.2f}){against}"
        )
    if reference is not None:
        print(f"  torch reference, {reference[1]} thread(s), its best: {result['torch']['real_time']:.3f}")


def _reference(model: sopilib.Model, seconds: float) -> tuple[sopilib.Engine, int] | None:
    """The torch reference with the number of threads at which it is fastest; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    engine = sopilib.Engine(model, backend="torch")
    speeds: dict[int, float] = {}
    for threads in sorted({1, max(1, torch.get_num_threads())}):
        torch.set_num_threads(threads)
        _real_time(engine, seconds / 10)
        speeds[threads] = _real_time(engine, seconds)
    best = max(speeds, key=lambda threads: speeds[threads])
    torch.set_num_threads(best)
    return engine, best


def processor() -> str:
    """This machine's processor, by name."""
    try:
        with open("/proc/cpuinfo") as f:
            names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
        return f"{names[0]}, {len(names)} cores"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
