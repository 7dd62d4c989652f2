"""`sopi osc-layouts`: docs/osc/, the layouts for controllers, from the command table."""

from __future__ import annotations

import argparse
from pathlib import Path

from sopilib.errors import SopiError
from sopilib.osc.layouts import open_stage_control, touchosc, vanilla_patch
from sopilib.osc.pattern import is_name


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("osc-layouts", help="layouts for Open Stage Control, TouchOSC, Pd")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/osc"), help="default: %(default)s")
    parser.add_argument("--instance", default="1", help="name or number of what they play; default %(default)s")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if not is_name(args.instance):
        raise SopiError(f"--instance is {args.instance!r}, expected a name without spaces, or a number")
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("open-stage-control.json", open_stage_control(args.instance).encode()),
        ("touchosc.tosc", touchosc(args.instance)),
        ("vanilla.pd", vanilla_patch(args.instance).encode()),
    ):
        (args.folder / name).write_bytes(content)
        print(args.folder / name)
