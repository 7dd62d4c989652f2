"""The model that comes with the repository sounds like what it learned from, and loses little in 8 and 4 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sopilib
from sopilib import Engine, Model, render, sound
from sopilib.score import bits_per_sample, describe, log_mel_distance

HELD_OUT = Path(__file__).parent / "fixtures" / "tabla_held_out.flac"


@pytest.fixture(scope="module")
def model() -> Model:
    return sopilib.load("tabla")


@pytest.fixture(scope="module")
def recording(model: Model) -> np.ndarray:
    return sound.read_audio(HELD_OUT, model.config.sample_rate)


def test_fewer_bits_cost_little_of_what_it_learned(model: Model, recording: np.ndarray) -> None:
    codes = model.encode(recording)[: 5 * model.config.sample_rate]
    f32, int8, int4 = (bits_per_sample(Engine(model, precision=p), codes) for p in ("f32", "int8", "int4"))
    assert f32 < 2
    assert int8 - f32 < 0.01
    assert int4 - f32 < 0.03


def test_trained_weights_give_the_references_logits(model: Model, recording: np.ndarray) -> None:
    codes = model.encode(recording)[None, :1200]
    want = Engine(model, backend="torch").teacher_force(codes)
    got = Engine(model, precision="f32").teacher_force(codes)
    assert np.abs(got - want).max() < min(1e-4, 1e-5 * (want.max() - want.min()))


@pytest.mark.parametrize("temperature", [0.95, 1.0])
def test_it_sounds_like_tabla(model: Model, recording: np.ndarray, temperature: float) -> None:
    rate = model.config.sample_rate
    audio = np.concatenate(list(render.blocks(Engine(model), 20, temperature, seed=3)), axis=1)[0]
    made, real = describe(audio, rate), describe(recording, rate)
    assert abs(made.rms_db - real.rms_db) < 6
    assert abs(made.dc) < 1e-3
    assert made.longest_silence < 2
    assert log_mel_distance(audio, recording, rate) < 7


def test_it_goes_on_from_what_it_has_heard(model: Model, recording: np.ndarray) -> None:
    codes = model.encode(recording)
    rate = model.config.sample_rate
    alone, after = Engine(model), Engine(model)
    for engine in (alone, after):
        engine.reset(seed=1)
    after.prime(codes[None, : 3 * rate])
    back = model.config.lookback
    coming = codes[3 * rate - back : 3 * rate + 20 * back]
    heard = -np.log(_probabilities(after.teacher_force(coming[None])[0], coming[back:])).mean()
    unheard = -np.log(_probabilities(alone.teacher_force(coming[None])[0], coming[back:])).mean()
    assert heard < unheard


def _probabilities(logits: np.ndarray, codes: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p[np.arange(len(codes)), codes] / p.sum(axis=1)
