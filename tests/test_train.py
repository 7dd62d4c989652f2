"""Training learns, leaves a model that plays, and survives being killed at any moment."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sopilib
from sopilib.score import bits_per_sample
from sopilib.train.loop import main

RATE = 8000
SMALL = [
    "--sample-rate", str(RATE), "--frame-sizes", "4", "16", "--seq-len", "64", "--dim", "16", "--mlp-dim", "16",
    "--emb-size", "8", "--batch", "4", "--excerpt", "0.05", "--held-out", "0.5", "--warm-up", "2", "--lr", "0.01",
]  # fmt: skip


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    t = np.arange(2 * RATE) / RATE
    for i, hz in enumerate((220, 330)):
        tone = 0.5 * np.sin(2 * np.pi * hz * t) * np.exp(-3 * (t % 0.25))
        soundfile.write(folder / f"tone{i}.wav", tone, RATE)
    return folder


def curves(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as f:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(f)]


def test_training_learns_and_its_file_scores_as_it_said(sounds: Path, tmp_path: Path) -> None:
    run = tmp_path / "tones"
    assert main([str(sounds), "-o", str(run), "--steps", "60", "--every", "20", *SMALL]) == 0
    bits = [float(row["held_out_bits"]) for row in curves(run)]
    assert bits[-1] < bits[0] < 8.5
    model = sopilib.load(run)
    audio, _ = soundfile.read(sounds / "tone1.wav", dtype="float32")
    held_out = model.encode(audio)[-RATE // 2 :]
    said = model.about["training"]["held_out_bits_per_sample"]
    assert bits_per_sample(sopilib.Engine(model, precision="f32"), held_out) == pytest.approx(said, abs=1e-3)


def test_a_killed_training_goes_on_as_if_nothing_had_happened(sounds: Path, tmp_path: Path) -> None:
    options = ["--steps", "40", "--every", "5", *SMALL]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    main([str(sounds), "-o", str(straight), *options])
    command = [sys.executable, "-m", "sopilib.train", str(sounds), "-o", str(killed), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (killed / "log.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    main([str(sounds), "-o", str(killed), *options])
    assert curves(killed) == curves(straight)
    ours, theirs = sopilib.load(killed).weights, sopilib.load(straight).weights
    for name, w in theirs.items():
        np.testing.assert_array_equal(ours[name], w)
    assert not list(killed.glob("*.part"))


def test_wrong_input_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "noise.wav").write_text("this is no sound")
    (tmp_path / "empty").mkdir()
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(100), RATE)
    for audio, words in (
        ("nowhere", "no such file"),
        ("empty", "no audio found"),
        ("noise.wav", "not a readable"),
        (str(short), "shorter"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([str(tmp_path / audio), "-o", str(tmp_path / "run"), *SMALL])
        assert stopped.value.code == 1
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
