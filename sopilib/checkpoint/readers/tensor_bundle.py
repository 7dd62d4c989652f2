"""TensorFlow 2's checkpoint files, read without TensorFlow: `<prefix>.index` and `<prefix>.data-?????-of-?????`.

The index is a sorted table in LevelDB's format. Its file ends with a footer (the handles of two blocks, padding, a
magic number); a block is entries whose keys share beginnings, then restart points, then a byte for its compression and
a masked CRC-32C. The index block's values are the handles of the data blocks. Their entries are protocol buffers: under
the empty key a BundleHeaderProto, under each variable's name a BundleEntryProto that says where in which shard its
little-endian values lie, and their CRC.

Nothing in these files is believed before it is checked, and sizes are checked before memory is taken.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sopilib import needed
from sopilib.errors import SopiError

__all__ = ["Bundle", "Entry", "crc32c_masked"]

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
LARGEST_INDEX = 4 << 20  # bytes; a large SampleRNN with its optimizer needs 200 KB
LARGEST_BLOCK = 4 << 20  # bytes, unpacked; TensorFlow's blocks are 256 KiB
MOST_ENTRIES = 50_000
LONGEST_KEY = 1024
MOST_SHARDS = 99_999  # five digits in their names
DT_FLOAT = 1


class _Broken(Exception):
    """What is wrong with the index, in a few words."""


@dataclass(frozen=True)
class Entry:
    """Where the values of one variable lie, and what they are."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    """How many bytes its values take."""
    crc: int | None
    sliced: bool


class Bundle:
    """A checkpoint of TensorFlow 2: `entries` has its variables by name, and `read` gives the values of one. Making one
    reads the index; it raises SopiError with what is wrong with that."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.entries: dict[str, Entry] = {}
        index = prefix.with_name(prefix.name + ".index")
        try:
            if index.stat().st_size > LARGEST_INDEX:
                raise _Broken(f"{index.stat().st_size} bytes, expected at most {LARGEST_INDEX}")
            pairs = _table(index.read_bytes())
            key, header = next(pairs, (b"", b""))
            if key != b"":
                raise _Broken("its header is missing")
            self._shards = _header(header)
            for key, value in pairs:
                self.entries[key.decode()] = _entry(value)
        except FileNotFoundError:
            raise SopiError(f"{index}: missing, expected beside the checkpoint's other files") from None
        except OSError as e:
            raise SopiError(f"{index}: can't be read ({e.strerror})") from None
        except (_Broken, UnicodeDecodeError) as e:
            what = e if isinstance(e, _Broken) else "a name is not text"
            raise SopiError(f"{index}: no index of a TensorFlow checkpoint, or cut short or damaged ({what})") from None

    def read(self, name: str) -> np.ndarray:
        """The values of one variable, a little-endian float32 array of its shape. Raises SopiError if the file that has
        them is missing, cut short or damaged, or if they are no float32."""
        e = self.entries[name]
        shard = self.prefix.with_name(f"{self.prefix.name}.data-{e.shard:05d}-of-{self._shards:05d}")
        if e.dtype != DT_FLOAT or e.sliced:
            what = "is cut into slices" if e.sliced else f"has TensorFlow's data type {e.dtype}"
            raise SopiError(f"{name} {what}, expected a whole float32 array")
        if e.shard >= self._shards or not 0 < e.size == 4 * math.prod(e.shape):
            raise SopiError(f"{name} has shape {e.shape} in {e.size} bytes of shard {e.shard}: the index is damaged")
        try:
            with shard.open("rb") as file:
                size = file.seek(0, 2)
                if e.offset + e.size > size:
                    raise SopiError(
                        f"{name} ends at byte {e.offset + e.size} of {shard.name}, which has {size}: it is cut short"
                    )
                file.seek(e.offset)
                values = np.fromfile(file, "<f4", math.prod(e.shape))
        except FileNotFoundError:
            raise SopiError(f"{shard.name} is missing, expected beside the checkpoint's other files") from None
        except OSError as error:
            raise SopiError(f"{shard.name} can't be read ({error.strerror})") from None
        if values.nbytes != e.size or (e.crc is not None and crc32c_masked(values) != e.crc):
            raise SopiError(f"{name} fails its checksum: {shard.name} is damaged")
        return values.reshape(e.shape)


