"""`sopi score` judges a model by ear and by number, `sopi tune` looks for better options and goes on after a stop."""

from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sopilib
from sopilib import Config, Model, cli
from sopilib.score import bits_per_sample, compare, failures

RATE = 16000


def melody(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    hz = 220 * 2 ** (rng.integers(0, 12, len(t) // 2000 + 1) / 12)
    phase = 2 * np.pi * np.cumsum(np.repeat(hz, 2000)[: len(t)]) / RATE
    return (0.4 * np.sin(phase) * np.exp(-6 * (t % 0.25)) + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    sopilib.checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16)), path)
    return path


def test_known_failures_are_named_and_music_is_none() -> None:
    t = np.arange(2 * RATE) / RATE
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, len(t))
    assert failures(melody(2), RATE) == []
    assert failures(np.zeros(len(t)), RATE) == ["silence"]
    assert failures(0.5 * np.sin(2 * np.pi * 1000 * t), RATE) == ["a tone"]
    assert failures(noise, RATE) == ["noise"]
    assert failures(melody(2) + 0.1, RATE) == ["a DC offset"]
    assert failures(noise, RATE, real=noise[::-1]) == []
    rumble = np.convolve(noise, np.ones(16) / 16, "same")
    assert failures(rumble, RATE, real=melody(2)) == ["no pitch"]


def test_comparing_tells_the_same_kind_of_sound_from_another() -> None:
    real = melody()
    same, soft, steady = melody(seed=1), 0.25 * melody(seed=1), 0.2 * np.sin(np.arange(4 * RATE) * 0.1)
    near = compare(same, real, RATE)
    assert near.spectrum_db < compare(steady, real, RATE).spectrum_db
    assert near.movement_db < compare(steady, real, RATE).movement_db
    assert near.change_db < compare(steady, real, RATE).change_db
    assert compare(soft, real, RATE).level_db == pytest.approx(-12, abs=1)
    assert compare(soft, real, RATE).loudness_db > near.loudness_db + 6
    rumble = np.convolve(np.random.default_rng(0).uniform(-0.5, 0.5, len(real)), np.ones(16) / 16, "same")
    assert abs(near.tones_db) < 1 and compare(rumble, real, RATE).tones_db < -5
    gaps = np.where(np.arange(len(same)) % RATE < RATE // 2, same, 0).astype(np.float32)
    assert compare(gaps, real, RATE).silence == pytest.approx(0.5, abs=0.05)


def test_score_says_what_the_engine_says(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", melody(), RATE)
    command = ["score", str(model), str(tmp_path / "a.wav"), "--from", "1", "--to", "2", "--json"]
    assert cli.main([*command, "--precision", "f32", "int8"]) == 0
    f32, int8 = json.loads(capsys.readouterr().out)["scores"]
    loaded = sopilib.load(model)
    codes = loaded.encode(soundfile.read(tmp_path / "a.wav", dtype="float32")[0][RATE : 2 * RATE])
    assert f32["bits"] == pytest.approx(bits_per_sample(sopilib.Engine(loaded, precision="f32"), codes))
    assert (f32["samples"], f32["precision"], int8["precision"]) == (RATE, "f32", "int8")
    assert 0 <= f32["accuracy"] <= 1
    assert cli.main([*command[:3], "--from", "9"]) == 1
    assert "is 4.0 s long, and has no sound from 9 s on" in capsys.readouterr().err


def test_score_compares_what_a_model_makes(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", melody(), RATE)
    assert cli.main(["score", str(model), str(tmp_path / "a.wav"), "--generated", "--seconds", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["scores"]
    assert [r["sound"] for r in rows] == ["temperature 0.9", "temperature 1"]
    assert cli.main(["score", str(model), str(tmp_path / "a.wav"), "--generated", str(tmp_path / "a.wav")]) == 0
    said = capsys.readouterr().out
    assert re.search(r"\n +recordings +coded +a.wav +good is\n", said)
    assert re.search(r"\nspectrum, distance, dB +0.0 +\d.\d +0.0 +below 4 dB\n", said)


def test_tuning_finds_a_table_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", melody(2), RATE)
    (tmp_path / "base.json").write_text(
        '{"frame_sizes": [4, 16], "mlp_dim": 8, "emb_size": 4, "warm_up": 0, "threads": 1}'
    )
    (tmp_path / "space.json").write_text(
        '{"lr": {"low": 1e-4, "high": 0.03, "log": true}, "dim": [8, 16], "batch": [2, 4], "seq_len": [64, 72]}'
    )
    warnings.filterwarnings("error", message=".*reported value is ignored.*")  # Optuna's
    command = [
        "tune", str(tmp_path / "a.wav"), "-o", str(tmp_path / "t"), "--samples", "0.004",
        "--config", str(tmp_path / "base.json"), "--search", str(tmp_path / "space.json"),
    ]  # fmt: skip
    assert cli.main([*command, "--trials", "3"]) == 0
    assert cli.main([*command, "--trials", "6"]) == 0
    said = capsys.readouterr().out
    assert "(6/6)" in said
    with (tmp_path / "t" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    bits = [float(r["bits"]) for r in rows if r["bits"]]
    assert bits == sorted(bits)
    assert {r["state"] for r in rows if r["seq_len"] == "72"} <= {"fail"}
    best = json.loads((tmp_path / "t" / "best.json").read_text())
    assert best["lr"] == pytest.approx(float(rows[0]["lr"]))
    run = ["-o", str(tmp_path / "run"), "--config", str(tmp_path / "t" / "best.json"), "--steps", "2"]
    assert cli.main(["train", str(tmp_path / "t" / "dataset"), *run]) == 0
    (tmp_path / "space.json").write_text('{"lr": 3}')
    assert cli.main([*command, "--trials", "9"]) == 1
    assert "lr: expected a list of values" in capsys.readouterr().err


def test_tuning_over_ray_ends_though_its_last_options_are_impossible(
    small_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", melody(2), RATE)
    (tmp_path / "base.json").write_text('{"frame_sizes": [4, 16], "mlp_dim": 8, "emb_size": 4, "warm_up": 0, "dim": 8}')
    (tmp_path / "space.json").write_text('{"lr": {"low": 1e-4, "high": 0.03, "log": true}, "seq_len": [64, 72]}')
    command = ["tune", str(tmp_path / "a.wav"), "-o", str(tmp_path / "t"), "--samples", "0.002", "--ray", "local"]
    files = ["--config", str(tmp_path / "base.json"), "--search", str(tmp_path / "space.json")]
    assert cli.main([*command, *files, "--trials", "2"]) == 0
    said = capsys.readouterr().out
    assert "trial 1 (2/2): impossible" in said
    assert re.search(r"trial 0 \(1/2\): \d\.\d+ bits", said)
