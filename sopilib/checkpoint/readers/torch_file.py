"""Reads what `torch.save` wrote, without torch and without running anything: both of its container forms.

zip (torch 1.6 and later)   an archive with <name>/data.pkl, <name>/byteorder, and one <name>/data/<key> per storage
stream (before)             pickles one after another: a magic number, protocol, machine, object, storages' keys;
                            then each storage: its length as int64, and its numbers

In both, the object's pickle names storages by key, and a tensor is a view (offset, size, stride) of a storage.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sopilib.checkpoint.importers.record import Parameters
from sopilib.checkpoint.readers import pickles
from sopilib.errors import SopiError

__all__ = ["Tensor", "mentions", "parameters", "read"]

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STREAM_STARTS = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")
_ZIP_STARTS = b"PK\x03\x04"
_LARGEST_HEAD = 1 << 16  # bytes of a stream in which the first names of its object are
_LARGEST_INDEX = 64 << 20  # bytes of data.pkl
_MOST_DEFLATED = 16  # times smaller than what was compressed
_DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)

_TYPES = {
    "Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": "bfloat16", "Long": "i8", "Int": "i4", "Short": "i2",
    "Char": "i1", "Byte": "u1", "Bool": "u1",
}  # fmt: skip
"""torch's names of number types -> NumPy's, bfloat16 being none of them."""


@dataclass(frozen=True)
class Storage:
    """Numbers in one row that tensors are views of. Where they are is the container's business."""

    key: str
    kind: str
    size: int
    """How many numbers the stored row has."""
    first: int = 0
    """Where this part of it begins."""
    part: int | None = None
    """How many numbers this part has; None: all from `first` on."""

    @property
    def itemsize(self) -> int:
        """The size of one number in bytes."""
        return 2 if self.kind == "bfloat16" else np.dtype(self.kind).itemsize


@dataclass(frozen=True)
class Tensor:
    """A tensor that is read when it is needed."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    fetch: Callable[[Storage], bytes]
    """All numbers of a storage, little-endian."""

    def array(self) -> NDArray[np.float32]:
        """The numbers as float32, of the tensor's shape. Raises SopiError if its storage is not all there."""
        s = self.storage
        data = self.fetch(s)
        if len(data) != s.size * s.itemsize:
            raise SopiError(
                f"storage {s.key} has {len(data)} bytes, expected {s.size * s.itemsize}: the file is damaged"
            )
        if s.kind == "bfloat16":
            row = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            row = np.frombuffer(data, np.dtype(s.kind).newbyteorder("<"))
        row = row[s.first + self.offset :]
        steps = [n * row.itemsize for n in self.stride]
        return np.lib.stride_tricks.as_strided(row, self.shape, steps, writeable=False).astype(np.float32)


def mentions(path: Path, name: str) -> bool:
    """Whether this is a file of torch.save whose object has something of this name in it, as far as can be seen without
    reading the object."""
    try:
        with path.open("rb") as file:
            head = file.read(_LARGEST_HEAD)
        if head.startswith(_ZIP_STARTS):
            with zipfile.ZipFile(path) as archive:
                head = _entry(archive, _index(archive), _LARGEST_INDEX)
        elif not head.startswith(_STREAM_STARTS):
            return False
    except _DAMAGE:
        return False
    return name.encode() in head


def read(path: Path) -> Any:
    """The object in the file: plain containers and values, and its tensors as `Tensor`. Raises SopiError if the file is
    not of torch.save, is damaged, or names something that is not known."""
    try:
        with path.open("rb") as file:
            if file.read(len(_ZIP_STARTS)) == _ZIP_STARTS:
                return _read_zip(path)
            file.seek(0)
            return _read_stream(path, file)
    except _DAMAGE as e:
        raise SopiError(f"not a file of torch.save, or cut short or damaged ({e})") from None


def parameters(state_dict: Any) -> Parameters:
    """The tensors of a module's state, by name. Raises SopiError if `state_dict` is something else."""
    if not isinstance(state_dict, dict) or not all(isinstance(t, Tensor) for t in state_dict.values()):
        raise SopiError("a torch file without a module's parameters")
    tensors = {str(name): tensor for name, tensor in state_dict.items()}
    return Parameters({name: t.shape for name, t in tensors.items()}, lambda name: tensors[name].array())


# ---------------------------------------------------------------- the object


