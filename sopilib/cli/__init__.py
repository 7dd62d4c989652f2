"""The `sopi` command."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import sopilib
from sopilib import library
from sopilib.cli import bench, doctor, import_, messages, osc_layouts, play, prepare, publish, score, serve, train, tune
from sopilib.cli.words import Parser
from sopilib.errors import TROUBLES, SopiError, SopiWarning, one_line, sentence
from sopilib.files import refuse_foreign
from sopilib.names import show_on


def main(argv: list[str] | None = None) -> int:
    """Runs one command, such as ["info", "tabla"]; None: the words that the process was started with.

    Returns the exit status: 0, or 1 if something was wrong that the user can mend, which is then one line on stderr, or
    130 after Ctrl-C. Ends the process with status 2 if the words are no command.
    """
    for stream in (sys.stdout, sys.stderr):
        show_on(stream)
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()  # here, where it can still be told what went wrong
    except BrokenPipeError:  # whoever read, as `head`, has read enough
        _leave_unread()
        return 141
    except OSError as e:
        _leave_unread()
        print(f"sopi: what it says can't be written: {sentence(e)}", file=sys.stderr)
        return 1


def _leave_unread() -> None:
    """Nobody reads the output any more: what is left of it goes nowhere, instead of raising when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: list[str] | None) -> int:
    args = _parser().parse_args(argv)

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        print(f"sopi {args.command}: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", SopiWarning)
            warnings.showwarning = tell
            return int(args.run(args) or 0)
    except BrokenPipeError:
        raise
    except TROUBLES as e:
        tell(one_line(sentence(e)))
        return 1
    except KeyboardInterrupt:
        tell("stopped")
        return 130


def _parser() -> Parser:
    parser = Parser(prog="sopi", description="SampleRNN as an instrument.")
    commands: Any = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    play.add_parser(commands)
    serve.add_parser(commands)
    _models(commands)
    _info(commands)
    _generate(commands)
    prepare.add_parser(commands)
    train.add_parser(commands)
    tune.add_parser(commands)
    score.add_parser(commands)
    publish.add_parser(commands)
    import_.add_parser(commands)
    bench.add_parser(commands)
    doctor.add_parser(commands)
    messages.add_parser(commands)
    osc_layouts.add_parser(commands)
    flags = commands.add_parser(
        "pd-flags", help="the flags with which a pd command line finds the external and the classes"
    )
    flags.set_defaults(run=lambda args: print(" ".join(play.pd_flags(quote=True))))
    return parser


def _models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    def run(args: argparse.Namespace) -> None:
        found = library.available()
        if not found:
            raise SopiError(f"no models in {', '.join(map(str, library.models_folders()))}")
        for name, path in found.items():
            print(f"{name:16} {sopilib.load(path)!r}")

    commands.add_parser("models", help="the models that load by name").set_defaults(run=run)


def _info(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    def run(args: argparse.Namespace) -> None:
        path = library.find(args.model)
        model = sopilib.load(path)
        size = f", {path.stat().st_size / 1e6:.1f} MB" if path.is_file() else ""
        print(f"{model!r}\n{path}{size}\n")
        for title, values in (("config", model.config.to_dict()), ("about", model.about)):
            print(f"{title}:")
            _print_values(values, "  ")

    parser = commands.add_parser("info", help="what a model is: config, training, licence")
    parser.add_argument("model", help="a name under models/, or a file, any SampleRNN's")
    parser.set_defaults(run=run)


def _print_values(values: dict[str, object], indent: str) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            print(f"{indent}{key}:")
            _print_values(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], str):
            print(f"{indent}{key}:", *value, sep=f"\n{indent}  ")
        else:
            print(f"{indent}{key}: {value}")


def _generate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    def run(args: argparse.Namespace) -> None:
        from sopilib import render, sound

        model = sopilib.load(args.model)
        refuse_foreign(args.output, sound.is_sound, "sound file", args.overwrite)
        engine = sopilib.Engine(model, precision=args.precision, threads=args.threads)
        heard = model.encode(sound.read_audio(args.prime, model.config.sample_rate)) if args.prime else None
        sampling = {name: getattr(args, name) for name in ("top_k", "top_p", "min_p", "rest", "rest_level")}
        usual = {"temperature": 1.0, **{name.replace("-", "_"): value for name, value in model.play.items()}}
        asked = {
            name: value for name, value in {"temperature": args.temperature, **sampling}.items() if value is not None
        }
        made = render.blocks(engine, args.seconds, seed=args.seed, heard=heard, **{**usual, **asked})
        seconds = sound.write_audio(args.output, made, model.config.sample_rate, overwrite=args.overwrite)
        print(f"{args.output}: {seconds:g} s at {model.config.sample_rate} Hz")

    parser = commands.add_parser("generate", help="a sound file from a model")
    parser.add_argument("model", help="a name under models/, or a file, any SampleRNN's")
    parser.add_argument("-o", "--output", type=Path, default=Path("out.wav"), help="WAV or FLAC, default %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace a sound file that has this name already")
    parser.add_argument("--seconds", type=float, default=10, help="default %(default)s")
    parser.add_argument("--temperature", type=float, help="default: what the model's file says, else 1")
    parser.add_argument(
        "--rest", type=float, metavar="T", help="temperature where it has been quiet, 0: its own; default: the file's"
    )
    parser.add_argument("--rest-level", type=float, metavar="DB", help="what is quiet; default: the file's, else -30")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="draw only the K likeliest codes")
    parser.add_argument(
        "--top-p", type=float, default=1.0, metavar="P", help="then the fewest with this share of the rest"
    )
    parser.add_argument(
        "--min-p",
        type=float,
        metavar="P",
        help="then those at least this times as likely as the likeliest; default: the file's, else all",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same music; default %(default)s")
    parser.add_argument(
        "--prime", type=Path, metavar="AUDIO", help="a sound that the model hears first, and goes on from"
    )
    parser.add_argument("--precision", default="auto", help="auto, int4, int8 or f32; default %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default %(default)s")
    parser.set_defaults(run=run)
