"""`sopi prepare`: a data set from recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from sopilib.cli import options
from sopilib.names import for_shell


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi prepare` and its options."""
    from sopilib.train.prepare import Preparation

    parser = commands.add_parser("prepare", help="a data set to train on, from recordings")
    parser.add_argument("audio", nargs="+", help="sound files, folders, or patterns in quotes")
    parser.add_argument("-o", "--output", required=True, type=Path, help="folder to make")
    options.add(parser, Preparation)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Makes the data set and prints its summary. Raises SopiError if there is no sound, or it can't be written."""
    from sopilib.train.preparation.summary import too_little
    from sopilib.train.prepare import Preparation, prepare

    dataset = prepare(args.audio, args.output, Preparation(**options.given(args, Preparation)))
    print((dataset.folder / "summary.txt").read_text(), end="")
    for line in too_little(dataset.seconds("train"), dataset.seconds("validation")):
        print(line)
    print(f"{dataset.folder}: train on it with: sopi train {for_shell(dataset.folder)} -o RUN")
