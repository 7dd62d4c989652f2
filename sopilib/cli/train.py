"""`sopi train`: from a folder of sound to a model that plays."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from sopilib import checkpoint
from sopilib.cli import options
from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.model import Config
from sopilib.model.quantise import NEW

DEFAULT = "live"
MODEL_OPTIONS = {
    "seq_len": "samples of a step, a multiple of the largest frame",
    "frame_sizes": "samples in a frame of each tier, smallest first",
    "dim": "width of the RNNs",
    "mlp_dim": "width of the sample level",
    "rnn_type": "gru or lstm",
    "num_rnn_layers": "RNN layers in each tier",
    "q_type": ", ".join(NEW),
    "q_levels": "levels of a sample, 2 to 1024",
    "frame_input": "what the RNNs see of a sample: its code, or audio: the sample itself",
    "emb_size": "width of the embedding of a sample; 0: one-hot",
    "skip_conn": "every RNN layer reaches its tier's output",
    "skip_style": "output, or full: the tier's input also reaches every layer",
    "gru_reset_after": "the GRU of PyTorch and Keras; without it Theano's",
    "sample_rate": "Hz",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from sopilib.train.prepare import Preparation
    from sopilib.train.settings import PRESETS, Settings

    presets = "; ".join(f"{name}: {what}" for name, (what, _) in PRESETS.items())
    parser = commands.add_parser(
        "train",
        help="a model from recordings",
        description="Trains a model. The same command, or `sopi train -o RUN` alone, goes on with a run that stopped.",
    )
    parser.add_argument("audio", nargs="*", help="sound files, folders, patterns in quotes, or one data set")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="RUN", help="its folder; and its name")
    parser.add_argument("--preset", choices=list(PRESETS), help=f"{presets}. Default {DEFAULT}".replace("%", "%%"))
    parser.add_argument(
        "--config", type=Path, metavar="JSON", help="values of the options below, or a *.config.json of the course"
    )
    parser.add_argument("--from", dest="start", metavar="MODEL", help="go on training this model, of any system")
    options.add(parser.add_argument_group("model (default: the preset's)"), Config, MODEL_OPTIONS)
    options.add(parser.add_argument_group("training"), Settings)
    options.add(parser.add_argument_group("sound"), Preparation, without=("sample_rate",))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        from sopilib.train import machine
        from sopilib.train.loop import Run
        from sopilib.train.parallel import Group
    except ImportError as e:
        raise SopiError(f"training needs PyTorch ({e}): pip install 'sopilib[train]'") from None
    from sopilib.train.settings import LATER, PRESETS, Settings, from_values

    folder: Path = args.output
    asked = {**options.given(args, Config), **options.given(args, Settings)}
    asked.pop("features", None)
    group = Group.join(machine.device(args.device or "auto"))
    start = origin = None
    try:
        if (folder / "run.json").exists():
            began = options.read_json(folder / "run.json")
            values = {**began["config"], **began["settings"], **asked}
            origin = began["from"]
            if not (folder / "state.pt").exists() and began["start"]:
                start = checkpoint.load(began["start"])
        else:
            start = checkpoint.load(args.start) if args.start else None
            origin = {"name": start.name, "about": start.about} if start else None
            preset = args.preset or (None if args.config or start else DEFAULT)
            values = {
                **(PRESETS[preset][1] if preset else {}),
                **(options.read_json(args.config) if args.config else {}),
                **asked,
            }
        features = {} if start is None else {"features": start.config.features}
        config, settings = from_values({**values, **features}, start.config if start else None)
        dataset = _dataset(args, folder, config, group)
        if start is None and config.features != len(dataset.feature_names):
            config = dataclasses.replace(config, features=len(dataset.feature_names))
        if not (folder / "run.json").exists() and group.rank == 0:
            began = {
                "config": config.to_dict(),
                "settings": dataclasses.asdict(settings),
                "dataset": str(dataset.folder.resolve()),
                "start": args.start and str(Path(args.start).resolve() if Path(args.start).exists() else args.start),
                "from": origin,
            }
            _write(folder / "run.json", began)
        group.gather(None)
        later = {name: value for name, value in asked.items() if name in LATER}
        work = Run(folder, dataset, config, settings, start, origin, later)
        why = work.train()
    finally:
        group.leave()
    if group.rank:
        return 0
    best = folder / f"{folder.name}.safetensors"
    if why == "stopped":
        print(f"stopped at step {work.step}; go on with: sopi train -o {folder}")
        return 130
    of = work.best
    score = "" if of.step == 0 else f", best at step {of.step}: {of.monitor} {abs(of.value):.3f}"
    print(
        f"{why} at step {work.step}{score}\n"
        f"listen: {folder / 'previews'}; curves: {folder / 'curves.png'}\n"
        f"play it in Pd: SOPI_MODELS={folder.resolve().parent} sopi play, then choose {folder.name}; "
        f"or in any patch the message: load {best.resolve()}"
    )
    return 0


def _dataset(args: argparse.Namespace, folder: Path, config: Config, group: Any) -> Any:
    """What the run began with, or else the data set that was named, or else a new one in the run's folder."""
    from sopilib.train.prepare import Dataset, Preparation, is_dataset, prepare

    if (folder / "run.json").exists():
        return Dataset(options.read_json(folder / "run.json")["dataset"])
    if not args.audio:
        raise SopiError(f"{folder}: no run to go on with, so give sound to train on")
    asked = options.given(args, Preparation)
    asked.pop("sample_rate", None)
    if len(args.audio) == 1 and is_dataset(args.audio[0]):
        if asked:
            raise SopiError(
                f"{args.audio[0]} is a data set: --{next(iter(asked)).replace('_', '-')} belongs to prepare"
            )
        return Dataset(args.audio[0])
    made = folder / "dataset"
    if group.rank == 0 and not is_dataset(made):
        dataset = prepare(args.audio, made, Preparation(**asked, sample_rate=config.sample_rate))
        print((dataset.folder / "summary.txt").read_text(), end="")
    group.gather(None)
    return Dataset(made)


def _write(path: Path, values: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(values, indent=1) + "\n").encode())
    except OSError as e:
        raise SopiError(f"{path}: could not be written ({e.strerror or e})") from None
