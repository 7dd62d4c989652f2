"""`sopi train`: from a folder of sound to a model that plays."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sopilib import needed
from sopilib.cli import options
from sopilib.cli.words import NoEqual, refuse_no_equal
from sopilib.errors import SopiError
from sopilib.model import Config
from sopilib.model.quantise import NEW
from sopilib.names import for_shell, shown

if TYPE_CHECKING:
    from sopilib.train.run_folder import Wanted

OLD: dict[str, tuple[str, ...]] = {
    **{"batch": ("--batch-size",), "lr": ("--learning-rate",), "optimiser": ("--optimizer",)},
    **{"patience": ("--early-stopping-patience",), "preview_seconds": ("--output-file-dur",)},
    **{"previews": ("--max-generate-per-epoch",), "preview_temperatures": ("--temperature",)},
    **{"num_rnn_layers": ("--n-rnn",), "learn_initial": ("--learn-h0",)},
}
"""What options are called in PRiSM's and the course's train, and in Dadabots' two_tier, if they mean the same."""
MONITOR = {"loss": "train_bits", "accuracy": "train_accuracy", "val_loss": "held_out_bits"}
MONITOR["val_accuracy"] = "held_out_accuracy"
NO_EQUAL = {
    "--verbose": "one line that changes is shown on a terminal, so leave it out",
    "--output-dir": "the sounds of a training are in the run's folder, RUN/previews, so leave it out",
    "--num-val-batches": "say how much of the sound is held out: --val-frac 0.1, or --validation 60s",
    "--debug": "leave it out",
}
"""Options of theirs that have no equal here, and what to use."""
MODEL_OPTIONS = {
    "seq_len": "samples of a step, a multiple of the largest frame",
    "frame_sizes": "samples in a frame of each tier, smallest first",
    "dim": "width of the RNNs",
    "mlp_dim": "width of the sample level",
    "rnn_type": "gru or lstm",
    "num_rnn_layers": "RNN layers in each tier",
    "q_type": ", ".join(NEW),
    "q_levels": "levels of a sample, 2 to 1024",
    "emphasis": "share of each sample that is taken from the next before it is coded; two poles at most; 0: none",
    "frame_input": "what the RNNs see of a sample: its code, or audio: the sample itself",
    "emb_size": "width of the embedding of a sample; 0: one-hot",
    "skip_conn": "every RNN layer reaches its tier's output",
    "skip_style": "output, or full: the tier's input also reaches every layer",
    "gru_reset_after": "the GRU of PyTorch and Keras; without it Theano's",
    "sample_rate": "Hz",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of `sopi`."""
    from sopilib.train.prepare import Preparation
    from sopilib.train.settings import DEFAULT, PRESETS, Settings

    presets = "; ".join(f"{name}: {what}" for name, (what, _) in PRESETS.items())
    parser = commands.add_parser(
        "train",
        help="a model from recordings",
        description="Trains a model. The same command, or `sopi train -o RUN` alone, goes on with a run that stopped.",
    )
    parser.add_argument("audio", nargs="*", help="sound files, folders, patterns in quotes, or one data set")
    parser.add_argument("-o", "--output", type=Path, metavar="RUN", help="its folder; and its name")
    parser.add_argument(
        "--use", type=int, metavar="STEP", help="make the model of this step the run's: sopi train RUN --use STEP"
    )
    parser.add_argument("--preset", choices=list(PRESETS), help=f"{presets}. Default {DEFAULT}".replace("%", "%%"))
    parser.add_argument(
        "--config", type=Path, metavar="JSON", help="values of the options below, or a *.config.json of the course"
    )
    parser.add_argument("--from", dest="start", metavar="MODEL", help="go on training this model, of any system")
    parser.add_argument(
        "--epochs", "--num-epochs", type=int, metavar="N", help="in place of --steps: all is heard so often"
    )
    parser.add_argument(
        *("--every-epochs", "--checkpoint-every"),
        type=int,
        metavar="N",
        help="in place of --every, and of --preview-every if that isn't given",
    )
    parser.add_argument(
        *("--decay-after-epochs", "--reduce-learning-rate-after"),
        type=int,
        metavar="N",
        help="in place of --decay-after; from then on the learning rate falls at each epoch",
    )
    options.add(parser.add_argument_group("model (default: the preset's)"), Config, MODEL_OPTIONS, old=OLD)
    options.add(parser.add_argument_group("training"), Settings, without=("seed",), old=OLD)
    options.add(parser.add_argument_group("sound"), Preparation, without=("sample_rate",))
    parser.add_argument(
        "--seed", metavar="N", help="same seed, same training; default 0. A sound file is taken as by --preview-from"
    )
    _add_old(parser)
    parser.set_defaults(run=run)


def _add_old(parser: argparse.ArgumentParser) -> None:
    """Adds the options of older systems that mean something else here, or what several options mean. None has a help:
    docs/coming-from.md has them."""
    for names, kind in (
        (("--data-dir", "--which-set"), str),
        (("--id", "--exp"), str),
        (("--logdir-root",), Path),
        (("--config-file",), Path),
        (("--resume-from",), str),
        (("--checkpoint-policy",), str),
        (("--max-checkpoints",), str),
        (("--seed-offset",), int),
        (("--val-frac", "--val-pcnt"), float),
        (("--test-frac", "--test-pcnt"), float),
        (("--n-frames",), int),
        (("--frame-size",), int),
        (("--big-frame-size",), int),
    ):
        parser.add_argument(*names, type=kind, help=argparse.SUPPRESS)
    for name in ("--generate", "--mixed-precision"):
        parser.add_argument(name, action=argparse.BooleanOptionalAction, help=argparse.SUPPRESS)
    # PRiSM's has a value, Dadabots' none
    parser.add_argument("--resume", nargs="?", const="True", choices=("True", "False"), help=argparse.SUPPRESS)
    for name, instead in NO_EQUAL.items():
        parser.add_argument(name, nargs="?", action=NoEqual, instead=instead)


def run(args: argparse.Namespace) -> int:
    """Trains until the run is done, with exit status 0, or stopped, with 130. Raises SopiError if it can't."""
    try:
        from sopilib.train import checkpoints, machine, run_folder
        from sopilib.train.parallel import Group
    except ImportError as e:
        raise SopiError(f"training needs PyTorch ({e}): {needed.pip('sopilib[train]')}") from None

    _from_old(args)
    folder = _folder(args)
    if args.use is not None:
        with run_folder.alone(folder, Group()):
            print(
                f"{checkpoints.use(folder, args.use)}: the model of step {args.use}, until training finds a better one"
            )
        return 0
    group = Group.join(machine.device(args.device or "auto"))
    try:
        with run_folder.alone(folder, group):
            work = run_folder.open_run(folder, _wanted(args), group)
            why = work.train()
    finally:
        group.leave()
    if group.rank:
        return 0
    best = folder / f"{folder.name}.safetensors"
    if why == "stopped":
        print(f"stopped at step {work.step}; go on with: sopi train -o {for_shell(folder)}")
        return 130
    of = work.best
    score = "" if of.step == 0 else f", best at step {of.step}: {of.monitor} {abs(of.value):.3f}"
    print(
        f"{why} at step {work.step}{score}\n"
        f"listen: {folder / 'listen.html'} in a browser; curves: {folder / 'curves.png'}\n"
        f"play it in Pd: SOPI_MODELS={for_shell(folder.resolve().parent)} sopi play, then choose {folder.name}; "
        f"or in any patch the message: load {best.resolve()}"
    )
    return 0


def _from_old(args: argparse.Namespace) -> None:
    """Puts what options of older systems mean into those of ours; these go before."""
    refuse_no_equal(args)
    if args.resume == "False":
        raise SopiError("--resume False: a run in a folder always goes on, so give a new one by -o or --id")
    dadabots = args.n_frames or args.frame_size
    if args.data_dir:
        args.audio = [*args.audio, args.data_dir]
    if args.output is None and (args.id or args.data_dir):
        args.output = (args.logdir_root or Path("logdir")) / (args.id or "default")
    args.config, args.start = args.config or args.config_file, args.start or args.resume_from
    if dadabots:
        if not (args.n_frames or args.seq_len) or not args.frame_size:
            raise SopiError("--n-frames or --seq-len, and --frame-size, go together")
        args.frame_sizes = [args.frame_size, *([args.big_frame_size] if args.big_frame_size else [])]
        args.seq_len = args.seq_len or args.n_frames * args.frame_size
        args.preset = args.preset or ("dadabots" if not args.config else None)
    _from_old_settings(args)


def _from_old_settings(args: argparse.Namespace) -> None:
    args.rnn_type = args.rnn_type and args.rnn_type.lower()
    args.monitor = MONITOR.get(args.monitor, args.monitor)
    if args.device and (args.device == "All" or args.device.isdigit()):
        args.device = "auto" if args.device == "All" else f"cuda:{args.device}"
    if args.max_checkpoints is not None and args.keep is None:
        if args.max_checkpoints.lower() != "none" and not args.max_checkpoints.isdigit():
            raise SopiError(f"--max-checkpoints is {args.max_checkpoints!r}, expected a number or None")
        args.keep = int(args.max_checkpoints) if args.max_checkpoints.isdigit() else 0
    if args.checkpoint_policy and args.checkpoint_policy.lower() == "best" and args.keep is None:
        args.keep = 1
    if args.generate is False:
        args.preview_every = 0
    if args.mixed_precision is not None and args.precision is None:
        args.precision = "auto" if args.mixed_precision else "float32"
    for part, share in (("validation", args.val_frac), ("test", args.test_frac)):
        if share is not None and getattr(args, part) is None:
            setattr(args, part, f"{100 * share:g}%")
    if args.seed is not None:
        try:
            args.seed = int(args.seed)
        except ValueError:
            args.preview_from, args.seed = args.preview_from or args.seed, None
    if args.seed_offset is not None and args.preview_offset is None:
        args.preview_offset = args.seed_offset / (args.sample_rate or Config.sample_rate)
    if args.preview_from:  # a run may go on from another folder
        args.preview_from = os.path.abspath(args.preview_from)


def _folder(args: argparse.Namespace) -> Path:
    """The run's folder, which may also stand alone."""
    from sopilib.train import run_folder

    if args.output is None and len(args.audio) == 1 and run_folder.exists(Path(args.audio[0])):
        args.output, args.audio = Path(args.audio[0]), []
    if args.output is None:
        raise SopiError("where is the run to be? expected -o RUN, the name of its folder")
    if args.use is not None and not run_folder.exists(args.output):
        raise SopiError(f"{shown(args.output)}: no run, whose step could be used")
    return args.output


def _wanted(args: argparse.Namespace) -> Wanted:
    """What the command line asks for."""
    from sopilib.train.prepare import Preparation
    from sopilib.train.run_folder import Wanted
    from sopilib.train.settings import Settings

    values = {**options.given(args, Config), **options.given(args, Settings)}
    values.pop("features", None)  # those of the sound: the data set knows how many there are
    preparation = options.given(args, Preparation)
    preparation.pop("sample_rate", None)
    epochs = {"steps": args.epochs, "every": args.every_epochs, "decay_after": args.decay_after_epochs}
    for name, count in epochs.items():
        if count is not None and count < 1:
            raise SopiError(f"{name.replace('_', ' ')} is {count} epochs, expected 1 or more")
    counted = {name: count for name, count in epochs.items() if count is not None}
    return Wanted(values, args.audio, preparation, args.preset, args.config, args.start, counted)
