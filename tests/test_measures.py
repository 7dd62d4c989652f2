"""Density bits compare models of different codings, and each measure of what a model makes knows its known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sopilib
from sopilib import Config, Engine, Model, cli
from sopilib.model.quantise import QUANTISERS, Quantiser
from sopilib.score import likelihood, longest_still, stillness

RATE = 16000
CHANCE = np.random.default_rng(0)


# ---------------------------------------------------------------- density bits


@pytest.mark.parametrize("q_type", QUANTISERS)
def test_the_cells_of_all_codes_are_the_whole_range(q_type: str) -> None:
    quantiser = Quantiser(q_type, 256, -1 / 200, -128)
    cells = quantiser.cells()
    assert cells.sum() == pytest.approx(2)
    x = np.linspace(-1, 1, 400_001)
    counted = np.bincount(quantiser.encode(x), minlength=256) / len(x) * 2
    np.testing.assert_allclose(cells, counted, atol=2e-5)


@pytest.mark.parametrize(("levels", "level", "want"), [(64, 1.0, 1.0), (256, 1.0, 1.0), (64, 0.25, -1.0)])
def test_density_bits_know_neither_how_fine_nor_how_loud_a_coding_is(levels: int, level: float, want: float) -> None:
    """A model that knows nothing but the range says that all of it is as likely: one bit over [-1, 1]."""
    config = Config(frame_sizes=[2, 4], dim=8, q_levels=levels, q_type="linear", level=level)
    model = Model.random(config)
    flat = Model(config, {k: np.zeros_like(w) for k, w in model.weights.items()})
    scored = likelihood(Engine(flat), model.encode(level * CHANCE.uniform(-0.9, 0.9, 4000)))
    assert scored.bits == pytest.approx(np.log2(levels))
    assert scored.density_bits == pytest.approx(want, abs=0.05)  # linear has a code more on one side


# ---------------------------------------------------------------- stillness


def strokes(seconds: float, a_second: float = 8) -> np.ndarray:
    """Noise that begins so often, and dies away."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * CHANCE.standard_normal(len(t)) * np.exp(-30 * (t % (1 / a_second)))).astype(np.float32)


def held(seconds: float) -> np.ndarray:
    """A chord that is held."""
    t = np.arange(round(seconds * RATE)) / RATE
    return np.sum([0.1 * np.sin(2 * np.pi * hz * t) for hz in (220, 277, 330)], axis=0).astype(np.float32)


def test_what_is_held_is_still_and_what_beats_or_is_silent_is_not() -> None:
    sound = np.concatenate([strokes(4), held(5), strokes(4), held(3), np.zeros(6 * RATE, np.float32)])
    assert longest_still(sound, RATE, 3.0) == pytest.approx(5, abs=0.2)
    assert longest_still(strokes(6), RATE, 3.0) == 0
    assert longest_still(held(1.9), RATE, 3.0) == 0


def test_the_recordings_say_how_still_they_ever_are() -> None:
    found = stillness([strokes(60), np.concatenate([strokes(30), held(3), strokes(10)])], RATE)
    assert found is not None
    assert 2 <= found.longest <= 3.2
    assert 0 < found.below <= 6
    assert stillness([held(1)], RATE) is None
    assert stillness([np.zeros(10 * RATE, np.float32)], RATE) is None


def test_an_older_models_file_is_told_how_still_its_recordings_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.safetensors"
    sopilib.checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16)), path, "int8")
    (tmp_path / "takes").mkdir()
    soundfile.write(tmp_path / "takes" / "a.wav", np.concatenate([strokes(8), held(3)]), RATE)
    before, old = sopilib.load(path), path.read_bytes()
    assert before.stillness is None
    assert cli.main(["score", str(path), str(tmp_path / "takes"), "--write-stillness"]) == 0
    assert "its recordings move by less than" in capsys.readouterr().out
    after, new = sopilib.load(path), path.read_bytes()
    assert after.stillness is not None
    assert after.stillness.longest >= 2
    assert new[8 + int.from_bytes(new[:8], "little") :] == old[8 + int.from_bytes(old[:8], "little") :]
    assert int.from_bytes(new[:8], "little") % 8 == 0
    assert after.about == {**before.about, "stillness": after.stillness._asdict()}
    soundfile.write(tmp_path / "short.wav", held(1), RATE)
    assert cli.main(["score", str(path), str(tmp_path / "short.wav"), "--write-stillness"]) == 1
    assert "shorter than two seconds" in capsys.readouterr().err
    assert path.read_bytes() == new


@pytest.mark.parametrize("said", [3, {}, {"below": "x", "longest": 1}, {"below": 0, "longest": 1}, {"below": 2}])
def test_a_file_whose_stillness_is_none_is_as_one_that_says_nothing(said: object) -> None:
    assert Model.random(Config(frame_sizes=[4], dim=8)).stillness is None
    model = Model.random(Config(frame_sizes=[4], dim=8))
    model.about = json.loads(json.dumps({"stillness": said}))
    assert model.stillness is None


def test_every_model_that_comes_along_says_how_still_its_recordings_are() -> None:
    for name in ("drums", "piano", "tabla", "voice"):
        assert sopilib.load(name).stillness is not None, name
