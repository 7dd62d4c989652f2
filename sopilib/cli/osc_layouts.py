"""`sopi osc-layouts`: docs/osc/, the layouts for controllers, from the command table."""

from __future__ import annotations

import argparse
from pathlib import Path

from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.osc.layouts import open_stage_control, touchosc, vanilla_patch
from sopilib.osc.pattern import is_name


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi osc-layouts`."""
    parser = commands.add_parser("osc-layouts", help="layouts for Open Stage Control, TouchOSC, Pd")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/osc"), help="default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace files of these names")
    parser.add_argument("--instance", default="1", help="name or number of what they play; default %(default)s")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Writes the three layouts into a folder, which is made if need be. Raises SopiError rather than replace a file
    that is not the same already, unless that was asked for."""
    if not is_name(args.instance):
        raise SopiError(f"--instance is {args.instance!r}, expected a name without spaces, or a number")
    args.folder.mkdir(parents=True, exist_ok=True)
    layouts = (
        ("open-stage-control.json", open_stage_control(args.instance).encode()),
        ("touchosc.tosc", touchosc(args.instance)),
        ("vanilla.pd", vanilla_patch(args.instance).encode()),
    )
    for name, content in layouts:
        path = args.folder / name
        if path.exists() and path.read_bytes() != content and not args.overwrite:
            raise SopiError(f"{path}: there is another file of that name, expected --overwrite to replace it")
    for name, content in layouts:
        write_whole(args.folder / name, content)
        print(args.folder / name)
