"""Numbered slots for everything that a model remembers at one moment, and the file that keeps them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from sopilib import tensor_file
from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.model import Model
from sopilib.names import escaped, unescaped
from sopilib.native import _native

__all__ = ["Snapshots"]

FORMAT = "sopilib snapshots 1"
ARRAYS = {"history": np.int32, "seed": np.uint64, "drawn": np.uint64, "values": np.float32}
"""What every snapshot has."""
MORE = {"recent": np.int32, "emphasis": np.float32}
"""What older ones lack, and what not every model has."""
LATER = {"emphasis": [], "level": 1.0, "frame_gain": 2.0}
"""What configs did not have when the first snapshots were taken, and what it was then."""
PATIENCE = 2.0  # s for a snapshot that was asked for to be taken


class Snapshots:
    """What the model remembered at the moments that were stored, each in a numbered slot. Errors are SopiError."""

    def __init__(self, slots: dict[int, tuple[Any, Model]] | None = None) -> None:
        self.slots: dict[int, tuple[Any, Model]] = {} if slots is None else slots
        """For each slot its snapshot, and the model that it is of."""

    def copy(self) -> Snapshots:
        """The slots as they are now, to be saved without being locked."""
        return Snapshots(dict(self.slots))

    def add(self, slots: dict[int, tuple[Any, Model]]) -> None:
        """Takes over slots that `read` gave. Others stay."""
        for slot, (snapshot, model) in slots.items():
            self.put(slot, snapshot, model)

    def put(self, slot: int, snapshot: Any, model: Model) -> None:
        """Keeps a snapshot of this model in a slot. It may be one that the stream has not taken yet."""
        self.slots.pop(slot, None)  # the newest is last
        self.slots[slot] = snapshot, model

    def get(self, slot: int, model: Model, voices: int) -> Any:
        """The snapshot, for this model with that many voices."""
        if slot not in self.slots:
            known = ", ".join(map(str, sorted(self.slots))) or "none"
            raise SopiError(f"snapshot: nothing is stored in slot {slot}, expected one of those that are: {known}")
        snapshot, of = self.slots[slot]
        if not _same(of, model):
            raise SopiError(
                f"snapshot: slot {slot} is of the model {of.name}, expected one of {model.name}: load that model"
            )
        if snapshot.filled and snapshot.voices != voices:
            raise SopiError(
                f"snapshot: slot {slot} has {snapshot.voices} voices, but there are {voices}: send voices first"
            )
        return snapshot

    def save(self, path: Path) -> list[tuple[int, Model]]:
        """Writes all slots of the newest one's model into a file, and waits for those that are not taken yet -> the
        other slots, each with its model, which the file leaves out. A file of that name that holds no snapshots is left
        alone."""
        if not self.slots:
            raise SopiError("nothing is stored, expected snapshot store <slot> before")
        replaces = os.path.lexists(path)
        if replaces and not _holds_snapshots(path):
            raise SopiError("there is a file of that name that holds no snapshots, choose another name")
        arrays: dict[str, np.ndarray] = {}
        positions: dict[str, int] = {}
        model = list(self.slots.values())[-1][1]
        others = {slot: of for slot, (_, of) in self.slots.items() if not _same(of, model)}
        for slot, (snapshot, _) in self.slots.items():
            if slot in others:
                continue
            end = time.monotonic() + PATIENCE
            while not snapshot.filled and time.monotonic() < end:
                time.sleep(0.005)
            if not snapshot.filled:
                raise SopiError(f"slot {slot} is not filled yet: is the host's audio off?")
            held = snapshot.arrays()
            positions[str(slot)] = held["position"]
            arrays |= {f"{slot}.{name}": np.asarray(held[name]) for name in (*ARRAYS, *MORE) if held[name].size}
        metadata = {
            "format": FORMAT,
            "model": fingerprint(model),
            "name": escaped(model.name),
            "positions": json.dumps(positions),
        }
        write_whole(path, save(arrays, metadata), overwrite=replaces)
        return list(others.items())

    @staticmethod
    def read(path: Path, model: Model) -> dict[int, tuple[Any, Model]]:
        """The slots of a file. All of them must be right and of this model."""
        if not os.path.isfile(path):
            raise SopiError("no such file")
        loaded: dict[int, tuple[Any, Model]] = {}
        try:
            metadata, found = _read(path)
            if metadata.get("format") != FORMAT:
                raise SopiError(f"no file of snapshots, expected one that snapshot save wrote ({FORMAT})")
            if metadata.get("model") != fingerprint(model):
                of = unescaped(metadata.get("name", "?"))
                raise SopiError(f"these snapshots are of the model {of}, not of {model.name}: load that model")
            for slot, position in json.loads(metadata["positions"]).items():
                arrays = {
                    name: _checked(found[f"{slot}.{name}"], name, kind)
                    for name, kind in (ARRAYS | MORE).items()
                    if name in ARRAYS or f"{slot}.{name}" in found
                }
                model.check_codes(arrays["history"])
                if type(position) is not int or not 0 <= position < 2**31:
                    raise SopiError(f"damaged: the position of slot {slot} is {position!r}")
                loaded[int(slot)] = _native.Snapshot.of(position, **arrays), model
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
            raise SopiError(f"damaged: {type(e).__name__}: {e}") from None
        return loaded


def _read(path: Path) -> tensor_file.TensorFile:
    try:
        return tensor_file.read(path)
    except SopiError:
        raise SopiError("damaged, or no file of snapshots") from None


def _holds_snapshots(path: Path) -> bool:
    try:
        return tensor_file.metadata(path).get("format") == FORMAT
    except SopiError:
        return False


def _checked(array: np.ndarray, name: str, kind: Any) -> np.ndarray:
    if array.dtype != kind or array.ndim != (1 if name in ("seed", "drawn") else 2) or not np.isfinite(array).all():
        raise SopiError(f"damaged: {name} is {array.dtype} {array.shape}")
    return np.ascontiguousarray(array)


def _same(one: Model, other: Model) -> bool:
    return one is other or fingerprint(one) == fingerprint(other)


def fingerprint(model: Model) -> str:
    """The same for models that are the same, whatever they are called."""
    config = {k: v for k, v in model.config.to_dict().items() if k not in LATER or v != LATER[k]}
    digest = hashlib.blake2b(json.dumps(config, sort_keys=True).encode(), digest_size=16)
    for name, weights in sorted(model.weights.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights).data)
    return digest.hexdigest()
