"""Each model that comes with the repository sounds like what it learned from, and loses little in 8 and 4 bits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import sopilib
from sopilib import Engine, Model, sound
from sopilib.engine.blocks import blocks
from sopilib.score import bits_per_sample, describe, log_mel_distance, tones

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = Path(sopilib.__file__).parents[1] / "models"


class Bounds(NamedTuple):
    """What a model keeps on its twenty held-out seconds: what the sound is counts for most."""

    bits: float
    int8: float
    int4: float
    """bits per sample; those that 8 and 4 bits cost"""
    distance: float
    """dB, from its recordings' spectrum"""
    dc: float
    tones: float
    """dB, at least: how far partials stand out, of which noise has 0"""


SHIPPED = {
    "drums": Bounds(4.5, 0.01, 0.03, 9, 1e-3, 1),
    "piano": Bounds(2.8, 0.01, 0.06, 8, 1e-3, 8),
    "tabla": Bounds(2.1, 0.01, 0.03, 7, 1e-3, 6),
    "voice": Bounds(4.2, 0.01, 0.03, 4, 1e-3, 5),
}


@pytest.fixture(scope="module", params=SHIPPED)
def model(request: pytest.FixtureRequest) -> Model:
    return sopilib.load(request.param)


@pytest.fixture(scope="module")
def recordings(model: Model) -> dict[str, np.ndarray]:
    return {name: sound.read_audio(FIXTURES / f"{name}_held_out.flac", model.config.sample_rate) for name in SHIPPED}


@pytest.fixture(scope="module")
def recording(model: Model, recordings: dict[str, np.ndarray]) -> np.ndarray:
    """What the model was kept from."""
    return recordings[model.name]


def test_they_are_small_enough_to_come_along_and_have_a_card() -> None:
    sizes = {path.stem: path.stat().st_size for path in MODELS.glob("*/*.safetensors")}
    assert sizes.keys() == SHIPPED.keys()
    assert max(sizes.values()) <= 14e6
    assert sum(sizes.values()) <= 36e6
    for name in SHIPPED:
        card = (MODELS / name / "README.md").read_text()
        assert "## Licence" in card and "## Figures" in card and "## Training it again" in card


def test_fewer_bits_cost_little_of_what_it_learned(model: Model, recording: np.ndarray) -> None:
    codes = model.encode(recording)[: 5 * model.config.sample_rate]
    f32, int8, int4 = (bits_per_sample(Engine(model, precision=p), codes) for p in ("f32", "int8", "int4"))
    most = SHIPPED[model.name]
    assert f32 < most.bits
    assert int8 - f32 < most.int8
    assert int4 - f32 < most.int4


def test_trained_weights_give_the_references_logits(model: Model, recording: np.ndarray) -> None:
    codes = model.encode(recording)[None, :1200]
    want = Engine(model, backend="torch").teacher_force(codes)
    got = Engine(model, precision="f32").teacher_force(codes)
    np.testing.assert_allclose(got, want, atol=5e-5, rtol=2e-6)


@pytest.mark.parametrize("temperature", [0.95, 1.0])
def test_it_sounds_like_its_recordings(model: Model, recordings: dict[str, np.ndarray], temperature: float) -> None:
    rate = model.config.sample_rate
    audio = np.concatenate(list(blocks(Engine(model), 20, temperature, seed=3)), axis=1)[0]
    made, real = describe(audio, rate), describe(recordings[model.name], rate)
    assert abs(made.rms_db - real.rms_db) < 6
    assert abs(made.dc) < SHIPPED[model.name].dc
    assert made.longest_silence < 2
    distances = {name: log_mel_distance(audio, other, rate) for name, other in recordings.items()}
    assert distances[model.name] < SHIPPED[model.name].distance
    assert min(distances, key=distances.__getitem__) == model.name
    assert tones(audio, rate) > SHIPPED[model.name].tones


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
