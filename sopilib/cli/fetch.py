"""`sopi models --get`: a model from the web, which is looked at before it is kept."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from sopilib import library
from sopilib.checkpoint import native
from sopilib.errors import SopiError, one_line
from sopilib.files import whole_file
from sopilib.model import Model
from sopilib.model.summary import summary

LARGEST = 1 << 30
"""Bytes of a file that is fetched, at most."""
PIECE = 1 << 16
WAIT = 30.0
"""Seconds without an answer after which it is given up."""


def fetch(address: str, folder: Path | None = None) -> Path:
    """Fetches a model, and gives the file that it lies in: folder/NAME/NAME.safetensors.

    address  https://.../NAME.safetensors#sha256=HEX. Without the hash it is shown, and whoever sits at the terminal is
             asked whether it is right
    folder   None: the first of $SOPI_MODELS, else ./models

    Raises SopiError if the address or where it leads to is no https, the file is too large, is not of that hash, is no
    model of ours, or if there is a file already where it would lie. Then nothing is kept.
    """
    url, wanted = address.partition("#")[0], _hash(address)
    name = _name(url)
    to = (folder or next(iter(library.own_folders()), Path("models"))) / name / f"{name}.safetensors"
    if os.path.lexists(to):
        raise SopiError(f"{to}: there is such a file already, remove it, or name another folder with --into")
    with tempfile.TemporaryDirectory() as beside:
        came = Path(beside, to.name)
        found = _download(url, came)
        if wanted and found != wanted:
            raise SopiError(f"{one_line(url)}: its sha256 is {found}, expected {wanted}: it is another file")
        model = native.load(came)
        _describe(model, found)
        if not wanted and not _agreed():
            raise SopiError(f"not kept; if that hash is right: sopi models --get '{one_line(url)}#sha256={found}'")
        to.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(to, overwrite=False) as half:
            shutil.copyfile(came, half)
    return to


def _hash(address: str) -> str:
    fragment = urlsplit(address).fragment
    if fragment and not re.fullmatch("sha256=[0-9a-fA-F]{64}", fragment):
        raise SopiError(f"{one_line(fragment)}: expected sha256= and 64 hexadecimal digits behind the #")
    return fragment.removeprefix("sha256=").lower()


def _name(url: str) -> str:
    """What the model is to be called: the last part of the address, of letters, digits, _ and - alone."""
    _need_https(url)
    last = unquote(urlsplit(url).path).rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", last.removesuffix(".safetensors")).strip("-")[:64]
    if not last.endswith(".safetensors") or not name:
        raise SopiError(f"{one_line(url)}: expected the address of a file NAME.safetensors")
    return name


def _need_https(url: str) -> None:
    if urlsplit(url).scheme != "https":
        raise SopiError(f"{one_line(url)}: expected an address that begins with https://")


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Any:
        _need_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, to: Path) -> str:
    """Writes what lies at an address into a file, and gives its sha256."""
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.build_opener(_OnlyHttps).open(url, timeout=WAIT) as answer, to.open("wb") as file:
            while piece := answer.read(PIECE):
                size += len(piece)
                if size > LARGEST:
                    raise SopiError(f"{one_line(url)}: more than {LARGEST / 1e6:.0f} MB, which no model has")
                digest.update(piece)
                file.write(piece)
    except (urllib.error.URLError, HTTPException, TimeoutError) as e:
        raise SopiError(f"{one_line(url)}: {one_line(str(getattr(e, 'reason', e)))}") from None
    return digest.hexdigest()


def _describe(model: Model, found: str) -> None:
    print(one_line(repr(model)))
    said = summary(model)
    for title, line in said.items():
        print(f"{title}: {one_line(line)}")
    if "licence" not in said:
        print("licence: the file says none, ask whoever made it")
    print(f"sha256: {found}")


def _agreed() -> bool:
    """Whether the person at the terminal says yes; nobody is no."""
    if not sys.stdin.isatty():
        return False
    return input("Is this hash the one that you were told? Keep the model? [y/N] ").strip().lower() in ("y", "yes")
