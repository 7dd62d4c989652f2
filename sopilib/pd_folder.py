"""What Pd needs of sopilib: flags for a `pd` command line, or the folder `samplernn~` where Pd looks for externals."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sopilib import __version__, shipped
from sopilib.errors import SopiError
from sopilib.files import write_whole

__all__ = [
    "INSTRUMENT",
    "NAME",
    "RENDER",
    "contents",
    "environment",
    "external",
    "externals_folder",
    "flags",
    "in_pd",
    "is_library",
    "own_instrument",
    "refresh",
    "register",
    "registered",
]

NAME = "samplernn~"
"""Of the folder: under it [declare -path samplernn~] and Pd's own search find it."""
INSTRUMENT = shipped.ROOT / "samplernn.pd"
RENDER = shipped.ROOT / "pd" / "render.pd"
STAMP = "made-by-sopilib.json"
"""In the folder: the version that filled it, and the SHA-256 of each file as it was then."""
DECLARED = "-path pd -path pd/pyext"
"""How samplernn.pd finds the folders beside it."""


def external() -> Path:
    """The library `sopi`, with [sopi~] and [pyext~]. Raises SopiError if it is not built."""
    path = shipped.ROOT / "pd" / "pyext" / ("sopi.pd_darwin" if sys.platform == "darwin" else "sopi.pd_linux")
    if not path.is_file():
        raise SopiError(f"{path}: not built, run make play")
    return path


def flags() -> list[str]:
    """What a pd command line needs to find the external, the classes and the abstractions. Raises SopiError."""
    # the last folder is there for its name, under which Pd's help browser then lists help and examples
    folders = [external().parent, shipped.ROOT / "pd", shipped.ROOT / "pd" / "samplernn"]
    return [word for folder in folders for word in ("-path", str(folder))] + ["-lib", "sopi"]


def environment() -> dict[str, str]:
    """The environment of a Pd that is started here: its external starts this Python, unless SOPI_PYTHON says which.
    So a checkout that was moved or copied uses itself."""
    return {"SOPI_PYTHON": sys.executable, **os.environ}


# ---------------------------------------------------------------- the folder


def contents() -> Iterator[tuple[str, bytes]]:
    """The files of the folder, as names with / and what is in them. Raises SopiError if the external is not built."""
    library = external()
    own = shipped.ROOT / "pd"
    for path in sorted(own.rglob("*")):
        name = path.relative_to(own).as_posix()
        if path.suffix in (".pd", ".py") and not re.match(r"write_|pyext/(embed|locate_python|sopi/|build/)", name):
            yield name, path.read_bytes()
    for path in sorted(library.parent.iterdir()):
        if is_library(path):
            yield f"pyext/{path.name}", path.read_bytes()
    patch = INSTRUMENT.read_text(encoding="utf-8")
    yield INSTRUMENT.name, patch.replace(DECLARED, f"-path . -path pyext {_anywhere()}").encode()


def is_library(path: Path) -> bool:
    """Whether this is a file of the external's, for any system."""
    return path.is_file() and bool(re.fullmatch(r".*\.(pd_\w+|[lmd]_\w+|so|dll|dylib)", path.name))


def _anywhere() -> str:
    """What finds the folder from a patch that may lie anywhere."""
    return f"-path {NAME} -path {NAME}/pyext"


def externals_folder() -> Path:
    """Where Pd looks for externals of this user by itself, whatever its settings."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Pd"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "Pd"
    return Path.home() / ".local" / "lib" / "pd" / "extra"


def refresh(folder: Path) -> list[str]:
    """Fills `folder`, or brings it to this version -> what was done, in sentences; none if nothing was.

    A file that is as a version of sopilib wrote it is replaced, or taken away if it belongs to none any more. One that
    somebody has changed is kept, and the new one put beside it, with `.new` behind its name; that is told once. Raises
    SopiError, and OSError if something can't be written.
    """
    if folder.is_symlink():
        return []  # somebody who works on sopilib has put it there
    stamp = _stamp(folder)
    before: dict[str, str] = stamp.get("files", {})
    after: dict[str, str] = {}
    edited = []
    for name, new in contents():
        after[name] = digest = hashlib.sha256(new).hexdigest()
        there = _digest(folder / name)
        if there == digest:
            continue
        if there in (None, before.get(name)):
            _write(folder / name, new)
        elif before.get(name) != digest:
            _write(folder / f"{name}.new", new)
            edited.append(name)
    for name in before.keys() - after.keys():
        if _digest(folder / name) == before[name]:
            (folder / name).unlink()
    if stamp == {"version": __version__, "files": after}:
        return []
    _write(folder / STAMP, json.dumps({"version": __version__, "files": after}, indent=1).encode())
    told = [
        f"{folder}: {'brought to' if stamp else 'made by'} sopilib {__version__}; Pd finds [{NAME}] there without flags"
    ]
    if edited:
        told.append(f"{folder}: you have changed {', '.join(edited)}: kept; the new one lies beside it, as .new")
    return told


def _stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / STAMP).read_bytes())
    except (OSError, ValueError):
        return {}
    well = isinstance(stamp, dict) and isinstance(stamp.get("files"), dict)
    return stamp if well else {}


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)  # Pd may have the old one open: it goes on with that


# ---------------------------------------------------------------- what is the user's


def own_instrument() -> Path:
    """The user's copy of samplernn.pd, made when there is none: what one saves and records is there, and never in ours.
    It holds no more than a box and what was saved, so that it is of the present version. What it declares is brought to
    where this sopilib is, so that Pd opens it without flags too. Raises SopiError."""
    own = Path.home() / NAME.rstrip("~") / INSTRUMENT.name
    here = in_pd(shipped.ROOT / "pd")
    places = _anywhere() if shipped.installed() else f"-path {here} -path {here}/pyext"
    try:
        if not own.is_file():
            own.parent.mkdir(parents=True, exist_ok=True)
            patch = INSTRUMENT.read_text(encoding="utf-8").replace(DECLARED, places)
            patch = re.sub(r"(#X obj .* declare .*);", r"\1, f 136;", patch)  # a box of one line
            write_whole(own, patch.encode(), overwrite=False)
            return own
        patch = own.read_text(encoding="utf-8", errors="surrogateescape")
        # of it: -path FOLDER -path FOLDER/pyext, between whose words Pd may have put ends of lines
        ours = re.compile(r"-path\s+((?:\\.|[^\\\s;,])+)\s+-path\s+\1/pyext(?=[\s,;])")
        moved = ours.sub(lambda _: places, patch)
        if moved != patch and os.access(own, os.W_OK):
            write_whole(own, moved.encode(errors="surrogateescape"))
    except OSError as e:
        raise SopiError(f"{own}: {e.strerror or e}; name a patch that can be opened: sopi play PATCH") from None
    return own


def in_pd(path: Path) -> str:
    """A path as one word of a patch, or of a message of Pd's."""
    return re.sub(r"([\\ ,;$])", r"\\\1", path.as_posix())


def register() -> None:
    """Notes for the external which Python has sopilib, for a Pd that is started without us. Raises OSError."""
    path, text = registered(), f"{sys.executable}\n".encode(errors="surrogateescape")
    if not path.is_file() or path.read_bytes() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)


def registered() -> Path:
    """The file of `register`, where the external's search.cpp looks for it."""
    if sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return folder / "samplernn" / "python.txt"
