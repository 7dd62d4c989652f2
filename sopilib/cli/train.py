"""`sopi train`: from a folder of sound to a model that plays."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sopilib.cli import options
from sopilib.errors import SopiError
from sopilib.model import Config
from sopilib.model.quantise import NEW
from sopilib.names import for_shell, shown

if TYPE_CHECKING:
    from sopilib.train.run_folder import Wanted

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
    options.add(parser.add_argument_group("model (default: the preset's)"), Config, MODEL_OPTIONS)
    options.add(parser.add_argument_group("training"), Settings)
    options.add(parser.add_argument_group("sound"), Preparation, without=("sample_rate",))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains until the run is done, with exit status 0, or stopped, with 130. Raises SopiError if it can't."""
    try:
        from sopilib.train import checkpoints, machine, run_folder
        from sopilib.train.parallel import Group
    except ImportError as e:
        raise SopiError(f"training needs PyTorch ({e}): pip install 'sopilib[train]'") from None

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
        f"listen: {folder / 'previews'}; curves: {folder / 'curves.png'}\n"
        f"play it in Pd: SOPI_MODELS={for_shell(folder.resolve().parent)} sopi play, then choose {folder.name}; "
        f"or in any patch the message: load {best.resolve()}"
    )
    return 0


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
    return Wanted(values, args.audio, preparation, args.preset, args.config, args.start)