class _Object:
    """Builds tensors from the names that an object's pickle holds."""

    def __init__(self, fetch: Callable[[Storage], bytes]) -> None:
        self.fetch = lru_cache(maxsize=1)(fetch)  # cuDNN keeps all weights of an RNN in one storage
        self.storages: dict[str, Storage] = {}
        self.numbers = 0
        self.known: dict[str, pickles.Builder | None] = {
            **pickles.NUMPY,
            "collections.OrderedDict": _ordered_dict,
            "torch.Size": pickles.integers,
            "torch._utils._rebuild_tensor": self.tensor,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_parameter": _parameter,
            "torch.nn.parameter.Parameter": _parameter,
            **{f"torch.{name}Storage": None for name in _TYPES},
            **{f"torch.cuda.{name}Storage": None for name in _TYPES},
        }

    def storage(self, identity: Any) -> Storage:
        """("storage", type, key, device, size[, view]); view: None or (key, offset, size)."""
        what, kind, key, _device, size, *view = identity
        if what != "storage" or not isinstance(kind, pickles.Global) or not isinstance(key, (str, int)):
            raise ValueError("an object outside the file that is no storage")
        number_type = _TYPES.get(kind.name.rpartition(".")[2].removesuffix("Storage"))
        if number_type is None:
            raise ValueError(f"a storage of {kind.name}")
        (size,) = pickles.integers((size,))
        whole = Storage(str(key), number_type, size)
        if self.storages.setdefault(whole.key, whole) != whole:
            raise ValueError(f"storage {whole.key} described in two ways")
        if not view or view[0] is None:
            return whole
        first, part = pickles.integers(view[0][1:3])
        if first + part > size:
            raise ValueError(f"a part of storage {whole.key} beyond its end")
        return Storage(whole.key, number_type, size, first, part)

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        if not isinstance(storage, Storage):
            raise TypeError("a tensor without a storage")
        (offset,), shape, steps = pickles.integers((offset,)), pickles.integers(size), pickles.integers(stride)
        count = math.prod(shape)
        reach = offset + sum((n - 1) * step for n, step in zip(shape, steps)) + 1 if count else offset
        here = storage.size if storage.part is None else storage.part
        if len(shape) != len(steps) or reach > here:
            raise ValueError(f"a tensor of shape {shape} beyond the end of its storage of {here}")
        self.numbers += count
        if self.numbers > 2 * sum(s.size for s in self.storages.values()):
            raise ValueError("tensors that hold more than their storages")
        return Tensor(storage, offset, shape, steps, self.fetch)


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    out = {}
    for key, value in pairs:  # Python 2 gives all pairs at once, later ones set them one by one
        if not isinstance(key, (str, bytes)):
            raise TypeError("a key that is no text")
        out[key if isinstance(key, str) else key.decode("latin-1")] = value
    return out


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError("a parameter without a tensor")
    return tensor


# ---------------------------------------------------------------- containers


def _read_zip(path: Path) -> Any:
    archive = zipfile.ZipFile(path)  # open as long as there are tensors that may ask for their storage
    index = _index(archive)
    folder = index.removesuffix("data.pkl")
    if folder + "byteorder" in archive.namelist() and _entry(archive, folder + "byteorder", 16).strip() != b"little":
        raise ValueError("written on a big-endian machine, which nothing here reads")

    def fetch(storage: Storage) -> bytes:
        try:
            return _entry(archive, f"{folder}data/{storage.key}", storage.size * storage.itemsize)
        except _DAMAGE as e:
            raise SopiError(f"storage {storage.key} can't be read ({e})") from None

    makes = _Object(fetch)
    return pickles.read(io.BytesIO(_entry(archive, index, _LARGEST_INDEX)), makes.known, makes.storage)


def _index(archive: zipfile.ZipFile) -> str:
    """The name of the entry with the object's pickle."""
    found = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(found) != 1:
        raise ValueError(f"an archive with {len(found)} data.pkl, expected one")
    return found[0]


def _entry(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Contents of an entry of at most `most` bytes, its CRC checked."""
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that torch never uses")
    if info.file_size > min(most, _MOST_DEFLATED * info.compress_size + (1 << 20)):
        raise ValueError(f"{name} has {info.file_size} bytes, more than fits")
    if info.compress_size > Path(str(archive.filename)).stat().st_size:
        raise ValueError(f"{name} is larger than the archive")
    with archive.open(info) as entry:
        return entry.read(info.file_size)


def _read_stream(path: Path, file: BinaryIO) -> Any:
    starts: dict[str, int] = {}

    def fetch(storage: Storage) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(starts[storage.key])
                return file.read(storage.size * storage.itemsize)
        except OSError as e:
            raise SopiError(f"storage {storage.key} can't be read ({e})") from None

    makes = _Object(fetch)
    magic, protocol, _machine = (pickles.read(file) for _ in range(3))
    if (magic, protocol) != (_MAGIC, _PROTOCOL):
        raise ValueError(f"not of protocol {_PROTOCOL}")
    value = pickles.read(file, makes.known, makes.storage)
    keys = pickles.read(file)
    if (
        not isinstance(keys, list)
        or not all(isinstance(key, (str, int)) for key in keys)
        or {str(key) for key in keys} != set(makes.storages)
    ):
        raise ValueError("its list of storages is not that of its tensors")
    at = file.tell()
    end = file.seek(0, os.SEEK_END)
    for key in map(str, keys):
        storage = makes.storages[key]
        file.seek(at)
        (size,) = struct.unpack("<q", file.read(8))
        starts[key] = at + 8
        at += 8 + storage.size * storage.itemsize
        if size != storage.size or at > end:
            raise ValueError(f"storage {key} has {size} numbers, expected {storage.size}, all in the file")
    return value
