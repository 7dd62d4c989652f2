"""Our file: one .safetensors with the weights and, as JSON metadata, everything else.

Metadata: `format` ("sopilib"), `version` ("1"), `config` (JSON of `Config`), `about` (JSON: provenance, licence).
Weights are float32, float16, or int8 with a float32 `<name>.scale` of one factor per row (all axes but the last).
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save as to_bytes

from sopilib import tensor_file
from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.model import Config, Model, shapes

FORMAT, VERSION = "sopilib", "1"
SCALE = ".scale"


def save(model: Model, path: str | Path, precision: str = "float32", *, overwrite: bool = True) -> None:
    """Writes a model into one file, which appears when it is complete.

    precision  how the weights are stored: "float32", "float16", or "int8" (matrices in 8 bits with a factor for each
               row, all else in float32)
    overwrite  False: a file that is there already is kept, and SopiError raised

    Raises SopiError if the file can't be written. An old one is then as it was.
    """
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    for name, w in model.weights.items():
        if precision == "int8" and w.ndim > 1:
            scale = np.abs(w).max(axis=-1, keepdims=True).astype(np.float32) / 127
            arrays[name + SCALE] = scale
            arrays[name] = np.rint(np.divide(w, scale, out=np.zeros_like(w), where=scale > 0)).astype(np.int8)
        elif precision in ("float32", "float16", "int8"):
            arrays[name] = np.ascontiguousarray(w, np.float16 if precision == "float16" else np.float32)
        else:
            raise SopiError(f"precision is {precision!r}, expected float32, float16 or int8")
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "config": json.dumps(model.config.to_dict()),
        "about": json.dumps(model.about),
    }
    try:
        write_whole(path, to_bytes(arrays, metadata), overwrite=overwrite)
    except (OSError, SafetensorError) as e:
        raise SopiError(f"{path}: could not be written ({e})") from None


def say_about(path: Path, about: dict[str, Any]) -> None:
    """Puts another `about` into a file that `save` wrote. Its weights stay as they are, byte for byte. Raises SopiError
    if it is no such file, or can't be written."""
    load(path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["about"] = json.dumps(about)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the weights stay aligned
    try:
        write_whole(path, struct.pack("<Q", len(text)) + text + content[8 + length :])
    except OSError as e:
        raise SopiError(f"{path}: could not be written ({e.strerror or e})") from None


def recognise(path: Path) -> bool:
    """Whether `path` is a .safetensors file, of whatever content: by its suffix, or else by its first bytes."""
    if path.suffix == ".safetensors":
        return True
    if not os.path.isfile(path):
        return False
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] <= path.stat().st_size - 8


def is_model(path: Path) -> bool:
    """Whether this is a file that `save` wrote, as its metadata says. Its weights are not looked at."""
    try:
        return tensor_file.metadata(path).get("format") == FORMAT
    except SopiError:
        return False


def load(path: str | Path) -> Model:
    """Returns the model in a file that `save` wrote, its weights as float32. Raises SopiError with what is wrong if the
    file is anything else, damaged, or of another version."""
    path = Path(path)
    metadata = tensor_file.metadata(path)
    if metadata.get("format") != FORMAT:
        raise SopiError(f"{path}: a safetensors file, but not a sopilib model (its metadata has no format {FORMAT!r})")
    if metadata.get("version") != VERSION:
        raise SopiError(
            f"{path}: written by another sopilib (version {metadata.get('version')}, this one reads {VERSION})"
        )
    config = Config.from_dict(_json(path, metadata, "config"))
    want = shapes(config)
    arrays = tensor_file.read(path).arrays
    weights = {}
    for name, w in arrays.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in want:
            continue
        if name in want and w.shape != want[name]:
            raise SopiError(f"{path}: {name} has shape {list(w.shape)}, expected {list(want[name])}")
        weights[name] = _weight(name, w, arrays.get(name + SCALE))
    about = _json(path, metadata, "about")
    try:
        return Model(config, weights, about, name=path.stem)
    except SopiError as e:
        raise SopiError(f"{path}: {e}") from None


def _weight(name: str, w: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    if w.dtype == np.int8:
        if scale is None:
            raise SopiError(f"{name} is int8 but its scales {name + SCALE} are missing")
        if scale.shape != (*w.shape[:-1], 1):
            raise SopiError(f"{name}{SCALE} has shape {scale.shape}, expected {(*w.shape[:-1], 1)}")
        w = w.astype(np.float32) * scale
    w = w.astype(np.float32, copy=False)
    if not np.isfinite(w).all():
        raise SopiError(f"{name} holds values that are not finite: the file is damaged or its training failed")
    return w


def _json(path: Path, metadata: dict[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata.get(key, "{}"))
    except (ValueError, RecursionError) as e:
        raise SopiError(f"{path}: its {key} is not JSON ({e})") from None
    if not isinstance(value, dict):
        raise SopiError(f"{path}: its {key} is not a JSON object")
    return value
