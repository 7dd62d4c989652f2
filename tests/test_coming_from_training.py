"""docs/coming-from.md: lines that prepare, train and search, of older systems' pages, run when the program's name is
replaced, and so do those beside them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sopilib
from sopilib import cli
from sopilib.cli import train as training
from sopilib.train.prepare import Dataset, Preparation, prepare

PAGE = (Path(__file__).parents[1] / "docs" / "coming-from.md").read_text()
RATE = 16000
PROGRAMS = {
    "prepare": ("chunk_audio.py", "sopi prepare"),
    "train": ("train.py", "two_tier16k.py", "sopi train"),
    "tune": ("keras_tuner.py", "samplernn_scripts.tune", "sopi tune"),
}
CHEAP = {
    "prepare": "",
    "train": "--dim 8 --mlp-dim 8 --emb-size 4 --batch 2 --threads 1 --num-rnn-layers 1 --preview-seconds 0.1",
    "tune": "--trials 1 --dim 8 --mlp-dim 8 --emb-size 4 --batch 2 --num-epochs 1",
}
"""What is added to a line, so that it doesn't take days."""
LONG = (3, 5, 6, 7)
"""Lines that are much like others, and so are left to `make test-long`."""


def lines() -> list[tuple[str, str]]:
    """Each line of the page that one of these programs reads: our command, and the words after the program's name."""
    out = []
    for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL):
        line = block.replace("\\\n", " ")
        for command, programs in PROGRAMS.items():
            for program in programs:
                before, found, words = line.partition(program + " ")
                if found and re.fullmatch(r"(python .*)?", before, re.DOTALL) or line.startswith(program + " "):
                    out.append((command, words))
    return out


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the lines name."""
    sound = 0.5 * np.sin(np.arange(2 * RATE) * 0.1) * np.linspace(0, 1, 2 * RATE)
    for name in ("path/to/input.wav", "data/a.wav", "krallice/a.wav", "path/to/dataset/a.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, sound, RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_lines_of_every_program_and_ours_beside_them() -> None:
    assert [command for command, _ in lines()] == ["prepare"] * 2 + ["train"] * 4 + ["tune"] * 3


@pytest.mark.parametrize("number", [pytest.param(k, marks=[pytest.mark.long] * (k in LONG)) for k in range(9)])
def test_a_line_of_the_page_runs(number: int, place: Path) -> None:
    command, words = lines()[number]
    cheap = CHEAP[command].split()
    if command == "train":
        cheap += ["--num-epochs", "1"] if "epochs" in words else ["--steps", "1"]
    assert cli.main([command, *shlex.split(words), *cheap]) == 0
    if command == "prepare":
        dataset = Dataset(place / "chunks")
        assert dataset.about["preparation"]["chunk"] == 8 and dataset.about["preparation"]["overlap"] == 1
    if command == "train":
        run = next((place / "logdir").iterdir())
        model = sopilib.load(run)
        assert model.config.sample_rate == RATE
        if "krallice" in words:
            assert (run.name, model.config.frame_sizes, model.config.seq_len) == ("krallice_experiment", [16], 1024)
            assert (model.config.rnn_type, model.config.skip_conn, model.config.emphasis) == ("lstm", True, [])
            how = json.loads((run / "run.json").read_text())["settings"]
            assert how["weight_norm"] and not how["learn_initial"]
        else:
            assert list((run / "previews").glob("*.wav"))
    if command == "tune":
        best = json.loads((place / "tune" / "best.json").read_text())
        assert best["frame_sizes"] in ([16, 64], [32, 128], [8, 32], [16, 32], [32, 64])


def settings(place: Path, name: str, *words: str) -> dict[str, object]:
    """What `sopi train` makes of these words, which one step is enough to tell."""
    cheap = ["--dim", "8", "--mlp-dim", "8", "--batch", "2", "--threads", "1", "--preview-every", "0"]
    assert cli.main(["train", "data", "-o", str(place / name), *cheap, "--steps", "1", *words]) == 0
    return json.loads((place / name / "run.json").read_text())["settings"]


def test_other_options_of_theirs_mean_what_they_meant(place: Path) -> None:
    words = (
        "--optimizer sgd --momentum 0.5 --learning_rate 0.01 --monitor accuracy --early_stopping_patience 4 "
        "--max_checkpoints None --seed data/a.wav --seed_offset 8000 --val_frac 0.2 --resume True "
        "--checkpoint_every 2 --reduce_learning_rate_after 3 --mixed_precision False --device All --mono"
    )
    how = settings(place, "a", *words.split())
    steps = 13  # 25600 samples in 1024 x 2
    wanted = {
        **{"optimiser": "sgd", "momentum": 0.5, "lr": 0.01, "monitor": "train_accuracy", "patience": 4, "keep": 0},
        **{
            "preview_from": str(place / "data" / "a.wav"),
            "preview_offset": 0.5,
            "seed": 0,
            "every": 2 * steps,
            "precision": "float32",
        },
        **{"decay_after": 3 * steps, "decay_every": steps, "schedule": "constant"},
    }
    assert {name: how[name] for name in wanted} == wanted
    assert Dataset(place / "a" / "dataset").seconds("validation") == pytest.approx(0.4)
    assert settings(place, "b", "--generate", "False", "--seed", "7", "--checkpoint_policy", "Best")["seed"] == 7


def test_an_option_without_equal_says_what_to_use_instead(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--num_val_batches", "2"], "--num-val-batches: say how much of the sound is held out"),
        (["--output_dir", "generated", "--verbose", "True"], "RUN/previews, so leave it out; --verbose: "),
        (["--resume", "False"], "give a new one by -o or --id"),
    ):
        assert cli.main(["train", "--data_dir", "data", *words]) == 1
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1
    assert not (place / "logdir").exists()


def test_previews_go_on_from_a_sound(place: Path) -> None:
    cheap = [
        "--dim",
        "8",
        "--mlp-dim",
        "8",
        "--batch",
        "2",
        "--threads",
        "1",
        "--preview-seconds",
        "0.1",
        "--steps",
        "1",
    ]
    for name, more in (("a", []), ("b", ["--seed", "data/a.wav", "--seed_offset", "16000"])):
        assert cli.main(["train", "data", "-o", str(place / name), *cheap, *more]) == 0
    plain, primed = ((place / name / "previews" / "step0000001_t1.wav").read_bytes() for name in "ab")
    assert plain != primed and len(plain) == len(primed)


def test_channels_are_material_of_their_own_and_nothing_leaks_between_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(4):
        soundfile.write(tmp_path / f"{k}.wav", rng.uniform(-0.5, 0.5, (RATE, 1 + (k != 2))), RATE)
    for how in ({}, {"split": "file", "validation": "30%"}, {"validation": "0.5s"}, {"validation_files": ["1.wav"]}):
        dataset = prepare([tmp_path], tmp_path / f"set{len(str(how))}", Preparation(RATE, mono=False, **how))
        assert dataset.seconds("train") + dataset.seconds("validation") == pytest.approx(7, abs=0.01)
        held = {part: set() for part in ("train", "validation")}  # type: dict[str, set[tuple[str, int]]]
        starts, at = [], 0
        for source in dataset.about["sources"]:
            starts.append((at, source["file"]))
            at += RATE
        for part, times in held.items():
            for start, n in dataset.segments[part]:
                begin, file = max(s for s in starts if s[0] <= start)
                times |= {(file, t) for t in range(start - begin, start - begin + n)}
        assert held["validation"] and not held["train"] & held["validation"], how


def test_every_old_name_is_on_the_page() -> None:
    olds = [old for names in training.OLD.values() for old in names]
    for name in (*olds, *training.NO_EQUAL, "--val-frac", "--no-mono", "--max-checkpoints", "--checkpoint-policy"):
        assert re.search(rf"`{name.replace('-', '[_-]')}\b", PAGE), name


def test_a_search_is_told_what_counts_how_patient_to_be_and_what_to_use(place: Path) -> None:
    words = "--objective val_accuracy --early_stopping_patience 2 --num_cpus 4 --num_gpus 2 --num_trials 10"
    args = cli.parser().parse_args(["tune", "data", *words.split()])
    assert (args.objective, args.patience, args.cpus, args.gpus, args.trials) == ("val_accuracy", 2, 4, 2, 10)
    words = (
        "tune data --objective val_accuracy --patience 1 --type random_search --trials 2 --epochs 1 --dim 8 --batch 2"
    )
    assert cli.main([*words.split(), "--mlp-dim", "8", "--emb-size", "4"]) == 0
    table = (place / "tune" / "trials.csv").read_text().splitlines()
    assert table[0].startswith("trial,state,accuracy")
    assert 0 <= float(table[1].split(",")[2]) <= 1