def crc32c_masked(data: bytes | np.ndarray) -> int:
    """The CRC-32C of these bytes, masked as LevelDB and TensorFlow store it. Raises SopiError if the package crc32c,
    which only these files need, is not installed."""
    try:
        import crc32c
    except ImportError:
        raise SopiError(f"a TensorFlow checkpoint can't be read without crc32c: {needed.pip('crc32c')}") from None
    crc = crc32c.crc32c(np.frombuffer(data, np.uint8).data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


# ---------------------------------------------------------------- the table


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the whole index, in order."""
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise _Broken("its end is not a table's")
    footer = data[-FOOTER:]
    at = _handle(footer, 0)[1]
    (offset, size), _ = _handle(footer, at)
    count, end, last = 0, 0, None
    for _, value in _entries(_block(data, offset, size)):
        (offset, size), _ = _handle(value, 0)
        if offset < end:
            raise _Broken("its blocks overlap")
        end = offset + size
        for key, entry in _entries(_block(data, offset, size)):
            count += 1
            if count > MOST_ENTRIES:
                raise _Broken(f"more than {MOST_ENTRIES} entries")
            if last is not None and key <= last:
                raise _Broken("its names are not in order")
            last = key
            yield key, entry


def _block(data: bytes, offset: int, size: int) -> bytes:
    if offset + size + 5 > len(data) - FOOTER:
        raise _Broken("a block lies beyond its end")
    kind, crc = struct.unpack_from("<BI", data, offset + size)
    if crc32c_masked(data[offset : offset + size + 1]) != crc:
        raise _Broken("a block fails its checksum")
    block = data[offset : offset + size]
    if kind == 1:
        return _unsnap(block)
    if kind != 0:
        raise _Broken(f"compression {kind} is unknown")
    return block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(block) < 4:
        raise _Broken("a block is too short")
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]  # before the restart points
    if end < 0:
        raise _Broken("a block has too many restart points")
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or shared + fresh > LONGEST_KEY or at + fresh + length > end:
            raise _Broken("an entry is too long")
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """-> (offset, size) of a block, position behind them."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise _Broken("a number does not end")


def _unsnap(data: bytes) -> bytes:
    """Snappy's block format: literals, and copies of what has been unpacked before."""
    size, at = _varint(data, 0)
    if size > LARGEST_BLOCK:
        raise _Broken(f"a block unpacks to {size} bytes, expected at most {LARGEST_BLOCK}")
    out = bytearray()
    while at < len(data):
        tag, at = data[at], at + 1
        kind, length = tag & 3, (tag >> 2) + 1
        if kind == 0:
            if length > 60:
                extra = length - 60
                length, at = int.from_bytes(data[at : at + extra], "little") + 1, at + extra
            if at + length > len(data) or len(out) + length > size:
                raise _Broken("a packed block is damaged")
            out += data[at : at + length]
            at += length
            continue
        if kind == 1:
            length, back, at = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | int.from_bytes(data[at : at + 1], "little"), at + 1
        else:
            width = 2 if kind == 2 else 4
            back, at = int.from_bytes(data[at : at + width], "little"), at + width
        if at > len(data) or not 0 < back <= len(out) or len(out) + length > size:
            raise _Broken("a packed block is damaged")
        start = len(out) - back
        while length:  # what is copied may overlap what is being written
            piece = out[start : start + length]
            out += piece
            length -= len(piece)
    if len(out) != size:
        raise _Broken("a packed block is damaged")
    return bytes(out)


# ---------------------------------------------------------------- protocol buffers


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field: numbers as int, everything else as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, value = tag & 7, 0
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _Broken("an entry is no protocol buffer")
        if at + length > len(message):
            raise _Broken("an entry is cut short")
        data = message[at : at + length]
        at += length
        yield tag >> 3, data if kind == 2 else int.from_bytes(data, "little")


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise _Broken("an entry has text for a number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _Broken("an entry has a number for a part")
    return value


def _header(message: bytes) -> int:
    """BundleHeaderProto -> number of shards."""
    fields = dict(_fields(message))
    if fields.get(2, 0) != 0:
        raise _Broken("written on a big-endian machine")
    shards = _number(fields.get(1, 0))
    if not 1 <= shards <= MOST_SHARDS:
        raise _Broken(f"{shards} shards")
    return shards


def _entry(message: bytes) -> Entry:
    """BundleEntryProto"""
    numbers: dict[int, int] = {}
    shape: tuple[int, ...] = ()
    sliced = False
    for field, value in _fields(message):
        if field == 2:
            shape = _shape(_bytes(value))
        elif field == 7:
            sliced = True
        else:
            numbers[field] = _number(value)
    return Entry(
        dtype=numbers.get(1, 0),
        shape=shape,
        shard=numbers.get(3, 0),
        offset=numbers.get(4, 0),
        size=numbers.get(5, 0),
        crc=numbers.get(6),
        sliced=sliced,
    )


def _shape(message: bytes) -> tuple[int, ...]:
    """TensorShapeProto; a size that is not told is 0."""
    dims = [dict(_fields(_bytes(dim))) for field, dim in _fields(message) if field == 2]
    return tuple(_number(dim.get(1, 0)) for dim in dims)
