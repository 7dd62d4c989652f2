"""The part of `sopi generate` that helps to choose among takes: their page, and what becomes of those not kept."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sopilib import sound
from sopilib.engine import Engine
from sopilib.files import refuse_foreign
from sopilib.listen import is_page
from sopilib.model import Model
from sopilib.render import choose
from sopilib.render.place import Place
from sopilib.render.plan import Plan


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of choosing."""
    group = parser.add_argument_group("choosing")
    group.add_argument(
        "--page",
        action=argparse.BooleanOptionalAction,
        help="write takes.html, a page to hear, rank and choose them with; default: where there are several",
    )
    group.add_argument(
        "--like", nargs="+", metavar="SOUND", help="recordings, or folders of them, that the page compares takes with"
    )
    group.add_argument(
        "--keep",
        nargs="+",
        metavar="NUMBER",
        help="keep these takes of the folder -o, such as 3 17 20-24, or a file with such a list, as the page saves it; "
        f"the others are moved into its folder {choose.OTHERS!r}",
    )
    group.add_argument("--delete", action="store_true", help="with --keep: delete the others")


def drop_page(place: Place) -> None:
    """Takes away the page of a place whose takes will be others. Raises SopiError if what has its name is none."""
    if not place.keeps_half:
        refuse_foreign(choose.page_of(place), is_page, "page of takes", True)
        choose.page_of(place).unlink(missing_ok=True)


def write_page(args: argparse.Namespace, plan: Plan, place: Place, threads: int, model: Model) -> None:
    """Writes the page of these takes, if it is wanted and isn't there. Raises SopiError.

    threads  how many takes are heard at a time
    """
    path = choose.page_of(place)
    if args.page is False or place.keeps_half or (args.page is None and len(plan.takes) < 2):
        return
    if path.exists() and not (args.page or args.like):
        return
    refuse_foreign(path, is_page, "page of takes", True)
    recordings = sound.find_audio(args.like) if args.like else []

    def told(count: int) -> None:
        if sys.stderr.isatty():
            print(f"{path.name}: {count} of {len(plan.takes)} takes heard", end="\r", file=sys.stderr, flush=True)

    choose.page(plan, place, Engine(model), recordings, threads, told)
    print(f"{path}: open it in a browser to hear them and to choose")


def keep(args: argparse.Namespace) -> int:
    """Keeps some takes that are there. Raises SopiError."""
    output = args.output or Path("takes")
    place = Place(output.parent, f"{output.stem}.takes.json") if output.suffix else Place(output)
    with place.alone():
        plan, others = choose.keep(place, choose.wanted(args.keep), args.delete)
    where = "deleted" if args.delete else f"moved to {place.folder / choose.OTHERS}"
    print(f"{place.folder}: {len(plan.takes)} kept, {others} {where}")
    return 0
