"""Names of files as people have them: no UTF-8, brackets, spaces, links; and command lines as people write them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from sopilib import Config, Model, SopiError, checkpoint, cli, names
from sopilib.sound import find_audio
from sopilib.train.prepare import Dataset, Preparation, prepare

RATE = 8000
LATIN = os.fsdecode(b"k\xe9y")
"""A name on a sample disk of the nineties."""
SOPI = [sys.executable, "-m", "sopilib.cli"]


def put(path: Path, seconds: float = 2.0) -> Path:
    """A sound file of any name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(os.fspath(path))).normal(0, 0.1, round(seconds * RATE))
    soundfile.write(os.fsencode(path), noise, RATE, format="WAV")
    return path


def sopi(*words: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    return subprocess.run(
        [*SOPI, *words],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        cwd=cwd,
        env={**os.environ, **env},
        timeout=120,
        check=False,
    )


# ---------------------------------------------------------------- names that are no text


@given(st.binary().map(os.fsdecode) | st.text())
def test_what_is_escaped_is_text_and_reads_back(name: str) -> None:
    escaped = names.escaped(name)
    escaped.encode()
    if not any("\ud800" <= c < "\udc80" or "\udd00" <= c <= "\udfff" for c in name):
        assert names.unescaped(escaped) == name
    names.shown(name).encode()


def test_json_with_such_names_is_text_and_reads_back() -> None:
    for name in ("plain", "é", LATIN, "\ud800"):
        for indent in (None, 1):
            text = names.in_json({"name": name}, indent)
            assert json.loads(text.encode("utf-8")) == {"name": name}


def test_takes_of_such_a_model_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / f"{LATIN}.safetensors"
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16, sample_rate=RATE)), model)
    words = ["generate", str(model), "--seconds", "0.1", "--takes", "2", "-o", str(tmp_path / os.fsdecode(b"t\xe9"))]
    assert cli.main(words) == 0, capsys.readouterr().err
    (described,) = tmp_path.rglob("takes.json")
    assert json.loads(described.read_bytes())["format"] == "sopilib takes 1"


def test_a_name_that_is_text_stays_as_it_is() -> None:
    for name in ("kéy.wav", "100%.wav", "a%20b.wav", "%41"):
        assert names.escaped(name) == names.unescaped(name) == names.shown(name) == name
    assert names.escaped(LATIN) == "k%E9y"
    assert names.escaped("k%E9y") == "k%25E9y"
    assert names.shown(LATIN) == "k\N{REPLACEMENT CHARACTER}y"


@pytest.mark.parametrize("name", ["plain", "two words", "it's", "$HOME `x`", LATIN, "é", "a\\b"])
def test_a_command_that_is_printed_can_be_pasted(name: str) -> None:
    word = names.for_shell(name)
    assert subprocess.check_output(["bash", "-c", f"printf %s {word}"]) == os.fsencode(name)


def test_a_sample_disk_in_latin_1_is_prepared_like_any_other(tmp_path: Path) -> None:
    disk = tmp_path / os.fsdecode(b"disk \xe9")
    put(disk / f"{LATIN}.wav")
    put(disk / "plain.wav")
    (disk / f"{LATIN}.flac").write_bytes(b"no sound" * 20)
    done = sopi("prepare", disk, "-o", disk / LATIN, "--sample-rate", "8000", LC_ALL="C.UTF-8")
    assert done.returncode == 0, done.stderr
    assert "2 recording(s)" in done.stdout
    assert "left out: " in done.stdout
    assert "k\N{REPLACEMENT CHARACTER}y.flac: not a readable sound file" in done.stdout
    sources = json.loads((disk / LATIN / "dataset.json").read_bytes().decode("utf-8"))["sources"]
    assert [names.unescaped(s["file"]) for s in sources] == [
        str(disk / name) for name in (f"{LATIN}.flac", f"{LATIN}.wav", "plain.wav")
    ]
    command = done.stdout.splitlines()[-1].partition(": train on it with: ")[2]
    words = subprocess.check_output(["bash", "-c", f"printf '%s\\n' {command}"]).splitlines()
    assert words[2] == os.fsencode(disk / LATIN)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_models_and_sounds_of_such_names_are_made_and_read(encoding: str, tmp_path: Path) -> None:
    model = tmp_path / f"{LATIN}.safetensors"
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16, sample_rate=RATE)), model)
    put(tmp_path / f"{LATIN}.wav", 0.5)
    for words in (
        ("info", model),
        ("generate", model, "--seconds", "0.1", "--prime", tmp_path / f"{LATIN}.wav", "-o", tmp_path / f"{LATIN}2.wav"),
        ("score", model, tmp_path / f"{LATIN}.wav", "--precision", "f32"),
        ("import", model, "-o", tmp_path / f"{LATIN}2.safetensors"),
    ):
        done = sopi(*words, PYTHONIOENCODING=f"{encoding}:strict")
        assert done.returncode == 0, done.stderr
        assert ("\N{REPLACEMENT CHARACTER}" in done.stdout) == (encoding == "utf-8")
    assert (tmp_path / f"{LATIN}2.wav").is_file()
    assert (tmp_path / f"{LATIN}2.safetensors").is_file()


