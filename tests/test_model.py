"""Quantising keeps what it must, and a config says what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sopilib import Config, Model, SopiError
from sopilib.model.quantise import QUANTISERS

TINY = {"frame_sizes": [2, 4], "dim": 8, "emb_size": 4}


def tiny(**changes: object) -> Model:
    return Model.random(Config(**{**TINY, **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize("q_type", [*QUANTISERS])
@given(q=st.integers(2, 1024), x=st.floats(allow_nan=True, allow_infinity=True, width=32))
def test_any_audio_becomes_a_code_in_range(q_type: str, q: int, x: float) -> None:
    model = tiny(q_type=q_type, q_levels=q, q_scale=-0.007, q_offset=-30)
    code = model.encode([x])
    assert 0 <= code[0] < q
    assert 0 <= model.config.q_zero < q


@pytest.mark.parametrize("q_type", ["mu-law", "linear"])
@pytest.mark.parametrize("q", [16, 255, 256, 1024])
def test_every_code_survives_decoding_and_encoding(q_type: str, q: int) -> None:
    model = tiny(q_type=q_type, q_levels=q)
    codes = np.arange(q)
    audio = model.decode(codes)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() <= 1
    survivors = model.encode(audio)
    if q_type == "linear" and q % 2 == 0:
        codes[0] = 1  # the level below -1 is clipped to it
    np.testing.assert_array_equal(survivors, codes)


@pytest.mark.parametrize("q_type", ["mu-law", "linear"])
def test_silence_is_silent_and_the_middle_code(q_type: str) -> None:
    model = tiny(q_type=q_type)
    assert model.encode([0.0])[0] == model.config.q_zero == 128
    assert abs(model.decode([128])[0]) < 1e-4


def test_mu_law_is_prisms() -> None:
    model = tiny()
    x = np.linspace(-1.2, 1.2, 999)
    want = ((np.sign(x) * np.log(1 + 255 * np.minimum(np.abs(x), 1)) / np.log(256) + 1) / 2 * 255 + 0.5).astype(int)
    np.testing.assert_array_equal(model.encode(x), want)
    assert model.decode([128])[0] == pytest.approx(8.62e-05, rel=1e-3)


def test_theanos_quantisers_are_theirs() -> None:
    x = np.linspace(-1, 1, 2001)
    model = tiny(q_type="mu-law-theano")
    y = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
    np.testing.assert_array_equal(model.encode(x), np.int16((y + 1) / 2 * 255))
    v = 2 * (np.arange(256) - 128) / 256
    np.testing.assert_allclose(model.decode_table, np.sign(v) * (256 ** np.abs(v) - 1) / 255, rtol=1e-6)
    assert model.encode([0.0])[0] == 127
    assert model.decode([127])[0] == pytest.approx(-0.00017, abs=1e-5)
    assert model.decode([model.config.q_zero])[0] == 0
    for q in (2, 10, 256):
        model = tiny(q_type="linear-theano", q_levels=q)
        np.testing.assert_array_equal(model.encode(x), ((x + 1) / 2 * (q - 1e-5) + 0.5e-5).astype(int))
        assert model.decode([model.config.q_zero])[0] == 0


def test_deepsounds_quantiser_is_its_own() -> None:
    y = np.random.default_rng(0).random(5000, np.float32)
    y[:2] = 0, 1
    for q in (2, 10, 32, 256):
        model = tiny(q_type="linear-deepsound", q_levels=q)
        samples = y * np.float32(q - 0.01)
        np.testing.assert_array_equal(model.encode(2 * y.astype(float) - 1), (samples + np.float32(0.005)).astype(int))
        np.testing.assert_allclose(model.decode_table, np.arange(q) / (q / 2) - 1, atol=1e-7)


def test_an_affine_quantiser_steps_from_its_offset_and_clamps() -> None:
    model = tiny(q_type="affine", q_levels=16, q_scale=-0.1, q_offset=-7)
    np.testing.assert_array_equal(
        model.encode([1, 0.75, 0.09, 0.0, -0.09, -0.1001, -0.75, -1]), [0, 0, 7, 7, 7, 8, 14, 15]
    )
    np.testing.assert_allclose(model.decode_table, -0.1 * (np.arange(16) - 7), atol=1e-7)
    assert model.config.q_zero == 7


def test_linear_steps_are_even_and_full_scale_is_reached() -> None:
    table = tiny(q_type="linear").decode_table
    np.testing.assert_allclose(np.diff(table[1:]), 1 / 127, rtol=1e-4)
    assert table[255] == 1
    assert table[128] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frame_sizes": []}, "frame_sizes"),
        ({"frame_sizes": [float("inf")]}, "whole numbers"),
        ({"frame_sizes": [2.5]}, "whole numbers"),
        ({"frame_sizes": ["4"]}, "whole numbers"),
        ({"frame_sizes": [4, 4]}, "frame_sizes"),
        ({"frame_sizes": [4, 10]}, "multiple"),
        ({"dim": 0}, "dim"),
        ({"rnn_type": "rnn"}, "gru, lstm"),
        ({"q_type": "float"}, "mu-law, linear"),
        ({"q_levels": 1}, "q_levels"),
        ({"q_type": "affine"}, "q_scale"),
        ({"sample_rate": 44100.5}, "sample_rate"),
        ({"skip_style": "sideways"}, "skip_style"),
        ({"features": 2, "frame_sizes": [4], "input_layer": False}, "input layer"),
        ({"sample_relu": [True], "mlp_dim": 5}, "without layers"),
    ],
)
def test_a_wrong_config_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SopiError, match=words):
        Config(**{**TINY, **changes})  # type: ignore[arg-type]


def test_the_courses_config_is_read_as_it_is() -> None:
    config = Config.from_dict(
        {
            "seq_len": 512, "frame_sizes": [16, 64], "dim": 64, "rnn_type": "GRU", "num_rnn_layers": 4,
            "q_type": "mu-law", "q_levels": 256, "emb_size": 256, "skip_conn": False, "rnn_dropout": 0.2,
        }
    )  # fmt: skip
    assert (config.rnn_type, config.lookback, config.mlp_dim) == ("gru", 64, 64)
    with pytest.raises(SopiError, match="unknown field 'dimm'"):
        Config.from_dict({"dimm": 3})
    with pytest.raises(SopiError, match="too large"):
        Config.from_dict({"emphasis": [10**400]})


def test_codes_that_are_none_are_refused() -> None:
    model = tiny()
    for bad in ([256], [-1], [1.5]):
        with pytest.raises(SopiError, match="codes"):
            model.decode(bad)
