"""The `sopi` command."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

import sopilib
from sopilib import library, pd_folder, shipped
from sopilib.cli import (
    bench,
    deken,
    doctor,
    fetch,
    generate,
    import_,
    messages,
    osc_layouts,
    play,
    prepare,
    publish,
    score,
    serve,
    train,
    tune,
)
from sopilib.cli.words import Parser
from sopilib.errors import TROUBLES, SopiError, SopiWarning, one_line, sentence
from sopilib.model.summary import summary
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
    argv = sys.argv[1:] if argv is None else argv
    others = argv[1:] if argv[:1] == ["pd"] and argv[1:] not in (["-h"], ["--help"]) else []
    args = parser().parse_args(argv[:1] if others else argv)
    args.words = others  # those of another program

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


def parser() -> Parser:
    """What reads the words of every command."""
    whole = Parser(prog="sopi", description="SampleRNN as an instrument.")
    whole.add_argument("--version", action=_Version, nargs=0, help="version, commit, instructions, systems")
    commands: Any = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    play.add_parser(commands)
    serve.add_parser(commands)
    _models(commands)
    _info(commands)
    generate.add_parser(commands)
    prepare.add_parser(commands)
    train.add_parser(commands)
    tune.add_parser(commands)
    score.add_parser(commands)
    publish.add_parser(commands)
    import_.add_parser(commands)
    bench.add_parser(commands)
    doctor.add_parser(commands)
    deken.add_parser(commands)
    messages.add_parser(commands)
    osc_layouts.add_parser(commands)
    return whole


class _Version(argparse.Action):
    """`--version`: prints it, and ends the process."""

    def __call__(self, *_: object) -> None:
        from sopilib.native import _native

        commit = shipped.commit()
        files = sorted(path.name for path in (shipped.ROOT / "pd" / "pyext").glob("*.*") if pd_folder.is_library(path))
        print(
            f"sopi {sopilib.__version__}{f', commit {commit}' if commit else ''}\n"
            f"engine: {_native.instruction_set('auto')}, {platform.system()} {platform.machine()}\n"
            f"external: {', '.join(files) or 'not built'}"
        )
        raise SystemExit(0)


def _models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    def run(args: argparse.Namespace) -> None:
        if args.get is not None:
            print(f"it lies in {fetch.fetch(args.get, args.into)}")
            return
        from sopilib.live.music import open_model

        found = library.available()
        if not found:
            raise SopiError(f"no models in {', '.join(map(str, library.models_folders()))}")
        for name, path in found.items():
            opened = open_model(path, 1, "native", "auto", 1, lambda: False)
            assert opened is not None
            model = opened.engine.model
            print(f"{name:16} {model!r}")
            size = f"{path.stat().st_size / 1e6:.1f} MB, " if path.is_file() else ""
            print(f"{'':16} {size}{opened.speed:.2g} times real time here, one voice on one core")
            print(f"{'':16} licence: {one_line(summary(model).get('licence', 'the file says none'))}")
        for name, how in library.missing().items():
            print(f"{name:16} missing: {how}")

    parser = commands.add_parser("models", help="the models that load by name: size, speed here, licence")
    parser.add_argument("--get", metavar="HTTPS", help="fetch one: https://.../NAME.safetensors#sha256=HEX")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="with --get; default: SOPI_MODELS, else ./models")
    parser.set_defaults(run=run)


def _info(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    def run(args: argparse.Namespace) -> None:
        path = library.find(args.model)
        model = sopilib.load(path)
        size = f", {path.stat().st_size / 1e6:.1f} MB" if path.is_file() else ""
        print(f"{model!r}\n{path}{size}\n")
        for name, line in summary(model).items():
            print(f"{name}: {line}")
        print()
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