@pytest.mark.long
def test_a_run_of_such_a_name_trains_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / f"{LATIN}.wav", 6)
    small = ["--dim", "16", "--mlp-dim", "16", "--frame-sizes", "4", "16", "--seq-len", "64", "--batch", "2"]
    small += ["--device", "cpu", "--validation", "1s"]
    words = ["train", str(tmp_path / f"{LATIN}.wav"), "-o", str(tmp_path / LATIN), "--steps", "2", *small]
    assert cli.main([*words, "--sample-rate", "8000"]) == 0, capsys.readouterr().err
    assert cli.main(["train", "-o", str(tmp_path / LATIN), "--steps", "3"]) == 0, capsys.readouterr().err
    assert (tmp_path / LATIN / f"{LATIN}.safetensors").is_file()


# ---------------------------------------------------------------- links, patterns, and names that look like them


def test_recordings_in_a_linked_folder_are_found_and_a_circle_ends(tmp_path: Path) -> None:
    put(tmp_path / "other disk" / "deep" / "a.wav")
    put(tmp_path / "mine" / "b.wav")
    put(tmp_path / "not mine.wav")
    (tmp_path / "mine" / "linked").symlink_to(tmp_path / "other disk")
    (tmp_path / "other disk" / "back").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "round").symlink_to(".")
    (tmp_path / "mine" / "up").symlink_to("..")
    (tmp_path / "mine" / "itself").symlink_to("itself")
    found = [str(p.relative_to(tmp_path)) for p in find_audio([tmp_path / "mine"])]
    assert found == ["mine/b.wav", "mine/linked/deep/a.wav"]
    (tmp_path / "only links").mkdir()
    (tmp_path / "only links" / "x").symlink_to(tmp_path / "mine")
    assert len(find_audio([tmp_path / "only links"])) == 2
    dataset = prepare([tmp_path / "mine"], tmp_path / "set", Preparation(RATE, validation="0%"))
    assert len(dataset.about["sources"]) == 2


def test_patterns_and_names_that_look_like_patterns_both_mean_what_they_say(tmp_path: Path) -> None:
    folder = tmp_path / "take [2]"
    for name in ("a[1].wav", "a1.wav", "b*.wav", "bb.wav", "deep/er/c.wav"):
        put(folder / name)

    def found(*wanted: str) -> list[str]:
        return [str(p.relative_to(folder)) for p in find_audio([str(folder / w) for w in wanted])]

    assert found("a[1].wav") == ["a[1].wav"]
    assert found("b*.wav") == ["b*.wav"]
    assert found("a?.wav") == ["a1.wav"]
    assert found("[ab]*.wav") == ["a1.wav", "a[1].wav", "b*.wav", "bb.wav"]
    assert found("**/c.wav", "a1*", "a1.wav") == ["deep/er/c.wav", "a1.wav"]
    assert found("d*") == ["deep/er/c.wav"]
    with pytest.raises(SopiError, match="no such file or folder"):
        found("a[2].wav")
    options = Preparation(RATE, validation_files=["a[1].wav"], test_files=["bb.wav"])
    dataset = prepare([folder], tmp_path / "set", options)
    assert sum(n for _, n in dataset.segments["validation"]) == sum(n for _, n in dataset.segments["test"]) == 2 * RATE


