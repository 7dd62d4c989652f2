"""Reads .safetensors files: models and snapshots.

The bytes are read first, and then understood. The library can map a file into memory instead, but if another program
cuts a mapped file short while it is read (`cp` over it, a network disk that goes away), the system ends the process,
and Pd with it.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from sopilib.errors import SopiError

__all__ = ["TensorFile", "metadata", "read"]

LARGEST_HEADER = 4 << 20  # bytes; a hundred times what the largest model needs


class TensorFile(NamedTuple):
    """What a file holds: texts by name, and arrays by name."""

    metadata: dict[str, str]
    arrays: dict[str, np.ndarray]


def metadata(path: Path) -> dict[str, str]:
    """What the file says of itself; nothing is read beyond its header. Raises SopiError with what is wrong if it is
    missing, can't be read, or is no .safetensors file."""
    return _metadata(path, _header(path))


def read(path: Path) -> TensorFile:
    """All that is in the file. Raises SopiError with what is wrong if it is missing, can't be read, is no .safetensors
    file, or is cut short or damaged."""
    about = metadata(path)
    try:
        return TensorFile(about, load(path.read_bytes()))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as e:
        raise SopiError(f"{path}: not a safetensors file, or cut short or damaged ({e})") from None


def _header(path: Path) -> bytes:
    if not os.path.isfile(path):
        raise SopiError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(8)
            if len(head) < 8:
                raise SopiError(f"{path}: only {size} bytes, not a safetensors file")
            (length,) = struct.unpack("<Q", head)
            if length > min(size - 8, LARGEST_HEADER):
                raise SopiError(f"{path}: not a safetensors file, or cut short ({size} bytes)")
            return file.read(length)
    except OSError as e:
        raise SopiError(f"{path}: can't be read ({e.strerror or e})") from None


def _metadata(path: Path, header: bytes) -> dict[str, str]:
    try:
        found = json.loads(header).get("__metadata__", {})
    except (ValueError, AttributeError, RecursionError) as e:
        raise SopiError(f"{path}: not a safetensors file, or damaged (its header is no JSON: {e})") from None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise SopiError(f"{path}: not a safetensors file, or damaged (its metadata are not texts)")
    return found
