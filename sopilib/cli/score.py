"""`sopi score`: how well a model predicts a recording, or how close to it what it generates is."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from sopilib import Engine, Model, checkpoint, sound
from sopilib.engine.blocks import blocks
from sopilib.errors import SopiError
from sopilib.library import find
from sopilib.names import escaped
from sopilib.score import compare, describe, failures, likelihood, stillness


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi score` and its options."""
    parser = commands.add_parser("score", help="how well a model predicts a recording, or imitates it")
    parser.add_argument("model", help="a name under models/, a file, or a run's folder")
    parser.add_argument("audio", nargs="+", help="recordings, or folders of them, that it was not trained on")
    parser.add_argument("--from", dest="start", type=float, default=0.0, metavar="SECONDS", help="in each recording")
    parser.add_argument("--to", type=float, metavar="SECONDS", help="in each recording; default: its end")
    parser.add_argument("--precision", nargs="+", default=["f32", "int8"], help="of the engine; default f32 int8")
    parser.add_argument("--backend", default="native", help="native or torch; default %(default)s")
    parser.add_argument(
        "--generated",
        nargs="*",
        metavar="SOUND",
        help="compare these sounds with the recordings instead; none named: what the model makes now",
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of what it makes now; default %(default)s")
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.9, 1.0], help="the same; default 0.9 1.0")
    parser.add_argument(
        "--write-stillness",
        action="store_true",
        help="only find how still these recordings, which it was trained on, ever are, and say so in the model's file, "
        "by which `guard` knows drones; its weights stay as they are",
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Scores and prints one line for each sound, or JSON. Raises SopiError if a model or a sound can't be read."""
    model = checkpoint.load(args.model)
    part = sound.Part(max(0.0, args.start), args.to)
    found = sound.find_audio(args.audio)
    recordings = {str(path): sound.read_audio(path, model.config.sample_rate, part) for path in found}
    if args.write_stillness:
        _write_stillness(args.model, model, list(recordings.values()))
        return
    rows = _imitation(args, model, recordings) if args.generated is not None else _prediction(args, model, recordings)
    if args.json:
        rows = [row | {key: escaped(row[key]) for key in ("sound", "file") if key in row} for row in rows]
        print(json.dumps({"model": model.name, "scores": rows}, indent=1))
        return
    for row in rows:
        numbers = (f"{k.replace('_', ' ')} {v:.4g}" for k, v in row.items() if isinstance(v, float))
        wrong = f"; {', '.join(row['failures'])}" if row.get("failures") else ""
        print(f"{row['sound']}: " + ", ".join(numbers) + wrong)


def _write_stillness(name: str, model: Model, recordings: list[np.ndarray]) -> None:
    still, path = stillness(recordings, model.config.sample_rate), find(name)
    if still is None:
        raise SopiError("the recordings are shorter than two seconds, or silent: expected those it was trained on")
    checkpoint.say_about(path, {**model.about, "stillness": still._asdict()})
    print(f"{path}: its recordings move by less than {still.below:g} dB for {still.longest:g} s at most")


def _prediction(args: argparse.Namespace, model: Model, recordings: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for precision in args.precision if args.backend == "native" else ["f32"]:
        engine = Engine(model, backend=args.backend, precision=precision)
        for name, audio in recordings.items():
            scored = likelihood(engine, model.encode(audio))
            row = {"sound": f"{name} ({engine.precision})", "file": name, "precision": engine.precision}
            rows.append({**row, **dataclasses.asdict(scored)})
    return rows


def _imitation(args: argparse.Namespace, model: Model, recordings: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    rate, real = model.config.sample_rate, np.concatenate(list(recordings.values()))
    sounds = {p.name: sound.read_audio(p, rate) for p in _generated(args)}
    if not sounds:
        engine = Engine(model)
        for temperature in args.temperature:
            made = blocks(engine, args.seconds, temperature, 1)
            sounds[f"temperature {temperature:g}"] = np.concatenate(list(made), axis=1)[0]
    return [
        {
            "sound": name,
            **dataclasses.asdict(compare(audio, real, rate)),
            **dataclasses.asdict(describe(audio, rate)),
            "failures": failures(audio, rate, real),
        }
        for name, audio in sounds.items()
    ]


def _generated(args: argparse.Namespace) -> list[Path]:
    return sound.find_audio(args.generated) if args.generated else []