def test_what_was_made_of_recordings_in_their_folder_is_no_recording(tmp_path: Path) -> None:
    """An output within the input, as in meta-pytorch/torchtune#2173: previews would be trained on."""
    put(tmp_path / "a.wav")
    prepare([tmp_path], tmp_path / "set", Preparation(RATE))
    put(tmp_path / "set" / "ground_truth.wav")
    put(tmp_path / "run" / "previews" / "step1.wav")
    put(tmp_path / "takes" / "take-1.wav")
    for name, text in (
        ("run/run.json", "{}"),
        ("run/log.csv", ""),
        ("takes/takes.json", '{"format": "sopilib takes"}'),
    ):
        (tmp_path / name).write_text(text)
    put(tmp_path / "borrowed" / "b.wav")
    (tmp_path / "borrowed" / "dataset.json").write_text("{}")
    assert [p.name for p in find_audio([tmp_path])] == ["a.wav", "b.wav"]
    assert [p.name for p in find_audio([tmp_path / "takes"])] == ["take-1.wav"]


def test_one_file_that_has_two_names_is_there_once(tmp_path: Path) -> None:
    put(tmp_path / "a.wav")
    (tmp_path / "b.wav").symlink_to("a.wav")
    assert len(find_audio([tmp_path, tmp_path / "b.wav"])) == 1


def test_the_command_that_prepare_prints_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "my sounds" / "a.wav")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["prepare", "my sounds", "-o", "my set; it's new", "--sample-rate", "8000"]) == 0
    command = capsys.readouterr().out.splitlines()[-1].partition(": train on it with: ")[2]
    assert shlex.split(command) == ["sopi", "train", "my set; it's new", "-o", "RUN"]
    Dataset(tmp_path / "my set; it's new")


# ---------------------------------------------------------------- the command line


@pytest.mark.parametrize("words", ["info tabla", "doctor", "--help"])
def test_who_reads_the_beginning_only_sees_no_traceback(words: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(SOPI)} {words} | true"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_output_to_a_full_disk_is_one_line() -> None:
    command = f"{shlex.join(SOPI)} info tabla > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_recordings_may_be_named_after_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (f"{tmp_path}/no.wav", f"--from 1 {tmp_path}/no.wav", f"--precision f32 --from 1 {tmp_path}/no.wav"):
        assert cli.main(["score", "tabla", *words.split()]) == 1
        assert f"{tmp_path}/no.wav" in capsys.readouterr().err


def test_a_recording_whose_name_begins_with_a_dash_follows_two_dashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "-a.wav")
    put(tmp_path / "b.wav")
    monkeypatch.chdir(tmp_path)
    for number, words in enumerate(("-- -a.wav", "b.wav -o set1 -- -a.wav")):
        assert cli.main(["prepare", *(("-o", "set0") if number == 0 else ()), *words.split()]) == 0
        assert "-a.wav" in {file["file"] for file in Dataset(tmp_path / f"set{number}").about["sources"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian x -o y", "sopi: COMMAND is 'trian', did you mean train?"),
        ("train x -o y --stpes 3", "sopi train: no option --stpes, did you mean --steps"),
        ("train x -o y --preset lvie", "sopi train: --preset is 'lvie', did you mean live?"),
        ("train x -o y --preset qqq", "expected one of "),
        ("prepare x -o y --smaple-rate=3", "sopi prepare: no option --smaple-rate, did you mean --sample-rate?"),
        ("info", "sopi info: model is missing"),
        ("info a b", "sopi info: 'b' is a word too many"),
        ("serve tabla --osc nine", "sopi serve: --osc: invalid int value: 'nine'"),
        ("bench --all --qqqqq", "sopi bench: no option --qqqqq;"),
        ("publish x --licnece y", "sopi publish: -o/--output, --licence, --about, --retrain"),
    ],
)
def test_a_wrong_word_is_one_line_that_says_what_was_meant(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_name_of_300_letters_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        *(["info", "x" * 300], ["generate", "tabla", "-o", "x" * 300 + ".wav"], ["prepare", "x" * 300, "-o", "y"]),
        *(["score", "tabla", "x" * 300], ["play", "x" * 300], ["osc-layouts", "x" * 300], ["import", "x" * 300]),
    ):
        assert cli.main(words) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"sopi {words[0]}: ")
        assert error.count("\n") == 1
