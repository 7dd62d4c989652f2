"""`sopi deken`: the package for Pd's own package menu, made by the program `deken`."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sopilib import __version__, library, needed, pd_folder, shipped
from sopilib.errors import SopiError, one_line
from sopilib.native import _native

MODEL = "tabla"
CODE = Path(__file__).resolve().parents[1]
SYSTEMS = {"linux": "l", "darwin": "d", "win32": "m"}
UNUSED = shutil.ignore_patterns(
    "__pycache__", "test", "tests", "idlelib", "turtledemo", "tkinter", "ensurepip", "config-*"
)
"""Of a Python: what nobody needs who plays."""
CHECK = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
import sopilib
text = ctypes.create_string_buffer(1 << 16)
ctypes.CDLL(sys.argv[2]).sopi_pyext_search(text, len(text))
print(text.value.decode())
"""
"""Run by a shipped Python: it has what sopilib needs, and the external says whether it takes it."""
PROCESSORS = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `sopi deken`."""
    what = "a package for Pd's package menu: externals, patches, tabla and sopilib, without a Python"
    parser = commands.add_parser("deken", help=what)
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="default: here")
    parser.add_argument(
        "--full",
        type=Path,
        metavar="PYTHON",
        help="put a Python in, with all that playing needs: the folder of one that runs wherever it lies, as those of"
        " python-build-standalone and uv do",
    )
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
        if args.full is not None:
            put_in_python(args.full, loader, Path(place))
        packed.mkdir()
        version = __version__ if args.full is None else f"{__version__}-full"
        words = [args.deken, "package", "--version", version, "--no-sign-gpg", "--output-dir", packed, folder]
        words += ["--extra-arch-files", loader]
        environment = {**os.environ, "DEKEN_ROOT": "yes"}
        _run(environment, *words)
        made = sorted(packed.iterdir())
        if not any(path.suffix == ".dek" for path in made):
            raise SopiError(f"{args.deken} made no package")
        for path in made:
            shutil.move(path, args.output / path.name)
            print(args.output / path.name)


def fill(folder: Path) -> Path:
    """Fills a new folder with all that the package has -> its library. Raises SopiError."""
    folder.mkdir()
    pd_folder.refresh(folder)
    loader = pd_folder.external()
    system = f".{SYSTEMS.get(sys.platform, 'l')}_{PROCESSORS.get(platform.machine(), platform.machine())}"
    for path in (folder / "pyext").glob(f"*{loader.suffix}"):
        path.rename(path.with_suffix(system))  # so that all systems may lie in one folder
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
    return folder / "pyext" / f"{loader.stem}{system}"


def put_in_python(python: Path, loader: Path, place: Path) -> None:
    """Puts a Python with its own site-packages beside the external, which looks there first. `place`: for what is
    written meanwhile. Raises SopiError if Pd could not run it there."""
    program, to = python / "bin" / "python3", loader.parent / "python"
    libraries = [p for p in python.glob("lib/libpython3.*") if re.search(r"3\.\d+\.(so\.1\.0|dylib)$", p.name)]
    modules = sorted(python.glob("lib/python3.*/os.py"))
    if not program.is_file() or not libraries or not modules:
        raise SopiError(
            f"{python}: expected a folder with bin/python3, the modules in lib/python3.*, and lib/libpython3.*"
        )
    for path in (program, *libraries):
        _copy(path, to / path.relative_to(python))
        shutil.copymode(path, to / path.relative_to(python))
    for path in modules:
        shutil.copytree(path.parent, to / path.parent.relative_to(python), ignore=UNUSED)
    own = to / program.relative_to(python)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOPI_", "XDG_"))}
    pip = [sys.executable, "-m", "pip", "--python", str(own), "install", "--quiet", "--disable-pip-version-check"]
    _run(clean, *pip, "--no-compile", "--break-system-packages", *needed.packages().values())
    for path in [*to.rglob("*.c"), *to.rglob("*.cpp"), *to.rglob("*.cc")]:
        path.unlink()  # for deken would call the package one of sources
    check = _run({**clean, "HOME": str(place)}, own, "-B", "-s", "-c", CHECK, loader.parent.parent, loader)
    if not check.startswith(f"takes {own}"):
        raise SopiError(f"{python}: Pd can't run this Python: {one_line(check)}")


def _run(environment: dict[str, str], *words: str | Path) -> str:
    """What a program prints. Raises SopiError with its last line if it fails."""
    done = subprocess.run(words, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SopiError(f"{words[0]}: {(done.stderr.strip().splitlines() or ['failed and said nothing'])[-1]}")
    return done.stdout


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
