"""`sopi publish`: from a finished run to a folder under models/."""

from __future__ import annotations

import argparse
from pathlib import Path

from sopilib import needed
from sopilib.errors import SopiError
from sopilib.model.weights import PLAY


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi publish`."""
    parser = commands.add_parser("publish", help="a folder under models/ from a run: file, sound, picture, card")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a training run")
    parser.add_argument("audio", nargs="*", help="what it was trained on, for a run that knows no data set")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to make; its name is the model's")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--about", required=True, help="a sentence on the recordings")
    parser.add_argument("--retrain", required=True, help="the command that trained it")
    parser.add_argument("--others", nargs="*", default=[], help="other recordings, to compare the spectrum with")
    parser.add_argument("--precision", default="float16", help="of the file: float32, float16 or int8")
    group = parser.add_argument_group("how it is best played, which its file then says, until a message says otherwise")
    for name, (low, high) in PLAY.items():
        group.add_argument(f"--{name}", type=float, metavar="X", help=f"{low:g} to {high:g}")
    parser.add_argument("--overwrite", action="store_true", help="replace a model that was published there before")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Makes the folder and prints the figures of its card. Raises SopiError with what can be mended."""
    try:
        from sopilib.train.publish import Words, publish
    except ImportError as e:
        raise SopiError(f"publishing needs what training needs ({e}): {needed.pip('sopilib[train]')}") from None
    given = {name: getattr(args, name.replace("-", "_")) for name in PLAY}
    play = {name: value for name, value in given.items() if value is not None}
    words = Words(args.licence, args.about, args.retrain, args.others, args.precision, play)
    print("\n".join(publish(args.run_folder, args.output, words, args.audio, args.overwrite)))
