"""Writes TensorFlow tensor bundles, and PRiSM checkpoints with random weights, for tests of the reader.

`Layout` says how: the tests go through what TensorFlow's own writer may do, and what it never does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import crc32c
import numpy as np

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
Variables = dict[str, np.ndarray]
Pairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Layout:
    shards: int = 1
    snappy: bool = False
    block: int = 256 << 10
    """bytes of a block of the index, at least"""
    restarts: int = 16
    """entries between restart points"""


def masked(data: bytes) -> int:
    crc = crc32c.crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(dtype: int, shape: Iterable[int], shard: int, offset: int, size: int, crc: int) -> bytes:
    """BundleEntryProto; as protocol buffers do, zeros are left out."""
    dims = b"".join(field(2, field(1, n)) for n in shape)
    numbers = b"".join(field(k, n) for k, n in ((3, shard), (4, offset), (5, size)) if n)
    return field(1, dtype) + field(2, dims) + numbers + varint(6 << 3 | 5) + struct.pack("<I", crc)


def snappy(data: bytes) -> bytes:
    """Greedy: the longest copy that a four-byte hash finds, in each of the three forms of copies in turn."""
    seen: dict[bytes, int] = {}
    out, at, start, turn = varint(len(data)), 0, 0, 0

    def literal(piece: bytes) -> bytes:
        n = len(piece) - 1
        if not piece:
            return b""
        return (bytes([n << 2]) if n < 60 else bytes([61 << 2]) + struct.pack("<H", n)) + piece

    while at + 4 <= len(data):
        found = seen.get(data[at : at + 4])
        seen[data[at : at + 4]] = at
        if found is None or at - found > 65535:
            at += 1
            continue
        length = 4
        while length < 64 and at + length < len(data) and data[found + length] == data[at + length]:
            length += 1
        out += literal(data[start:at])
        back, turn = at - found, turn + 1
        if length < 12 and back < 2048 and turn % 3:
            out += bytes([1 | (length - 4) << 2 | back >> 8 << 5, back & 255])
        elif turn % 2:
            out += bytes([2 | (length - 1) << 2]) + struct.pack("<H", back)
        else:
            out += bytes([3 | (length - 1) << 2]) + struct.pack("<I", back)
        at += length
        start = at
    return out + literal(data[start:])


def pack_block(pairs: Pairs, restarts: int = 16) -> bytes:
    out, points, last = b"", [], b""
    for i, (key, value) in enumerate(pairs):
        shared = 0
        if i % restarts:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            points.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    points = points or [0]
    return out + struct.pack(f"<{len(points)}I", *points) + struct.pack("<I", len(points))


def pack_table(
    pairs: Pairs, layout: Layout = Layout(), damage: Callable[[bytes], bytes] = lambda block: block
) -> bytes:
    """damage: changes blocks, as they are stored, before their checksums are made."""
    file, index, waiting, size = b"", [], [], 0

    def add(block: bytes) -> bytes:
        nonlocal file
        stored, kind = (snappy(block), b"\1") if layout.snappy else (block, b"\0")
        stored = damage(stored)
        handle = varint(len(file)) + varint(len(stored))
        file += stored + kind + struct.pack("<I", masked(stored + kind))
        return handle

    for pair in pairs:
        waiting.append(pair)
        size += len(pair[0]) + len(pair[1])
        if size > layout.block:
            index.append((waiting[-1][0], add(pack_block(waiting, layout.restarts))))
            waiting, size = [], 0
    if waiting:
        index.append((waiting[-1][0] + b"~", add(pack_block(waiting, layout.restarts))))
    meta = add(pack_block([]))
    footer = meta + add(pack_block(index, 1))
    return file + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def bundle_pairs(variables: Mapping[str, np.ndarray | bytes], layout: Layout) -> tuple[Pairs, list[bytes]]:
    """The entries of the index, and the shards. Variables whose value is bytes are strings, as TensorFlow's object
    graph is."""
    shards = [b""] * layout.shards
    pairs = [(b"", field(1, layout.shards) + field(3, field(1, 1)))]
    for i, name in enumerate(sorted(variables)):
        value, shard = variables[name], i % layout.shards
        data = value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()
        shape = () if isinstance(value, bytes) else value.shape
        dtype = 7 if isinstance(value, bytes) else {"f4": 1, "f8": 2, "i8": 9}[value.dtype.str[1:]]
        pairs.append((name.encode(), entry(dtype, shape, shard, len(shards[shard]), len(data), masked(data))))
        shards[shard] += data
    return pairs, shards


def write_bundle(prefix: Path, variables: Mapping[str, np.ndarray | bytes], layout: Layout = Layout()) -> None:
    pairs, shards = bundle_pairs(variables, layout)
    for i, data in enumerate(shards):
        prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{layout.shards:05d}").write_bytes(data)
    prefix.with_name(prefix.name + ".index").write_bytes(pack_table(pairs, layout))


@dataclass(frozen=True)
class Shape:
    """Of a PRiSM SampleRNN."""

    frames: tuple[int, int] = (4, 16)
    dim: int = 8
    rnn: str = "gru"
    layers: int = 1
    skip: bool = False
    q: int = 256


def prism_weights(s: Shape, seed: int = 0) -> Variables:
    """Random weights under PRiSM's names (without the suffix that the file has)."""
    rng = np.random.default_rng(seed)
    out: Variables = {}

    def add(name: str, *shape: int) -> None:
        fan_in = int(np.prod(shape[:-1])) if len(shape) > 1 else 4
        out[name] = (rng.standard_normal(shape) * (1.5 / fan_in**0.5)).astype(np.float32)

    gates = 3 if s.rnn == "gru" else 4
    for tier, n, r in (
        ("big_frame_rnn", s.frames[1], s.frames[1] // s.frames[0]),
        ("frame_rnn", s.frames[0], s.frames[0]),
    ):
        add(f"{tier}/inputs/kernel", n, s.dim)
        add(f"{tier}/inputs/bias", s.dim)
        for i in range(s.layers):
            cell = f"{tier}/rnn/layer_{i}/cell"
            add(f"{cell}/kernel", s.dim * (2 if s.skip and i == 0 else 1), gates * s.dim)
            add(f"{cell}/recurrent_kernel", s.dim, gates * s.dim)
            add(f"{cell}/bias", *((2,) if s.rnn == "gru" else ()), gates * s.dim)
            if s.skip:
                add(f"{tier}/rnn/layer_{i}_skip_out/kernel", s.dim, s.dim)
        if s.skip:
            add(f"{tier}/rnn/layer_0_skip_out/bias", s.dim)
        add(f"{tier}/upsample", r, s.dim, s.dim)
    add("sample_mlp/embedding/embeddings", s.q, s.q)
    add("sample_mlp/inputs/kernel", s.frames[0], s.q, s.dim)
    for name, width in (("hidden1", s.dim), ("hidden2", s.dim), ("outputs", s.q)):
        add(f"sample_mlp/{name}/kernel", s.dim, width)
        add(f"sample_mlp/{name}/bias", width)
    return out


def prism_file(weights: Variables, optimizer: str = "") -> dict[str, np.ndarray | bytes]:
    """The variables of a checkpoint's file; optimizer: "" none, "keras2.11" or "keras2.10" for either spelling."""
    out: dict[str, np.ndarray | bytes] = {name + SUFFIX: w for name, w in weights.items()}
    out["_CHECKPOINTABLE_OBJECT_GRAPH"] = b"\x05graph"
    if optimizer == "keras2.11":
        out["optimizer/_iterations" + SUFFIX] = np.array(124, np.int64)
        for i, w in enumerate(weights.values()):
            out[f"optimizer/_variables/{i}{SUFFIX}"] = np.full_like(w, np.nan)
    if optimizer == "keras2.10":
        out["optimizer/iter" + SUFFIX] = np.array(124, np.int64)
        for name, w in weights.items():
            for slot in "mv":
                out[f"{name}/.OPTIMIZER_SLOT/optimizer/{slot}{SUFFIX}"] = np.full_like(w, np.nan)
    return out
