"""What is fuzzed: for each reader of what strangers send or files hold, a function that takes any bytes.

Each must come back, or say what is wrong in one line by SopiError; whatever else it raises is a finding. `SEEDS` gives
the right input from which a fuzzer begins.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile

from sopilib import Config, Model, SopiError, checkpoint
from sopilib.live import messages
from sopilib.live.commands import COMMANDS
from sopilib.live.snapshots import ARRAYS, FORMAT, MORE, Snapshots, fingerprint
from sopilib.osc import packet, pattern, query
from sopilib.osc.instances import Instances
from sopilib.osc.origin import host_name, is_own_name, is_same_origin
from sopilib.sound import read_sound

Target = Callable[[bytes, Path], None]


def one_line(error: SopiError, data: bytes) -> None:
    """What it says may quote the input, and is else of a line's length."""
    text = str(error)
    assert text and len(text) <= 1500 + 4 * len(data), text


# ---------------------------------------------------------------- networks


def osc(data: bytes, folder: Path) -> None:
    """A datagram, and what is made of its messages up to the performer."""
    for message in packet.decode(data):
        packet.encode(message.address, *message.arguments)
        parts = message.address.split("/")
        try:
            for part in parts:
                pattern.matcher(part)("temperature")
            messages.parse(parts[-1], message.arguments)
        except SopiError as e:
            one_line(e, data)


def oscquery(data: bytes, folder: Path) -> None:
    """Host, Origin, path and query of a request, one a line."""
    host, origin, path, attribute = (data.decode("latin-1").split("\n") + [""] * 4)[:4]
    is_own_name(host_name(host))
    is_same_origin(origin, host)
    status, node = query.answer(TREE, 9000, path, attribute)
    assert status in (200, 204, 400, 404)
    json.dumps(node, allow_nan=False)


TREE = query.tree(Instances())


def message(data: bytes, folder: Path) -> None:
    """A message as Pd has it: a selector, then floats and symbols."""
    words = data.decode("utf-8", "replace").split() or ["bang"]
    atoms: list[Any] = []
    for word in words[1:]:
        try:
            atoms.append(float(word))
        except ValueError:
            atoms.append(word)
    command, values = messages.parse(words[0], atoms)
    assert COMMANDS[command.name] is command
    for value in values or ():
        assert not isinstance(value, float) or math.isfinite(value)


# ---------------------------------------------------------------- files


def with_zeros(header: bytes) -> bytes:
    """A safetensors file with this header, and as many zeros as it asks for, within reason."""
    try:
        ends = [t["data_offsets"][1] for name, t in json.loads(header).items() if name != "__metadata__"]
        size = min(max(ends, default=0), 1 << 20)
        return struct.pack("<Q", len(header)) + header + bytes(max(0, int(size)))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError):
        return struct.pack("<Q", len(header)) + header


def model(data: bytes, folder: Path) -> None:
    """The header of a model file; what it says of the weights is followed by zeros."""
    path = folder / "m.safetensors"
    path.write_bytes(with_zeros(data))
    checkpoint.load(path).check_codes(np.zeros(1, np.int32))


def snapshots(data: bytes, folder: Path) -> None:
    """The header of a file of snapshots, of the right model."""
    path = folder / "s.snapshots.safetensors"
    path.write_bytes(with_zeros(data))
    Snapshots.read(path, SMALL)


SMALL = Model.random(Config(frame_sizes=[2, 8], dim=6, q_levels=16))


def settings(data: bytes, folder: Path) -> None:
    """The JSON files that a training reads: of the course, of a run, of a data set."""
    from sopilib.train import run_folder
    from sopilib.train.preparation.dataset import Dataset
    from sopilib.train.settings import from_values, read_values

    path = folder / "course.config.json"
    path.write_bytes(data)
    (folder / run_folder.NAME).write_bytes(data)
    (folder / "dataset.json").write_bytes(data)
    (folder / "audio.f32").write_bytes(bytes(4000))
    for read in (lambda: from_values(read_values(path)), lambda: run_folder.read(folder), lambda: Dataset(folder)):
        try:
            read()
        except SopiError as e:
            one_line(e, data)


def old_checkpoint(data: bytes, folder: Path) -> None:
    """A checkpoint of another system, found out by its content: a pickle, a zip, a table of TensorFlow."""
    names = ("params_e1_i2_x.pkl", "ep1-it1", "o_epoch_1_iter_1_model.pt", "model.ckpt-1.index")
    path = folder / names[data[0] % len(names)] if data else folder / names[0]
    path.write_bytes(data[1:])
    if path.suffix == ".index":
        (folder / "model.ckpt-1.data-00000-of-00001").write_bytes(bytes(4096))
    try:
        checkpoint.load(path.with_suffix("") if path.suffix == ".index" else path)
    finally:
        path.unlink()


def sound(data: bytes, folder: Path) -> None:
    """A sound file of whatever kind."""
    path = folder / "x.wav"
    path.write_bytes(data)
    audio, rate = read_sound(path)
    assert audio.ndim == 1 and rate > 0


NEEDS = {
    "settings": ("sopilib.train.settings", "sopilib.train.run_folder"),
    "old_checkpoint": ("sopilib.checkpoint.importers",),
}
"""What a target loads when it is first called. The others need no torch, and so are there at once."""

TARGETS: dict[str, Target] = {
    f.__name__: f for f in (osc, oscquery, message, model, snapshots, settings, old_checkpoint, sound)
}


# ---------------------------------------------------------------- JSON


