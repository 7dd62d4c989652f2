"""A run that is gone on with: what differs is refused or taken, and said; its length may change at any time; what its
previews say holds, and any of its checkpoints can be made the model."""

from __future__ import annotations

import csv
import json
import math
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import sopilib
from sopilib import cli, sound
from sopilib.train import listening, schedule
from sopilib.train.loop import Run
from sopilib.train.parallel import Group
from sopilib.train.prepare import Dataset, Preparation, prepare
from sopilib.train.report import Report
from sopilib.train.run_folder import Wanted, open_run
from sopilib.train.schedule import Bend
from sopilib.train.settings import Settings, from_values
from sopilib.train.validation import recorded

RATE = 8000
SMALL = [
    "--sample-rate", str(RATE), "--frame-sizes", "4", "16", "--seq-len", "64", "--dim", "8", "--mlp-dim", "8",
    "--emb-size", "4", "--batch", "2", "--excerpt", "0.05", "--warm-up", "0", "--lr", "0.01", "--precision", "float32",
    "--preview-every", "0", "--threads", "1", "--log-every", "1",
]  # fmt: skip


def tone(hz: float, seconds: float = 2.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    soundfile.write(folder / "one.wav", tone(220), RATE)
    return folder


def train(*args: object) -> int:
    return cli.main(["train", *map(str, args)])


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def at(run: Path) -> int:
    return torch.load(run / "state.pt", weights_only=True)["step"]


def test_every_option_that_is_not_the_runs_is_refused_and_nothing_is_lost(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = tmp_path / "run", tmp_path / "other.wav"
    soundfile.write(other, tone(330), RATE)
    prepare([sounds], tmp_path / "set", Preparation(RATE))
    assert train(sounds, "-o", run, *SMALL, "--steps", 2) == 0
    (tmp_path / "c.json").write_text('{"learning_rate": 0.01, "num_rnn_layers": 3}')
    for given, words in (
        ((sounds, "--from", "tabla"), "began with random weights, not 'tabla'"),
        ((sounds, "--validation", "1s"), "validation '10%', not '1s' (--validation)"),
        ((sounds, "--augment", "reverse"), "augment [], not ['reverse']"),
        ((sounds, "--features", "loudness"), "features [], not ['loudness']"),
        ((sounds, "--preset", "live-small"), "(--preset live-small)"),
        ((sounds, "--config", tmp_path / "c.json"), f"num_rnn_layers 1, not 3 (--config {tmp_path / 'c.json'})"),
        ((sounds, "--dim", "16"), "dim 8, not 16 (--dim)"),
        ((other,), "not '" + str(other)),
        ((tmp_path / "set",), "not '" + str(tmp_path / "set")),
    ):
        capsys.readouterr()
        assert train(*given, "-o", run, "--steps", 9) == 1
        said = capsys.readouterr().err
        assert words in said, given
        assert said.count("\n") == 1
        assert at(run) == 2
    assert train(sounds, "-o", run, *SMALL, "--steps", 3) == 0


def test_what_is_taken_is_said_and_recordings_that_came_since_are_named(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(sounds, "-o", run, *SMALL, "--steps", 2) == 0
    soundfile.write(sounds / "two.wav", tone(330), RATE)
    capsys.readouterr()
    assert train(sounds, "-o", run, "--steps", 3, "--lr", "0.005") == 0
    said = capsys.readouterr().out
    assert f"{sounds / 'two.wav'}: came after this run had begun" in said
    assert f"sopi train {sounds} -o NEW --from {run}" in said
    assert "steps is 3 from now on (before: 2)" in said
    assert "lr is 0.005 from now on (before: 0.01)" in said
    (sounds / "two.wav").unlink()
    (sounds / "one.wav").rename(sounds / "renamed.wav")  # the same sound
    assert train(sounds, "-o", run, "--steps", 4) == 0
    assert "came after" not in capsys.readouterr().out


def test_a_run_keeps_its_learning_rate_when_its_preset_is_named_again(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, at_lr = tmp_path / "run", SMALL.index("--lr")
    assert train(sounds, "-o", run, "--preset", "prism", *SMALL, "--steps", 2) == 0
    capsys.readouterr()
    without = [*SMALL[:at_lr], *SMALL[at_lr + 2 :]]
    assert train(sounds, "-o", run, "--preset", "prism", *without, "--steps", 3) == 0
    assert "lr is" not in capsys.readouterr().out
    assert json.loads((run / "live.json").read_text())["lr"] == 0.01


def test_a_preset_that_does_not_fit_the_model_to_go_on_with_is_named(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(sounds, "-o", tmp_path / "run", "--preset", "live-small", "--from", "tabla") == 1
    said = capsys.readouterr().err
    assert "--preset live-small: " in said and "leave --preset out" in said
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ how long it is


def test_the_number_of_steps_is_part_of_the_run(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(sounds, "-o", run, *SMALL, "--steps", 6) == 0
    assert train("-o", run, "--steps", 9) == 0
    capsys.readouterr()
    assert train("-o", run) == 0
    said = capsys.readouterr().out
    assert "about 0 s for 0 steps" in said and "done at step 9" in said
    live = json.loads((run / "live.json").read_text())
    (run / "live.json").write_text(json.dumps({**live, "steps": 12}))  # with an editor
    assert train(run) == 0
    assert at(run) == 12
    assert [row["step"] for row in rows(run)] == [str(k) for k in range(1, 13)]
    capsys.readouterr()
    assert train(run, "--steps", 4) == 0  # fewer than it has done
    assert "-" not in capsys.readouterr().out.split(" for 0 steps")[0].split("about ")[-1]


def test_how_long_it_takes_is_said_again_if_the_machine_became_busy(sounds: Path, tmp_path: Path) -> None:
    """As beside a program that takes most of the processor: it is stopped for nine tenths of the time, once it has told
    how long it will take."""
    steps = ["--steps", "4000", "--batch", "8", "--seq-len", "256", "--log-every", "1000", "--every", "100"]
    command = [sys.executable, "-m", "sopilib.cli", "train", str(sounds), "-o", str(tmp_path / "run"), *SMALL, *steps]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            next(line for line in lines if line.startswith("about ") and " for 4000 steps" in line)
            busy = threading.Event()

            def stop_and_go() -> None:
                while not busy.wait(0.03):
                    process.send_signal(signal.SIGSTOP)
                    busy.wait(0.3)
                    process.send_signal(signal.SIGCONT)

            neighbour = threading.Thread(target=stop_and_go)
            neighbour.start()
            try:
                said = next(lines)
            finally:
                busy.set()
                neighbour.join()
        finally:
            process.kill()
    assert re.match(r"step 21: about .* left, since steps take [0-9.e+]+ times as long as measured before", said)


def test_how_long_it_takes_is_said_again_only_if_it_was_wrong(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = prepare([sounds], tmp_path / "set", Preparation(sample_rate=RATE))
    config, settings = from_values({"sample_rate": RATE, "steps": 1020, "every": 2000})
    report = Report(tmp_path, 0, settings.steps, True, True)
    report.announce(dataset, config, settings, 0, settings.batch, 0.6, Group())
    assert "about 10 min for 1020 steps" in capsys.readouterr().out
    for each, said in ((0.6, None), (0.7, None), (0.5, None), (1.2, "20 min left, since steps take 2"), (0.06, "60 s")):
        report.correct(20, each)
        out = capsys.readouterr().out
        assert said in out if said else not out


@pytest.mark.parametrize("name", ["steady", "cosine", "linear", "constant"])
def test_the_learning_rate_bends_and_never_jumps(name: str) -> None:
    whole = Settings(steps=6000, schedule=name, lr=1e-3)
    for at_step, steps in ((3000, 3100), (3000, 12000), (6000, 9000), (150, 300), (5999, 6000)):
        changed = Settings(steps=steps, schedule=name, lr=1e-3)
        bend = schedule.bent(whole, changed, Bend(), at_step)
        rates = [schedule.rate(whole, Bend(), s) for s in range(at_step)]
        rates += [schedule.rate(changed, bend, s) for s in range(at_step, steps)]
        longest = max(1 / 100, 2 * math.pi / (steps - at_step), 12 / (steps - at_step))
        assert max(np.abs(np.diff(rates))) <= 1.01e-3 * longest, (at_step, steps)
        assert min(rates) >= 0
        if name != "constant" and steps - at_step > 20:
            assert rates[-1] < 2e-3 / (steps - at_step) * math.pi
            assert max(rates[at_step:]) > 0.95 * rates[at_step - 1]


def test_an_interrupted_longer_run_is_not_done(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(sounds, "-o", run, *SMALL, "--steps", 4) == 0
    open_run(run, Wanted({"steps": 10}), Group())  # and the power fails
    capsys.readouterr()
    assert train("-o", run) == 0
    assert "done at step 10" in capsys.readouterr().out


# ------------------------------------------------------------------ previews, and choosing


def test_previews_are_kept_compare_and_are_judged_against_ten_seconds(tmp_path: Path) -> None:
    for k in range(12):
        soundfile.write(tmp_path / f"{k:02}.wav", tone(200 + 20 * k, 3 + k), RATE)
    dataset = prepare([tmp_path], tmp_path / "set", Preparation(RATE))
    assert len(recorded(dataset, 10)) / RATE == pytest.approx(min(10, dataset.seconds("validation")), abs=0.01)

    run = tmp_path / "run"
    previews = ["--preview-every", 2, "--preview-seconds", 0.1, "--every", 1, "--keep-previewed"]
    command = [dataset.folder, "-o", run, *SMALL, *previews, "--lr", "1e-30"]
    assert train(*command, "--steps", 4, "--keep", 1) == 0
    steps = [int(path.stem[4:]) for path in sorted((run / "checkpoints").iterdir())]
    assert steps == [2, 4]
    # weights that don't change say the same at every step
    said = [(run / "previews" / f"step{s:07}_t1.wav").read_bytes() for s in steps]
    assert said[0] == said[1]
    assert train("-o", run, "--steps", 5, "--keep", 2) == 0
    assert [path.stem for path in sorted((run / "checkpoints").iterdir())] == ["step0000004", "step0000005"]


def test_a_preview_that_was_damaged_is_left_out_of_the_page_and_the_training_goes_on(tmp_path: Path) -> None:
    previews = tmp_path / "previews"
    previews.mkdir()
    real = np.sin(np.arange(8000, dtype=np.float32) / 9) / 3
    about: dict[str, Any] = {"step": 1, "temperature": 1.0, "number": None, "bits": None, "wrong": []}
    for name in ("first.wav", "second.wav"):
        sound.write_audio(previews / name, [real[None]], 8000)
        listening.write_page(tmp_path, [{**about, "file": name}], real, 8000)
        assert name in (tmp_path / "listen.html").read_text()
    (previews / "first.wav").write_bytes(b"no sound")
    listening.write_page(tmp_path, [], real, 8000)
    assert "second.wav" in (tmp_path / "listen.html").read_text()
    assert "first.wav" not in (tmp_path / "listen.html").read_text()


def test_any_checkpoint_that_is_kept_can_be_made_the_model(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(sounds, "-o", run, *SMALL, "--steps", 4, "--every", 2, "--keep", 0) == 0
    assert train(run, "--use", 2) == 0
    assert str(run / "run.safetensors") in capsys.readouterr().out
    chosen, used = sopilib.load(run / "checkpoints" / "step0000002.safetensors"), sopilib.load(run)
    assert used.name == "run" and used.about["training"]["steps"] == 2
    for name, weight in chosen.weights.items():
        np.testing.assert_array_equal(used.weights[name], weight)
    assert train(run, "--use", 9) == 1
    assert "no checkpoint of step 9, expected one of those that were kept: 2, 4" in capsys.readouterr().err
    assert train(tmp_path / "none", "--use", 9) == 1


# ------------------------------------------------------------------ what it is made of


def test_too_little_sound_is_said_with_what_comes_of_it_and_what_is_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips").mkdir()
    for k in range(10):
        soundfile.write(tmp_path / "clips" / f"{k}.wav", tone(200 + 20 * k, 0.05), RATE)
    for command in (["train", *SMALL, "--steps", "1"], ["prepare", "--sample-rate", str(RATE)]):
        assert cli.main([*command, str(tmp_path / "clips"), "-o", str(tmp_path / command[0])]) == 0
        said = capsys.readouterr().out
        assert "s are little to train on: it will learn these by heart" in said
        assert "half an hour is good" in said
        assert "s are held out, too little to tell how good it is" in said


def test_what_the_model_hears_can_be_heard(sounds: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    coarse = ["--q-levels", 16, "--q-type", "linear", "--emphasis", 0]
    assert train(sounds, "-o", run, *SMALL, "--steps", 1, *coarse) == 0
    heard, rate = soundfile.read(run / "heard.wav")
    dataset = Dataset(run / "dataset")
    start, length = dataset.segments["train"][0]
    real = np.array(dataset.audio[start : start + length])
    assert (rate, len(heard)) == (RATE, length)
    assert 9 <= len(np.unique(heard)) <= 16  # levels
    assert np.abs(heard - real).max() < 0.15


def test_telling_how_long_it_will_take_changes_nothing(sounds: Path, tmp_path: Path) -> None:
    dataset = prepare([sounds], tmp_path / "set", Preparation(RATE))
    values = {"sample_rate": RATE, "frame_sizes": [4, 16], "seq_len": 64, "dim": 8, "batch": 2, "excerpt": 0.05}
    how = {"steps": 4, "every": 4, "preview_every": 0, "precision": "float32", "rnn_dropout": 0.2, "device": "cpu"}
    for loud in (True, False):
        config, settings = from_values({**values, **how})
        Run(tmp_path / f"run{loud}", dataset, config, settings, loud=loud).train()
    told, silent = (sopilib.load(tmp_path / f"run{loud}" / "checkpoints") for loud in (True, False))
    for name, weight in told.weights.items():
        np.testing.assert_array_equal(silent.weights[name], weight)
