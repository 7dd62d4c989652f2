"""`sopi score`: how well a model predicts a recording, or how close to it what it generates is."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sopilib import Engine, Model, checkpoint, sound
from sopilib.errors import SopiError
from sopilib.library import find
from sopilib.names import escaped
from sopilib.score import failures, likelihood, stillness
from sopilib.score.imitation import Recordings, own_setting, takes
from sopilib.score.measures import all_figures
from sopilib.train.preparation.dataset import Dataset, is_dataset

OWN = ("recordings", "coded", "held out")
"""What has figures beside what a model makes."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi score` and its options."""
    parser = commands.add_parser("score", help="how well a model predicts a recording, or imitates it")
    parser.add_argument("model", help="a name under models/, a file, or a run's folder")
    parser.add_argument(
        "audio",
        nargs="*",
        help="recordings, folders of them, or a data set: what it was not trained on, and with --generated what it was "
        "trained on; default there: those of the run",
    )
    parser.add_argument("--from", dest="start", type=float, default=0.0, metavar="SECONDS", help="in each recording")
    parser.add_argument("--to", type=float, metavar="SECONDS", help="in each recording; default: its end")
    parser.add_argument("--precision", nargs="+", default=["f32", "int8"], help="of the engine; default f32 int8")
    parser.add_argument("--backend", default="native", help="native or torch; default %(default)s")
    parser.add_argument(
        "--generated",
        nargs="*",
        metavar="SOUND",
        help="a table of these sounds beside the recordings instead; none named: of what the model makes now",
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of each take; default %(default)g; 600 for a verdict"
    )
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="takes; default %(default)s; 5 for a verdict")
    parser.add_argument(
        "--temperature", type=float, nargs="+", metavar="T", help="default: as the model's file says, else 0.9 1.0"
    )
    parser.add_argument(
        "--beat", type=float, nargs="+", default=[], metavar="BPM", help="beats a minute, of which the best fit counts"
    )
    parser.add_argument(
        "--held-out",
        type=float,
        metavar="SECONDS",
        help="of the recordings with --generated, at the end of the last file, the model never learnt from; default: "
        "as its file says, if it knows these files",
    )
    parser.add_argument(
        "--write-stillness",
        action="store_true",
        help="only find how still these recordings, which it was trained on, ever are, and say so in the model's file, "
        "by which `guard` knows drones; its weights stay as they are",
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Scores and prints one line for each sound, a table of what the model makes, or JSON. Raises SopiError if a model
    or a sound can't be read."""
    model = checkpoint.load(args.model)
    rate = model.config.sample_rate
    if args.generated is not None:
        found = _imitation(args, model)
        print(json.dumps(found, indent=1) if args.json else "\n".join(_table(found, rate)))
        return
    part = sound.Part(max(0.0, args.start), args.to)
    if not args.audio:
        raise SopiError("no recording is named, expected some that the model was not trained on")
    recordings = {str(path): sound.read_audio(path, rate, part) for path in sound.find_audio(args.audio)}
    if args.write_stillness:
        _write_stillness(args.model, model, list(recordings.values()))
        return
    rows = _prediction(args, model, recordings)
    if args.json:
        rows = [row | {key: escaped(row[key]) for key in ("sound", "file")} for row in rows]
        print(json.dumps({"model": model.name, "scores": rows}, indent=1))
        return
    for row in rows:
        print(
            f"{row['sound']}: {row['bits']:.4g} bits per sample, {row['density_bits']:.4g} density bits, "
            f"{100 * row['accuracy']:.3g} % right"
        )


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


def _check(args: argparse.Namespace) -> None:
    """Raises SopiError that names an option of --generated whose value makes no sense."""
    for option, values, least, most in (
        ("--seconds", [args.seconds], 0.25, 36_000),
        ("--seeds", [args.seeds], 1, 100),
        ("--beat", args.beat, 10, 1000),
        ("--held-out", [args.held_out or 0], 0, 1e6),
    ):
        for value in values:
            if not least <= value <= most:
                raise SopiError(f"{option} is {value:g}, expected {least:g} to {most:g}")


def _imitation(args: argparse.Namespace, model: Model) -> dict[str, Any]:
    """All figures, for JSON and for the table."""
    _check(args)
    train, held_out = _recordings(args, model)
    beats = [60 / bpm for bpm in args.beat]
    rate = model.config.sample_rate
    named = {escaped(p.name): [sound.read_audio(p, rate)] for p in _generated(args)}
    seconds = max((len(s[0]) / rate for s in named.values()), default=args.seconds)
    recordings = Recordings(model, train, held_out, seconds, beats)
    own, real = recordings.own(), np.concatenate(train)
    rows = []
    for title, sounds in named.items() if named else _takes(args, model):
        found = recordings.figures(sounds)
        wrong = sorted({f for s in sounds for f in failures(s, rate, real, model.stillness)})
        rows.append({"sound": title, **found.mean, "spread": found.spread, "takes": found.count, "failures": wrong})
    return {
        "model": escaped(model.name),
        "scores": rows,
        **{name.replace(" ", "_"): {**m.mean, "spread": m.spread, "pieces": m.count} for name, m in own.items()},
        "seconds": seconds,
        "recorded_seconds": sum(map(len, train)) / rate,
    }


def _takes(args: argparse.Namespace, model: Model) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What the model makes, at each temperature: as its file says that it is played, where no option says otherwise."""
    setting = own_setting(model)
    own = [setting["temperature"]] if "temperature" in setting else [0.9, 1.0]
    for temperature in args.temperature or own:
        sampling = {**setting, "temperature": temperature}
        also = "".join(f", {name.replace('_', '-')} {x:g}" for name, x in setting.items() if name != "temperature")
        title = f"temperature {temperature:g}{also}"

        def told(share: float, title: str = title) -> None:
            if sys.stderr.isatty():
                print(f"{title}: {100 * share:.0f} %", end="\r" if share < 1 else "\n", file=sys.stderr, flush=True)

        yield title, takes(model, args.seconds, range(1, args.seeds + 1), sampling, told)


def _recordings(args: argparse.Namespace, model: Model) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the model learnt from, and what was held out of it: as a data set says, or else the end of the last file."""
    rate = model.config.sample_rate
    dataset = _dataset(args, rate)
    if dataset:
        parts = ([np.array(dataset.audio[a : a + n]) for a, n in dataset.segments[p]] for p in ("train", "validation"))
        return next(parts), next(parts)
    found = sound.find_audio(args.audio)
    recordings = [sound.read_audio(path, rate, sound.Part(max(0.0, args.start), args.to)) for path in found]
    training = model.about.get("training", {})
    known = {Path(path).name for path in found} <= {f["file"] for f in training.get("files", [])}
    seconds = args.held_out if args.held_out is not None else known * float(training.get("held_out_seconds", 0))
    n = min(round(seconds * rate), len(recordings[-1]) // 2)
    return ([*recordings[:-1], recordings[-1][:-n]], [recordings[-1][-n:]]) if n else (recordings, [])


def _dataset(args: argparse.Namespace, rate: int) -> Dataset | None:
    """The data set that is named, or that of the run, where no recordings are named."""
    if not args.audio:
        try:
            path = json.loads((Path(args.model) / "run.json").read_text())["dataset"]
        except (OSError, ValueError, KeyError, TypeError):
            raise SopiError(f"{args.model}: is no run that knows its recordings, expected some to be named") from None
    elif len(args.audio) == 1 and is_dataset(args.audio[0]):
        path = args.audio[0]
    else:
        return None
    dataset = Dataset(path)
    if dataset.sample_rate != rate:
        raise SopiError(f"{path}: a data set of {dataset.sample_rate} Hz, expected one of the model's rate, {rate} Hz")
    return dataset


def _generated(args: argparse.Namespace) -> list[Path]:
    return sound.find_audio(args.generated) if args.generated else []


def _table(found: dict[str, Any], rate: int) -> Iterator[str]:
    """The lines of a table: what a figure is called, those of the recordings, of each sound, and what is good."""
    columns = {name: found[name.replace(" ", "_")] for name in OWN if name.replace(" ", "_") in found}
    columns |= {row["sound"]: row for row in found["scores"]}
    takes = found["scores"][0]["takes"]
    yield (
        f"{found['model']}: {takes} take{'s' if takes > 1 else ''} of {found['seconds']:g} s beside "
        f"{found['recorded_seconds'] / 60:.1f} minutes of recordings, in pieces as long; +- is the spread"
    )
    cells = [["", *columns, "good is"]]
    for figure in all_figures(rate):
        shown = [figure.shown(column, column["spread"]) for column in columns.values()]
        if any(shown):
            cells.append([figure.heading, *shown, figure.good])
    widths = [max(map(len, column)) for column in zip(*cells)]
    for line in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
    for row in found["scores"]:
        if row["failures"]:
            yield f"{row['sound']}: {', '.join(row['failures'])}"
