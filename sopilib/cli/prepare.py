"""`sopi prepare`: a data set from recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from sopilib.cli import options
from sopilib.errors import SopiError
from sopilib.names import for_shell


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi prepare` and its options."""
    from sopilib.train.prepare import Preparation

    parser = commands.add_parser("prepare", help="a data set to train on, from recordings")
    parser.add_argument("audio", nargs="*", help="sound files, folders, or patterns in quotes")
    parser.add_argument("-o", "--output", "--output-dir", required=True, type=Path, help="folder to make")
    options.add(parser, Preparation)
    parser.add_argument("--input-file", help=argparse.SUPPRESS)  # of PRiSM's chunk_audio, as the next
    parser.add_argument("--chunk-length", type=float, metavar="MS", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Makes the data set and prints its summary. Raises SopiError if there is no sound, or it can't be written."""
    from sopilib.train.preparation.summary import too_little
    from sopilib.train.prepare import Preparation, prepare

    audio = [*args.audio, *([args.input_file] if args.input_file else [])]
    if not audio:
        raise SopiError("no sound is named, expected sopi prepare FOLDER -o SET")
    if args.chunk_length or (args.input_file and args.overlap):  # in milliseconds
        args.chunk = (args.chunk_length or 8000) / 1000
        args.overlap = args.overlap and args.overlap / 1000
    dataset = prepare(audio, args.output, Preparation(**options.given(args, Preparation)))
    print((dataset.folder / "summary.txt").read_text(), end="")
    for line in too_little(dataset.seconds("train"), dataset.seconds("validation")):
        print(line)
    print(f"{dataset.folder}: train on it with: sopi train {for_shell(dataset.folder)} -o RUN")
