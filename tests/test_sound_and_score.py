"""Sound files keep their pitch, unfinished ones never appear, and the numbers that judge a sound are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sopilib import Config, Engine, Model, SopiError, sound
from sopilib.score import bits_per_sample, describe, log_mel_distance

RATE = 16000


def tone(hz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_files_of_another_rate_keep_their_pitch_and_channels_are_mixed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "t.wav", np.stack([tone(440, rate=44100), tone(440, rate=44100)], 1), 44100)
    read = sound.read_audio(tmp_path / "t.wav", RATE)
    assert read.dtype == np.float32
    assert np.abs(np.fft.rfft(read)).argmax() * RATE / len(read) == pytest.approx(440, abs=2)
    assert np.abs(read).max() == pytest.approx(0.5, abs=0.01)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    blocks = [tone(100)[None, :700], tone(100)[None, 700:]]
    assert sound.write_audio(tmp_path / "t.flac", blocks, RATE) == 1
    np.testing.assert_allclose(sound.read_audio(tmp_path / "t.flac", RATE), tone(100), atol=1e-6)


def test_a_file_that_could_not_be_finished_never_appears(tmp_path: Path) -> None:
    def breaks() -> Iterator[np.ndarray]:
        yield tone(100)[None]
        raise SopiError("the model broke")

    with pytest.raises(SopiError, match="broke"):
        sound.write_audio(tmp_path / "t.wav", breaks(), RATE)
    with pytest.raises(SopiError, match="could not be written"):
        sound.write_audio(tmp_path / "nowhere" / "t.wav", [tone(1)[None]], RATE)
    with pytest.raises(SopiError, match="could not be written"):
        sound.write_audio(tmp_path / "t.xyz", [tone(1)[None]], RATE)
    with pytest.raises(SopiError, match="nothing to write"):
        sound.write_audio(tmp_path / "t.wav", [], RATE)
    assert not list(tmp_path.iterdir())


def test_silence_level_and_offset_are_measured() -> None:
    d = describe(np.concatenate([tone(440), np.zeros(RATE), tone(440, 0.5) + 0.1]), RATE)
    assert d.longest_silence == pytest.approx(1, abs=0.03)
    assert d.dc == pytest.approx(0.02, abs=1e-3)
    assert d.peak_db == pytest.approx(20 * np.log10(0.6), abs=0.1)
    assert describe(tone(440), RATE).rms_db == pytest.approx(-9.03, abs=0.05)


def test_a_spectrum_is_nearest_to_its_own_kind() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    low, lower = tone(300), tone(290)
    assert log_mel_distance(low, low, RATE) == 0
    assert log_mel_distance(low, lower, RATE) < log_mel_distance(low, noise, RATE)


def test_a_model_that_knows_nothing_needs_log2_q_bits() -> None:
    model = Model.random(Config(frame_sizes=[2, 4], dim=8, q_levels=64))
    flat = Model(model.config, {k: np.zeros_like(w) for k, w in model.weights.items()})
    codes = np.random.default_rng(0).integers(0, 64, 400)
    assert bits_per_sample(Engine(flat), codes) == pytest.approx(6)
    with pytest.raises(SopiError, match="at least 4"):
        bits_per_sample(Engine(flat), codes[:3])
