"""`sopi deken`: the package for Pd's own package menu, made by the program `deken`."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sopilib import __version__, library, pd_folder, shipped
from sopilib.errors import SopiError
from sopilib.native import _native

MODEL = "tabla"
CODE = Path(__file__).resolve().parents[1]
SYSTEMS = {"linux": "l", "darwin": "d", "win32": "m"}
PROCESSORS = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi deken`."""
    what = "a package for Pd's package menu: externals, patches, tabla and sopilib, without a Python"
    parser = commands.add_parser("deken", help=what)
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="default: here")
    parser.add_argument("--deken", default="deken", help="the program that packs it; default %(default)s")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Packs, and prints the names of the files. Raises SopiError."""
    if shutil.which(args.deken) is None:
        raise SopiError(f"{args.deken}: no such program; apt install deken, or pip install deken")
    if ".abi3." not in _native.__file__:
        print(f"for Python 3.{sys.version_info[1]} alone: sopi deken of a wheel is for all from 3.11 on")
    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder, packed = Path(place) / pd_folder.NAME, Path(place) / "packed"
        loader = fill(folder)
        packed.mkdir()
        words = [args.deken, "package", "--version", __version__, "--no-sign-gpg", "--output-dir", packed, folder]
        words += ["--extra-arch-files", loader]
        environment = {**os.environ, "DEKEN_ROOT": "yes"}
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=environment)
        made = sorted(packed.iterdir())
        if done.returncode or not any(path.suffix == ".dek" for path in made):
            raise SopiError(
                f"{args.deken} made no package: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
            )
        for path in made:
            shutil.move(path, args.output / path.name)
            print(args.output / path.name)


def fill(folder: Path) -> Path:
    """Fills a new folder with all that the package has -> its library. Raises SopiError."""
    folder.mkdir()
    pd_folder.refresh(folder)
    loader = pd_folder.external()
    own = f"{loader.stem}.{SYSTEMS.get(sys.platform, 'l')}_{PROCESSORS.get(platform.machine(), platform.machine())}"
    (folder / "pyext" / loader.name).rename(folder / "pyext" / own)  # so that all systems may lie in one folder
    (folder / pd_folder.STAMP).unlink()
    for path in sorted(CODE.rglob("*")):
        part = path.relative_to(CODE)
        if path.suffix in (".py", ".html", ".css", ".js") and part.parts[0] not in ("pd", "models"):
            _copy(path, folder / "sopilib" / part)
    _copy(Path(_native.__file__), folder / "sopilib" / "native" / Path(_native.__file__).name)
    model = library.available()[MODEL].parent
    for path in model.iterdir():
        _copy(path, folder / "models" / MODEL / path.name)
    for name in ("LICENSE", "NOTICES.md"):
        _copy(shipped.ROOT / name, folder / name)
    return folder / "pyext" / own


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
