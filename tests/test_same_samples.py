"""The same messages give the same samples: what was recorded of each instrument's sound, in int8 and 4 bits.

The digests in same_samples.json were taken of version 0.1.0 and hold for every version since. After a change that is
meant to be heard: `python tests/test_same_samples.py` writes them anew, and CHANGELOG.md says why.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import is_caught
import numpy as np
import pytest

from sopilib.live import Performer

HERE = Path(__file__).resolve().parent
DIGESTS = HERE / "same_samples.json"
MODELS = HERE.parent / "models"
RATE = 48000
BLOCK = 64

Message = tuple[float, str, tuple[Any, ...]]


def render(precision: str, messages: list[Message], seconds: float, **options: Any) -> np.ndarray:
    """The sound of these (time in s, selector, atoms), float32 (channels, n), with a sine as input."""
    told: list[tuple[Any, ...]] = []
    performer = Performer(freewheel=True, precision=precision, status=lambda *event: told.append(event), **options)
    try:
        performer.host(RATE, BLOCK)
        waiting, blocks = sorted(messages, key=lambda m: m[0]), []
        for position in range(0, int(seconds * RATE), BLOCK):
            while waiting and waiting[0][0] * RATE <= position:
                _, selector, atoms = waiting.pop(0)
                assert performer.handle(selector, *atoms, t=position), told[-1]
            sine = np.sin(np.arange(position, position + BLOCK) * (440 * 2 * np.pi / RATE)).astype(np.float32)
            blocks.append(performer.read(BLOCK, sine[None] / 2))
        performer.poll()
        assert not [event for event in told if event[0] == "error"]
    finally:
        performer.close()
    return np.concatenate(blocks, axis=1)


def message(at: float, text: str) -> Message:
    """One as it is written in Pd."""

    def atom(word: str) -> Any:
        try:
            return int(word) if word.lstrip("-").isdigit() else float(word)
        except ValueError:
            return word

    selector, *words = text.split()
    return at, selector, tuple(atom(word) for word in words)


def messages(*lines: tuple[float, str]) -> list[Message]:
    return [message(at, text) for at, text in lines]


def plain(model: str) -> Callable[[str], np.ndarray]:
    return lambda precision: render(
        precision,
        messages(
            (0, f"load {model}"), (0, "seed 7"), (0.01, "generate"), (0.5, "temperature 1.2 200"), (0.8, "gain 0.5 50")
        ),
        1.2,
    )


def voices(precision: str) -> np.ndarray:
    return render(
        precision,
        messages(
            (0, f"load {MODELS / 'tabla'}"), (0, "voices 3"), (0, "seed 11"), (0.01, "generate"), (0.1, "mix 1"),
            (0.2, "voice 2 temperature 1.3 100"), (0.25, "voice 1 pan -0.5 100"), (0.3, "voice 3 seed 5"),
            (0.4, "voice 2 top-k 20"), (0.5, "voice 1 gain 0.3 100"), (0.6, "voices 2"), (0.7, "mix 0"),
            (0.8, "voices 3"),
        ),
        1.0,
        voices=2,
    )  # fmt: skip


def gestures(precision: str) -> np.ndarray:
    return render(
        precision,
        messages(
            (0, f"load {MODELS / 'piano'}"), (0, "seed 3"), (0, "fade 30"), (0.01, "generate"),
            (0.1, "temperature env [0.7 1.1 0.9] [0.1 0.2] [-2 exp]"), (0.4, "rate 1.5 100"), (0.6, "freeze 60"),
            (0.75, "freeze 0"), (0.8, "kick 0.4"), (0.85, "min-p 0.02"), (0.9, "top-p 0.95"), (0.95, "rate 0.7"),
            (1.05, "stop"), (1.2, "generate"), (1.25, "fade 300"), (1.3, "generate 0"), (1.4, "generate"),
            (1.45, "reset"), (1.5, "latency 40"), (1.55, "gain 0.2"),
        ),
        1.7,
    )  # fmt: skip


def blend_of_sounds(precision: str) -> np.ndarray:
    return render(
        precision,
        messages(
            (0, f"load {MODELS / 'tabla'}"), (0, f"load2 {MODELS / 'drums'}"), (0, "seed 2"), (0.01, "generate"),
            (0.2, "blend 0.5 200"), (0.6, "blend 1 100"),
        ),
        1.0,
    )  # fmt: skip


def blend_of_logits(precision: str) -> np.ndarray:
    return render(
        precision,
        messages(
            (0, f"load {MODELS / 'tabla'}"), (0, f"load2 {MODELS / 'piano'}"), (0, "seed 2"), (0.01, "generate"),
            (0.1, "blend-mode logits"), (0.2, "blend 0.5 200"), (0.6, "seed 9"),
        ),
        0.9,
    )  # fmt: skip


def snapshots(precision: str) -> np.ndarray:
    return render(
        precision,
        messages(
            (0, f"load {MODELS / 'tabla'}"), (0, "seed 4"), (0.01, "generate"), (0.3, "snapshot store 1"),
            (0.5, "seed 8"),
            (0.6, "snapshot store 2"), (0.7, "snapshot recall 1"), (0.9, "snapshot morph 2 150"),
        ),
        1.2,
    )  # fmt: skip


def listening(precision: str) -> np.ndarray:
    return render(
        precision,
        messages(
            (0, f"load {MODELS / 'tabla'}"), (0, "seed 6"), (0.01, "generate"), (0.2, "listen 1 input"),
            (0.5, "listen 0"),
            (0.8, "seed live 100"), (0.9, "listen 1 old"), (1.0, "listen 0"),
        ),
        1.2,
    )  # fmt: skip


def imported(precision: str) -> np.ndarray:
    folder = HERE / "fixtures" / "prism" / "gru_mulaw"
    return render(precision, messages((0, f"load {folder}"), (0, "seed 1"), (0.01, "generate")), 0.6)


def guarded(precision: str) -> np.ndarray:
    """It is caught at this temperature, and the guard goes back to where it played."""
    with tempfile.TemporaryDirectory() as folder:
        return render(
            precision,
            messages(
                (0, f"load {is_caught.file(Path(folder))}"),
                (0, f"seed {is_caught.SEED}"),
                (0, "guard reprime"),
                (0.01, "generate"),
                (1.5, "temperature 0.5"),
            ),
            6.5,
        )


RENDERS: dict[str, Callable[[str], np.ndarray]] = {
    "tabla": plain(str(MODELS / "tabla")),
    "drums": plain(str(MODELS / "drums")),
    "piano": plain(str(MODELS / "piano")),
    "voices": voices,
    "gestures": gestures,
    "blend of sounds": blend_of_sounds,
    "blend of logits": blend_of_logits,
    "snapshots": snapshots,
    "listening": listening,
    "imported": imported,
    "guarded": guarded,
}
PRECISIONS = ("int8", "int4")


def digest(sound: np.ndarray) -> str:
    assert np.isfinite(sound).all() and np.abs(sound).max() > 0.001
    return hashlib.sha256(np.ascontiguousarray(sound, np.float32).tobytes()).hexdigest()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", RENDERS)
def test_the_same_messages_give_the_same_samples_as_ever(name: str, precision: str) -> None:
    recorded = json.loads(DIGESTS.read_text())
    assert digest(RENDERS[name](precision)) == recorded[f"{name}, {precision}"]


if __name__ == "__main__":
    made = {f"{name}, {p}": digest(RENDERS[name](p)) for name in RENDERS for p in PRECISIONS}
    DIGESTS.write_text(json.dumps(made, indent=1) + "\n")
    sys.stdout.write(f"wrote {len(made)} digests to {DIGESTS.name}\n")
