"""From any folder of sound to a data set: what is kept, what is left out and why, and that nothing leaks."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sopilib import SopiError, cli
from sopilib.train.prepare import HOP, PARTS, Dataset, Preparation, prepare

RATE = 8000


def tone(hz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def pitch(audio: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(audio * np.hanning(len(audio)))).argmax() * RATE / len(audio))


def parts(dataset: Dataset) -> dict[str, set[int]]:
    return {p: {k for a, n in dataset.segments[p] for k in range(a, a + n)} for p in PARTS}


def never_shared(dataset: Dataset) -> None:
    for one, other in combinations(parts(dataset).values(), 2):
        assert not one & other


def test_rates_channels_and_widths_are_mixed_and_keep_their_pitch(tmp_path: Path) -> None:
    stereo = np.stack([tone(440, rate=44100), np.zeros(44100)], 1)
    soundfile.write(tmp_path / "a.wav", stereo, 44100)
    soundfile.write(tmp_path / "b.wav", tone(440), RATE, "PCM_U8")
    soundfile.write(tmp_path / "c.flac", tone(440, rate=48000), 48000, "PCM_24")
    soundfile.write(tmp_path / "d.mp3", tone(440, 3, 44100), 44100)
    both = prepare([tmp_path], tmp_path / "both", Preparation(RATE, normalise="none", validation="0%"))
    assert [s["rate"] for s in both.about["sources"]] == [44100, RATE, 48000, 44100]
    for start, length in both.segments["train"]:
        assert pitch(both.audio[start : start + length]) == pytest.approx(440, abs=2)
    start, length = both.segments["train"][0]
    assert np.abs(both.audio[start + 100 : start + length - 100]).max() == pytest.approx(0.25, abs=0.01)
    left = prepare([tmp_path / "a.wav"], tmp_path / "left", Preparation(RATE, channel=1, normalise="none"))
    assert np.abs(left.audio[100:7000]).max() == pytest.approx(0.5, abs=0.01)
    with pytest.raises(SopiError, match="1 channel"):
        prepare([tmp_path / "b.wav"], tmp_path / "right", Preparation(RATE, channel=2))


def test_one_gain_for_all_and_no_offset(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", tone(200) + 0.2, RATE)
    soundfile.write(tmp_path / "soft.wav", 0.1 * tone(200), RATE)
    dataset = prepare([tmp_path], tmp_path / "set", Preparation(RATE, validation="0%"))
    (a, n), (b, m) = dataset.segments["train"]
    loud, soft = dataset.audio[a : a + n], dataset.audio[b : b + m]
    assert np.abs(loud).max() == pytest.approx(10 ** (-1 / 20), rel=1e-3)
    assert np.abs(soft).max() / np.abs(loud).max() == pytest.approx(0.1, rel=1e-2)
    assert abs(loud.mean()) < 1e-6
    assert "DC offset of +0.200" in (dataset.folder / "summary.txt").read_text()


def test_a_corrupt_file_among_good_ones_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "good.wav", tone(200, 2), RATE)
    (tmp_path / "bad.wav").write_bytes(b"RIFF, or so it says")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    assert cli.main(["prepare", str(tmp_path), "-o", str(tmp_path / "set"), "--sample-rate", str(RATE)]) == 0
    said = capsys.readouterr().out
    assert "2 file(s) that could not be read" in said
    assert f"left out: {tmp_path}/bad.wav: not a readable sound file" in said
    assert "empty.wav: is empty" in said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "no audio found"),
        (lambda p: (p / "bad.wav").write_text("no"), "none of 1 file(s) could be read (bad.wav: not a readable"),
        (lambda p: soundfile.write(p / "mute.wav", np.zeros(9 * RATE), RATE), "no sound is left to train on"),
    ],
)
def test_without_sound_it_is_one_sentence(
    make: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")  # type: ignore[operator]
    for command in (["prepare"], ["train", "--sample-rate", str(RATE)]):
        assert cli.main([*command, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
        assert not list(tmp_path.rglob("*.part"))


def test_an_output_that_cant_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", tone(200), RATE)
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file" / "set", Path("/proc/set")):
        for command in (["prepare"], ["train"]):
            assert cli.main([*command, str(tmp_path / "a.wav"), "-o", str(out)]) == 1
            said = capsys.readouterr().err
            assert "could not be written" in said
            assert said.count("\n") == 1
    assert cli.main(["prepare", str(tmp_path / "a.wav"), "-o", str(tmp_path / "file")]) == 1
    assert "exists already" in capsys.readouterr().err


def test_two_seconds_are_enough_to_train_on(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", tone(300, 2), RATE)
    options = ["--sample-rate", str(RATE), "--dim", "8", "--mlp-dim", "8", "--steps", "2", "--batch", "2"]
    assert cli.main(["train", str(tmp_path / "short.wav"), "-o", str(tmp_path / "run"), *options]) == 0
    assert (tmp_path / "run" / "run.safetensors").is_file()


def test_silence_is_cut_down_not_out(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(3 * RATE), tone(200), np.zeros(4 * RATE), tone(300)])
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    dataset = prepare([tmp_path], tmp_path / "set", Preparation(RATE, longest_silence=1, validation="0%"))
    kept = [(a / RATE, n / RATE) for a, n in dataset.segments["train"]]
    assert kept == [pytest.approx((2.5, 2.0), abs=0.03), pytest.approx((7.5, 1.5), abs=0.03)]
    assert "0.09 minutes of silence" in (dataset.folder / "summary.txt").read_text()
    whole = prepare([tmp_path], tmp_path / "whole", Preparation(RATE, longest_silence=0, validation="0%"))
    assert whole.seconds("train") == pytest.approx(len(sound) / RATE)


@pytest.mark.parametrize("split", ["time", "file"])
def test_what_is_held_out_is_never_trained_on(split: str, tmp_path: Path) -> None:
    for k in range(6):
        soundfile.write(tmp_path / f"{k}.wav", tone(200 + 50 * k, 1 + 0.1 * k), RATE)
    options = Preparation(RATE, split=split, validation="20%", test="20%", chunk=0.4, overlap=0.2, augment=["reverse"])
    dataset = prepare([tmp_path], tmp_path / "set", options)
    never_shared(dataset)
    original = sum(s["seconds"] for s in dataset.about["sources"])
    for part in ("validation", "test"):
        assert dataset.seconds(part) == pytest.approx(0.2 * original, rel=0.5)
        assert dataset.seconds(part) > 0
    assert all(n <= 0.4 * RATE for _, n in dataset.segments["train"])
    covered = len(parts(dataset)["train"]) / RATE
    kept = original - dataset.seconds("validation") - dataset.seconds("test")
    assert covered == pytest.approx(2 * kept, rel=0.02)


def test_the_end_of_the_last_file_or_files_by_name_can_be_held_out(tmp_path: Path) -> None:
    for k in range(3):
        soundfile.write(tmp_path / f"take{k}.wav", tone(300), RATE)
    end = prepare([tmp_path], tmp_path / "end", Preparation(RATE, validation="0.5s"))
    assert end.segments["validation"] == [(2 * RATE + RATE // 2, RATE // 2)]
    named = Preparation(RATE, validation_files=["take1*"], test_files=["take0.wav"])
    dataset = prepare([tmp_path], tmp_path / "named", named)
    assert [dataset.segments[p][0][0] for p in PARTS] == [2 * RATE, RATE, 0]
    with pytest.raises(SopiError, match="fits none of the files"):
        prepare([tmp_path], tmp_path / "x", Preparation(RATE, test_files=["take9*"]))
    for wrong in ({"validation": "a lot"}, {"validation": "80%"}, {"normalise": "max"}, {"chunk": 1.0, "overlap": 1.0}):
        with pytest.raises(SopiError, match="expected"):
            Preparation(**wrong)


def test_augmenting_adds_altered_copies_to_what_is_trained_on(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(400) * np.linspace(0, 1, RATE), RATE)
    options = Preparation(RATE, validation="0%", normalise="none", augment=["reverse", "gain", "pitch"])
    dataset = prepare([tmp_path], tmp_path / "set", options)
    plain, reverse, soft, up, down = (dataset.audio[a : a + n] for a, n in dataset.segments["train"])
    np.testing.assert_allclose(reverse[::-1], plain, atol=1e-6)
    np.testing.assert_allclose(soft, plain / 2, atol=1e-6)
    semitone = 2 ** (1 / 12)
    assert sorted([pitch(up), pitch(down)]) == pytest.approx([400 / semitone, 400 * semitone], abs=2)


def test_feature_curves_follow_the_sound_and_are_learnt(tmp_path: Path) -> None:
    sound = tone(400, 2) * np.repeat([0.1, 1.0, 0.1, 1.0], RATE // 2)
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    (tmp_path / "a.csv").write_text("seconds,brightness\n0,0\n2,1\n")
    options = Preparation(RATE, validation="0.4s", features=["loudness", "onset", "csv"])
    dataset = prepare([tmp_path], tmp_path / "set", options)
    assert dataset.feature_names == ["loudness", "onset", "brightness"]
    loudness, onset, brightness = (dataset.features_at(0, 2 * RATE)[::HOP, k] for k in range(3))
    frame = RATE // HOP
    assert loudness[frame * 3 // 4] > loudness[frame // 4] + 1
    assert onset.argmax() in range(frame // 2 - 8, frame // 2 + 3)
    assert (np.diff(brightness) > 0).all()
    run = ["-o", str(tmp_path / "run"), "--sample-rate", str(RATE), "--dim", "8", "--mlp-dim", "8", "--steps", "2"]
    assert cli.main(["train", str(tmp_path / "set"), *run, "--batch", "2"]) == 0
    import sopilib

    model = sopilib.load(tmp_path / "run")
    assert model.config.features == 3
    assert [f["name"] for f in model.about["features"]] == dataset.feature_names
    sopilib.Engine(model).generate(64, features=[1.0, 0.0, -1.0])
    (tmp_path / "a.csv").write_text("seconds,brightness\n0,zero\n")
    with pytest.raises(SopiError, match="a.csv: no feature curves"):
        prepare([tmp_path], tmp_path / "other", options)


def test_what_libsndfile_doesnt_read_goes_through_ffmpeg(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 2), RATE)
    made = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.wav"), str(tmp_path / "a.m4a")]
    subprocess.run(made, check=True)
    dataset = prepare([tmp_path / "a.m4a"], tmp_path / "set", Preparation(RATE, validation="0%"))
    assert pitch(dataset.audio[:RATE]) == pytest.approx(440, abs=2)


def test_a_flac_that_was_streamed_is_prepared_with_all_others(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 2), RATE)
    flac = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-f", "flac", "-"], check=True, capture_output=True
    )
    (tmp_path / "s.flac").write_bytes(flac.stdout)
    assert cli.main(["prepare", str(tmp_path), "-o", str(tmp_path / "set"), "--sample-rate", str(RATE)]) == 0
    assert [s["seconds"] for s in Dataset(tmp_path / "set").about["sources"]] == [2, 2]


def test_what_memory_cards_and_recorders_leave_behind_costs_no_other_recording(tmp_path: Path) -> None:
    """Empty files (macaodha/batdetect2#20, librosa/librosa#129), a Mac's ._ files (complexlogic/rsgain#112), endings in
    capitals (acids-ircam/RAVE#357), clips of some samples (voicepaw/so-vits-svc-fork#145)."""
    (tmp_path / "bat.wav").touch()
    soundfile.write(tmp_path / "zero.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "one.wav", np.full(2, 0.1), 48000)
    (tmp_path / "._A.WAV").write_bytes(b"Mac OS X        " * 8)
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    for name in ("A.WAV", "B.Aiff", "C.FLAC"):
        soundfile.write(tmp_path / name, tone(440, 2), RATE, format=name.split(".")[1].upper())
    dataset = prepare([tmp_path], tmp_path / "set", Preparation(RATE, validation="0%"))
    read = [Path(s["file"]).name for s in dataset.about["sources"] if "left_out" not in s]
    assert set(read) - {"one.wav"} == {"A.WAV", "B.Aiff", "C.FLAC"}
    left = {Path(s["file"]).name: s["left_out"] for s in dataset.about["sources"] if "left_out" in s}
    assert {"bat.wav", "zero.wav"} <= set(left)
    assert left["zero.wav"] == "is empty"


def test_a_data_set_is_checked_when_it_is_opened(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440), RATE)
    folder = prepare([tmp_path], tmp_path / "set", Preparation(RATE)).folder
    os.truncate(folder / "audio.f32", 4000)
    with pytest.raises(SopiError, match="cut short"):
        Dataset(folder)
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**about, "version": 99}))
    with pytest.raises(SopiError, match="another sopilib"):
        Dataset(folder)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(SopiError, match="not a data set"):
        Dataset(folder)
