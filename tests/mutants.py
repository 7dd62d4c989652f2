"""Broken checkpoints: files of every format with something changed, cut, doubled or made absurd.

`FORMATS` has, for each format, a function that writes a mutant into a folder -> the path to load. What it makes depends
on the random numbers alone. Formats with checksums are also broken where the checksum stands, so that a reader that
trusts everything that has the right one is found out.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import soundfile
import torch
from bundle_writer import (
    Layout,
    Shape,
    bundle_pairs,
    pack_table,
    prism_file,
    prism_weights,
    write_bundle,
)
from theano_writer import Shape as TheanoShape
from theano_writer import parameters as theano_parameters
from theano_writer import pickle_as_python_2
from torch_writer import A2aaron, Deepsound, a2aaron_checkpoint, a2aaron_state, deepsound_state

from sopilib import Config, Model, checkpoint

ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
NUMBERS = (0, 1, -1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 31, 1 << 40, 1 << 62, (1 << 64) - 1)


def mutate(content: bytes, rng: Random, most: int = 4) -> bytes:
    """One to `most` changes, mostly near the beginning or the end, where formats keep what matters."""
    data = bytearray(content)
    for _ in range(rng.randint(1, most)):
        n = len(data)
        at = rng.choice((rng.randrange(n + 1), rng.randrange(min(n, 400) + 1), n - rng.randrange(min(n, 100) + 1)))
        some = rng.choice((1, 2, 4, 8, 50, rng.randint(1, 2000)))
        kind = rng.randrange(8)
        if kind == 0 and at < n:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 2:
            width, order = rng.choice((1, 2, 4, 8)), rng.choice(ORDERS)
            data[at : at + width] = (rng.choice(NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(width, order)
        elif kind == 3:
            del data[at : at + some]
        elif kind == 4:
            data[at:at] = rng.randbytes(some)
        elif kind == 5:
            begin = rng.randrange(n + 1)
            data[at:at] = data[begin : begin + some]
        elif kind == 6:
            begin = rng.randrange(n + 1)
            data[at : at + some] = data[begin : begin + some]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


# ---------------------------------------------------------------- ours


@cache
def own_file(folder: Path) -> bytes:
    model = Model.random(Config(frame_sizes=[2, 8], dim=6, q_levels=16))
    checkpoint.save(model, folder / "own.safetensors", "int8")
    return (folder / "own.safetensors").read_bytes()


def own(folder: Path, rng: Random) -> Path:
    path = folder / "mutant.safetensors"
    path.write_bytes(mutate(own_file(folder), rng))
    return path


# ---------------------------------------------------------------- PRiSM


def prism(folder: Path, rng: Random) -> Path:
    shape = Shape((2, 4), 3, rng.choice(("gru", "lstm")), rng.randint(1, 2), rng.random() < 0.5, 8)
    layout = Layout(rng.randint(1, 2), rng.random() < 0.3, rng.choice((100, 1000, 100_000)), rng.choice((1, 4, 16)))
    prefix = folder / "model.ckpt-1"
    for old in folder.glob("*"):
        old.unlink()
    variables = prism_file(prism_weights(shape), rng.choice(("", "keras2.11", "keras2.10")))
    write_bundle(prefix, variables, layout)
    index = folder / "model.ckpt-1.index"
    kind = rng.randrange(5)
    if kind == 0:
        path = rng.choice(sorted(folder.iterdir()))
        path.write_bytes(mutate(path.read_bytes(), rng))
    elif kind == 1:  # entries that lie, with checksums that don't
        pairs = bundle_pairs(variables, layout)[0]
        for _ in range(rng.randint(1, 3)):
            i = rng.randrange(len(pairs))
            key, value = pairs[i]
            pairs[i] = (mutate(key, rng, 1), value) if rng.random() < 0.2 else (key, mutate(value, rng, 1))
        index.write_bytes(pack_table(pairs, layout))
    elif kind == 2:  # blocks that lie
        index.write_bytes(
            pack_table(bundle_pairs(variables, layout)[0], layout, damage=lambda block: mutate(block, rng))
        )
    elif kind == 3:  # handles that lie
        content = index.read_bytes()
        footer = mutate(content[-48:-8], rng, 2)[:40].ljust(40, b"\0")
        index.write_bytes(content[:-48] + footer + struct.pack("<Q", 0xDB4775248B80FB57))
    else:
        config = (
            b'{"seq_len": 16, "frame_sizes": [2, 4], "dim": 3, "rnn_type": "gru", "q_type": "linear", "q_levels": 8}'
        )
        (folder / "a.config.json").write_bytes(mutate(config, rng))
        (folder / "args.txt").write_bytes(mutate(b"--id a --sample_rate 16000 --batch_size 4", rng))
        (folder / "checkpoint").write_bytes(mutate(b'model_checkpoint_path: "model.ckpt-1"\n', rng))
        return folder
    return prefix


# ---------------------------------------------------------------- Theano


@cache
def theano_arrays(shape: TheanoShape) -> dict[str, np.ndarray]:
    return theano_parameters(shape)


def theano(folder: Path, rng: Random) -> Path:
    for old in folder.glob("*"):
        old.unlink()
    path = folder / "params_e1_i2_x.pkl"
    shape = TheanoShape(rng.choice(("GRU", "LSTM")), rng.randint(1, 2), 2, rng.choice((0, 4)), 3, rng.choice((0, 2)), 8)
    arrays, protocol = dict(theano_arrays(shape)), rng.randrange(3)
    content = pickle_as_python_2(arrays, protocol)
    kind = rng.randrange(4)
    if kind < 2:
        content = mutate(content, rng)
    elif kind == 2:  # arrays that fit nothing
        for _ in range(rng.randint(1, 3)):
            name = rng.choice(list(arrays))
            if rng.random() < 0.3:
                del arrays[name]
            else:
                sizes = [rng.choice((0, 1, 2, 3, 4, 6, 12, 300)) for _ in range(rng.randint(0, 4))][:2]
                arrays[name] = np.zeros(sizes, rng.choice(("f4", ">f8", "i8", "u1")))
        content = pickle_as_python_2(arrays, protocol)
    else:
        arguments = b"(lp1\nS'x/two_tier32k.py'\naS'--dim'\naS'3'\naS'--q_type'\naS'linear'\na."
        (folder / "args.pkl").write_bytes(mutate(arguments, rng))
        path.write_bytes(mutate(content, rng) if rng.random() < 0.5 else content)
        return folder
    path.write_bytes(content)
    return path


# ---------------------------------------------------------------- torch


@cache
def torch_file(peer: str, new: bool) -> bytes:
    content: Mapping[str, object] = deepsound_state(Deepsound([2, 2], dim=3, q=8))
    if peer == "a2aaron":
        content = a2aaron_checkpoint(a2aaron_state(A2aaron(2, 3, 1, 2, 8)))
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def torch_mutant(folder: Path, rng: Random, peer: str, name: str) -> Path:
    path = folder / name
    new = rng.random() < 0.6
    content = torch_file(peer, new)
    if not new or rng.random() < 0.4:
        path.write_bytes(mutate(content, rng))
        return path
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))  # entries that lie, with checksums that don't
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(path, "w", method) as broken:
        victim = rng.choice(["data.pkl", "data.pkl", "byteorder", "data/0", "data/1"])
        for entry in whole.namelist():
            data = whole.read(entry)
            if entry.endswith(victim):
                data = bytes(1 << 24) if rng.random() < 0.02 else mutate(data, rng)
            broken.writestr(entry, data)
    return path


def deepsound(folder: Path, rng: Random) -> Path:
    return torch_mutant(folder, rng, "deepsound", "ep1-it1")


def a2aaron(folder: Path, rng: Random) -> Path:
    truth = folder / "o_ground_truth.wav"
    levels = np.random.default_rng(rng.randrange(1 << 32)).integers(-3, 4, 200) * np.float32(rng.choice((0.1, 1e-9)))
    soundfile.write(truth, levels.astype(np.float32), 8000, "FLOAT")
    if rng.random() < 0.5:
        truth.write_bytes(mutate(truth.read_bytes(), rng))
    return torch_mutant(folder, rng, "a2aaron", "o_epoch_1_iter_1_model.pt")


FORMATS: dict[str, Callable[[Path, Random], Path]] = {
    "own": own,
    "prism": prism,
    "theano": theano,
    "deepsound": deepsound,
    "a2aaron": a2aaron,
}
