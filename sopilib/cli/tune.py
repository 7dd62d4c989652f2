"""`sopi tune`: looks for the options with which training goes best."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sopilib.errors import SopiError
from sopilib.locks import one_process

if TYPE_CHECKING:
    from sopilib.train.tune import Search


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi tune` and its options."""
    from sopilib.train.settings import DEFAULT, PRESETS

    parser = commands.add_parser(
        "tune", help="search the options with which training goes best; the same command goes on with a search"
    )
    parser.add_argument("audio", nargs="+", help="sound files, folders, or one data set")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="TUNE", help="its folder")
    parser.add_argument("--trials", type=int, default=30, help="in all; default %(default)s")
    parser.add_argument(
        "--samples", type=float, default=4.0, help="millions of samples that each trial hears; default %(default)s"
    )
    parser.add_argument("--sampler", choices=("bayes", "random"), default="bayes", help="default %(default)s")
    parser.add_argument(
        "--search", type=Path, metavar="JSON", help='what to try, such as {"dim": [256, 512], "lr": {"low": 1e-3, ...}}'
    )
    parser.add_argument("--preset", choices=list(PRESETS), default=DEFAULT, help="all else; default %(default)s")
    parser.add_argument("--config", type=Path, metavar="JSON", help="values in place of the preset's")
    parser.add_argument(
        "--ray", default="", metavar="ADDRESS", help="of a Ray cluster that sees these folders: auto..."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Searches until all trials are done; returns the exit status, 130 after Ctrl-C. Raises SopiError."""
    if args.trials < 1 or args.samples <= 0:
        raise SopiError("expected --trials of at least 1 and --samples above 0")
    try:
        from sopilib.train.tune import refuse_others
    except ImportError as e:
        raise SopiError(f"tuning needs PyTorch and Optuna ({e}): pip install 'sopilib[train,tune]'") from None
    refuse_others(args.output)
    with one_process(args.output, "sopi tune"):
        search = _search(args)
        try:
            search.run(args.trials)
        except KeyboardInterrupt:
            print(f"stopped; the same command goes on. {search.table()}")
            return 130
    return 0


def _search(args: argparse.Namespace) -> Search:
    """The search in its folder, on the data set that is named, or else a new one there."""
    from sopilib.train.prepare import Dataset, Preparation, is_dataset, prepare
    from sopilib.train.settings import PRESETS, read_values
    from sopilib.train.tune import Search

    made = args.output / "dataset"
    if len(args.audio) == 1 and is_dataset(args.audio[0]):
        dataset = Dataset(args.audio[0])
    else:
        dataset = Dataset(made) if is_dataset(made) else prepare(args.audio, made, Preparation())
    base = {
        **PRESETS[args.preset][1],
        **(read_values(args.config) if args.config else {}),
        "sample_rate": dataset.sample_rate,
    }
    space = read_values(args.search) if args.search else None
    return Search(args.output, dataset, base, space, round(args.samples * 1e6), args.sampler, args.seed, args.ray)