IN_JSON = ("model", "snapshots", "settings")
STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    0.5,
    1e308,
    float("nan"),
    2**31,
    2**64,
    10**30,
    "",
    "x",
    "1",
    [],
    {},
    [[]],
)


def with_one_changed(data: bytes, rng: Random) -> bytes:
    """JSON that differs in one place, also within text that is JSON itself; other data as it is."""
    try:
        root = json.loads(data)
        changed = _changed(root, rng)
        return json.dumps(changed).encode()
    except (ValueError, RecursionError):
        return data


def _changed(value: Any, rng: Random) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "[") and rng.random() < 0.9:
        return with_one_changed(value.encode(), rng).decode()
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice((*STRANGE, [value], {"x": value}, [value, value]))
    place = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    kind = rng.randrange(8)
    if kind == 0:
        del value[place]
    elif kind == 1 and isinstance(value, dict):
        value[rng.choice(("x", *value))] = value.pop(place)
    elif kind == 2:
        value[place] = value[rng.choice(list(value) if isinstance(value, dict) else range(len(value)))]
    else:
        value[place] = _changed(value[place], rng)
    return value


# ---------------------------------------------------------------- what is right


def seeds(name: str, folder: Path) -> list[bytes]:
    """Right input for a target, few and small. `folder`: for files on the way."""
    return [data for data in SEEDS[name](folder) if len(data) < 60_000]


def _osc(folder: Path) -> list[bytes]:
    one = packet.encode("/samplernn/1/temperature", 0.8, 2.0)
    bundle = b"#bundle\0" + bytes(7) + b"\1" + struct.pack(">I", len(one)) + one
    return [one, bundle, packet.encode("/samplernn/*/{seed,kick}", "a.wav", 3, True), b"/a\0\0,ihTNc[\0" + bytes(16)]


def _oscquery(folder: Path) -> list[bytes]:
    return [
        b"localhost:9000\nhttp://localhost:9000\n/samplernn\nVALUE",
        b"[::1]:80\nnull\n/\nHOST_INFO",
        b"127.0.0.1\n\n/\n",
    ]


def _message(folder: Path) -> list[bytes]:
    words = [f"{c.name} " + " ".join("1" for _ in c.arguments) for c in COMMANDS.values()]
    return [w.encode() for w in words] + [b"temperature env [1 2] [0.5] [exp]", b"voice 1 temperature 2 3"]


def _header(path: Path) -> bytes:
    content = path.read_bytes()
    return content[8 : 8 + struct.unpack("<Q", content[:8])[0]]


def _model(folder: Path) -> list[bytes]:
    for precision in ("float32", "int8"):
        checkpoint.save(SMALL, folder / f"{precision}.safetensors", precision)
    return [_header(folder / f"{p}.safetensors") for p in ("float32", "int8")]


def _snapshots(folder: Path) -> list[bytes]:
    kinds = {np.float32: "F32", np.int32: "I32", np.uint64: "U64", np.int64: "I64", np.uint8: "U8"}
    header: dict[str, Any] = {
        "__metadata__": {"format": FORMAT, "model": fingerprint(SMALL), "name": "x", "positions": '{"1": 0}'}
    }
    at = 0
    for name, kind in (ARRAYS | MORE).items():
        shape = [1] if name in ("seed", "drawn") else [1, 8]
        size = np.dtype(kind).itemsize * math.prod(shape)
        header[f"1.{name}"] = {"dtype": kinds[kind], "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return [json.dumps(header).encode()]


def _settings(folder: Path) -> list[bytes]:
    preparation = {"sample_rate": 8000}
    parts = {"train": [[0, 500]], "validation": [[500, 200]], "test": []}
    dataset = {
        "format": "sopilib dataset",
        "version": 1,
        "preparation": preparation,
        "segments": parts,
        "features": [],
    }
    run = {"config": {"dim": 4}, "settings": {"steps": 3}, "dataset": "dataset", "start": None, "from": {}}
    course = {"frame_sizes": [16, 64], "dim": 32, "rnn_type": "gru", "q_levels": 256, "learning_rate": 0.1}
    return [json.dumps(x).encode() for x in (dataset, run, course)]


def _old_checkpoint(folder: Path) -> list[bytes]:
    from bundle_writer import Layout, Shape, prism_file, prism_weights, write_bundle
    from mutants import TheanoShape, pickle_as_python_2, theano_arrays, torch_file

    write_bundle(folder / "model.ckpt-1", prism_file(prism_weights(Shape((2, 4), 3, "gru", 1, False, 8)), ""), Layout())
    pickled = pickle_as_python_2(dict(theano_arrays(TheanoShape("GRU", 1, 2, 4, 3, 2, 8))), 2)
    found = [b"\3" + (folder / "model.ckpt-1.index").read_bytes(), b"\0" + pickled]
    return found + [bytes([1 + (p == "a2aaron")]) + torch_file(p, n) for p in ("deepsound", "a2aaron") for n in (0, 1)]


def _sound(folder: Path) -> list[bytes]:
    found = []
    for suffix, subtype in (("wav", "PCM_16"), ("flac", "PCM_16"), ("aiff", "PCM_24"), ("ogg", "VORBIS")):
        path = folder / f"a.{suffix}"
        soundfile.write(path, np.sin(np.arange(400) / 9)[:, None].repeat(2, 1), 8000, subtype)
        found.append(path.read_bytes())
    return found


SEEDS: dict[str, Callable[[Path], list[bytes]]] = {
    "osc": _osc,
    "oscquery": _oscquery,
    "message": _message,
    "model": _model,
    "snapshots": _snapshots,
    "settings": _settings,
    "old_checkpoint": _old_checkpoint,
    "sound": _sound,
}
