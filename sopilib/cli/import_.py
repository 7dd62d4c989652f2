"""`sopi import`: an older system's checkpoint becomes one .safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from sopilib import checkpoint
from sopilib.checkpoint import importers
from sopilib.checkpoint.native import is_model
from sopilib.cli import options
from sopilib.errors import SopiError
from sopilib.files import refuse_foreign


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi import`, with an option for everything that an older checkpoint may not say itself."""
    systems = ", ".join(i.NAME for i in importers.IMPORTERS)
    parser = commands.add_parser("import", help=f"one .safetensors from a checkpoint of {systems}")
    parser.add_argument("path", type=Path, help="; ".join(f"{i.NAME}: {i.DESCRIPTION}" for i in importers.IMPORTERS))
    parser.add_argument(
        "-o", "--output", type=Path, help="its folder is made if need be; default: NAME.safetensors here"
    )
    parser.add_argument("--precision", default="float32", help="float32, float16 or int8; default %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace a model that has this name already")
    options.add(parser, importers.Options)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Writes the model. Raises SopiError if the checkpoint can't be read, or would take the place of another file."""
    model = checkpoint.load(args.path, **options.given(args, importers.Options))
    output = args.output or Path(f"{model.name}.safetensors")
    refuse_foreign(output, is_model, "sopilib model", args.overwrite)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise SopiError(f"{output}: its folder can't be made ({e.strerror})") from None
    checkpoint.save(model, output, args.precision, overwrite=args.overwrite)
    print(f"{output}: {model!r}")
