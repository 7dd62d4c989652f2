"""`sopi tune`: looks for the options with which training goes best."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sopilib import needed
from sopilib.cli.train import MONITOR
from sopilib.cli.words import NoEqual, refuse_no_equal
from sopilib.errors import SopiError
from sopilib.locks import one_process

if TYPE_CHECKING:
    from sopilib.train.prepare import Preparation
    from sopilib.train.tune import Search


SAMPLERS = {"bayes": "bayes", "random": "random", "bayesian": "bayes", "random_search": "random"}
TRIED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "batch": (int, ("--batch", "--batch-size")),
    "seq_len": (int, ("--seq-len",)),
    "dim": (int, ("--dim",)),
    "mlp_dim": (int, ("--mlp-dim",)),
    "num_rnn_layers": (int, ("--num-rnn-layers",)),
    "rnn_type": (str.lower, ("--rnn-type",)),
    "rnn_dropout": (float, ("--rnn-dropout",)),
    "emb_size": (int, ("--emb-size",)),
    "skip_conn": (lambda word: word.lower() == "true", ("--skip-conn",)),
    "q_type": (str, ("--q-type",)),
    "q_levels": (int, ("--q-levels",)),
    "lr": (float, ("--lr", "--learning-rate")),
    "momentum": (float, ("--momentum",)),
    "optimiser": (str, ("--optimiser", "--optimizer")),
}
"""Options whose values can be named one by one; their types, and what they are called here and in older systems."""
NO_EQUAL = {
    "--output-dir": "what is found is in the search's folder, TUNE, so leave it out",
    "--logdir-root": "say where by -o TUNE",
    "--executions-per-trial": "every trial runs once; the seed of training is an option like others, so leave it out",
    "--checkpoint-every": "trials are measured eight times each, so leave it out",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi tune` and its options."""
    from sopilib.train.settings import DEFAULT, PRESETS

    parser = commands.add_parser(
        "tune", help="search the options with which training goes best; the same command goes on with a search"
    )
    parser.add_argument("audio", nargs="*", help="sound files, folders, or one data set")
    parser.add_argument("-o", "--output", type=Path, metavar="TUNE", help="its folder; default tune")
    parser.add_argument(
        "--trials", "--num-trials", "--max-trials", type=int, default=30, help="in all; default %(default)s"
    )
    parser.add_argument(
        "--samples", type=float, default=4.0, help="millions of samples that each trial hears; default %(default)s"
    )
    parser.add_argument("--epochs", "--num-epochs", type=int, metavar="N", help="in place of --samples: how often all")
    parser.add_argument(
        *("--objective",),
        default="held_out_bits",
        help="what counts: held_out_bits, train_bits, held_out_accuracy or train_accuracy; default %(default)s",
    )
    parser.add_argument(
        *("--patience", "--early-stopping-patience"),
        type=int,
        metavar="N",
        help="of a trial: stop after so many of its eight validations without a better one",
    )
    parser.add_argument("--sampler", "--type", choices=tuple(SAMPLERS), default="bayes", help="default %(default)s")
    parser.add_argument(
        "--search", type=Path, metavar="JSON", help='what to try, such as {"dim": [256, 512], "lr": {"low": 1e-3, ...}}'
    )
    parser.add_argument("--preset", choices=list(PRESETS), default=DEFAULT, help="all else; default %(default)s")
    parser.add_argument("--config", type=Path, metavar="JSON", help="values in place of the preset's")
    parser.add_argument(
        "--ray", default="", metavar="ADDRESS", help="of a Ray cluster that sees these folders: auto..."
    )
    parser.add_argument(
        "--cpus", "--num-cpus", type=int, metavar="N", help="cores for trials side by side, by Ray here"
    )
    parser.add_argument("--gpus", "--num-gpus", type=int, metavar="N", help="the same, GPUs")
    parser.add_argument("--seed", type=int, default=0)
    group = parser.add_argument_group("what to try, in place of --search: one value or several of each")
    for name, (kind, flags) in TRIED.items():
        group.add_argument(*flags, dest=f"try_{name}", type=kind, nargs="+", metavar="VALUE", help=name)
    group.add_argument(
        *("--frame-sizes",), type=int, nargs="+", action="append", metavar="SIZE", help="given once for each choice"
    )
    # the course's, of which the second says how many of its frames the first one has
    group.add_argument("--big-frame-size", type=int, nargs="+", help=argparse.SUPPRESS)
    group.add_argument("--frame-size", type=int, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--data-dir", help=argparse.SUPPRESS)
    for flags in (("--val-frac", "--val-pcnt"), ("--test-frac", "--test-pcnt")):
        parser.add_argument(*flags, type=float, help=argparse.SUPPRESS)
    for name, instead in NO_EQUAL.items():
        parser.add_argument(name, nargs="*", action=NoEqual, instead=instead)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Searches until all trials are done; returns the exit status, 130 after Ctrl-C. Raises SopiError."""
    refuse_no_equal(args)
    args.audio = [*args.audio, *([args.data_dir] if args.data_dir else [])]
    args.output = args.output or Path("tune")
    if not args.audio:
        raise SopiError("no sound is named, expected sopi tune FOLDER -o TUNE")
    if args.trials < 1 or args.samples <= 0:
        raise SopiError("expected --trials of at least 1 and --samples above 0")
    try:
        from sopilib.train.tune import refuse_others
    except ImportError as e:
        raise SopiError(f"tuning needs PyTorch and Optuna ({e}): {needed.pip('sopilib[train,tune]')}") from None
    refuse_others(args.output)
    with one_process(args.output, "sopi tune"):
        search = _search(args)
        try:
            search.run(args.trials)
        except KeyboardInterrupt:
            print(f"stopped; the same command goes on. {search.table()}")
            return 130
    return 0


def _preparation(args: argparse.Namespace) -> Preparation:
    from sopilib.train.prepare import Preparation

    shares = {"validation": args.val_frac, "test": args.test_frac}
    given: dict[str, Any] = {part: f"{100 * share:g}%" for part, share in shares.items() if share is not None}
    return Preparation(**given)


def _search(args: argparse.Namespace) -> Search:
    """The search in its folder, on the data set that is named, or else a new one there."""
    from sopilib.train.prepare import Dataset, is_dataset, prepare
    from sopilib.train.settings import PRESETS, read_values
    from sopilib.train.tune import Search

    made = args.output / "dataset"
    if len(args.audio) == 1 and is_dataset(args.audio[0]):
        dataset = Dataset(args.audio[0])
    else:
        dataset = Dataset(made) if is_dataset(made) else prepare(args.audio, made, _preparation(args))
    base = {
        **PRESETS[args.preset][1],
        **(read_values(args.config) if args.config else {}),
        "sample_rate": dataset.sample_rate,
    }
    if args.patience is not None:
        base["patience"] = args.patience
    samples = round(args.samples * 1e6)
    if args.epochs:
        samples = args.epochs * sum(n for _, n in dataset.segments["train"])
    return Search(
        args.output,
        dataset,
        base,
        read_values(args.search) if args.search else _named(args),
        samples,
        SAMPLERS[args.sampler],
        args.seed,
        args.ray or ("local" if args.cpus or args.gpus else ""),
        MONITOR.get(args.objective, args.objective),
        (args.cpus, args.gpus),
    )


def _named(args: argparse.Namespace) -> dict[str, Any] | None:
    """What the options say is to be tried; None if they say nothing."""
    space = {name: values for name in TRIED if (values := getattr(args, f"try_{name}")) is not None}
    frames = args.frame_sizes or [
        [big // ratio, big] for big in args.big_frame_size or [] for ratio in args.frame_size or [4]
    ]
    return (space | ({"frame_sizes": frames} if frames else {})) or None
