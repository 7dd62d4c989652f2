"""What tests and benchmarks of OSC send that is wrong, and how they find in the sound what was right."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from sopilib.osc.packet import encode


def nested(depth: int, inside: bytes) -> bytes:
    """A packet in so many bundles."""
    for _ in range(depth):
        inside = b"#bundle\0" + (1).to_bytes(8, "big") + len(inside).to_bytes(4, "big") + inside
    return inside


def fuzzed(n: int, seed: int = 0) -> Iterator[bytes]:
    """Packets that are nearly right, and noise."""
    rng = random.Random(seed)
    good = [
        encode("/samplernn/1/temperature", 0.9, 500),
        encode("/samplernn/*/gain", 1.0),
        encode("/samplernn/1/seed", "sound", 1.0, 2.0),
        encode("/samplernn/subscribe", 9001),
        nested(3, encode("/samplernn/left/generate", True)),
    ]
    for i in range(n):
        if i % 4 == 0:
            yield rng.randbytes(rng.randrange(100))
            continue
        packet = bytearray(rng.choice(good))
        for _ in range(rng.randrange(1, 6)):
            packet[rng.randrange(len(packet))] = rng.randrange(256)
        yield bytes(packet[: rng.randrange(len(packet) + 1)] if i % 4 == 1 else packet)


def gain_changes(out: np.ndarray, after: int) -> np.ndarray:
    """Frames from `after` on at which `gain`, which changes between one sample and the next, silences the sound or lets
    it come back."""
    silent = np.convolve(out[after:] == 0, np.ones(8), "valid") == 8
    change = np.diff(silent.astype(int))
    return after + np.flatnonzero(change) + np.where(change[change != 0] > 0, 1, 8)
