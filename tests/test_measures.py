"""Density bits compare models of different codings, and each measure of what a model makes knows its known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sopilib
from sopilib import Config, Engine, Model, cli
from sopilib.model import Stillness
from sopilib.model.quantise import QUANTISERS, Quantiser
from sopilib.score import failures, likelihood, longest_still, stillness
from sopilib.score.imitation import takes
from sopilib.score.measures import all_figures, floors_and_levels, impulses, pieces, together, wandering
from sopilib.score.patches import repetition, told_apart
from sopilib.score.rhythm import groove, onsets

RATE = 16000
CHANCE = np.random.default_rng(0)


# ---------------------------------------------------------------- density bits


@pytest.mark.parametrize("q_type", QUANTISERS)
def test_the_cells_of_all_codes_are_the_whole_range(q_type: str) -> None:
    quantiser = Quantiser(q_type, 256, -1 / 200, -128)
    cells = quantiser.cells()
    assert cells.sum() == pytest.approx(2)
    x = np.linspace(-1, 1, 400_001)
    counted = np.bincount(quantiser.encode(x), minlength=256) / len(x) * 2
    np.testing.assert_allclose(cells, counted, atol=2e-5)


@pytest.mark.parametrize(("levels", "level", "want"), [(64, 1.0, 1.0), (256, 1.0, 1.0), (64, 0.25, -1.0)])
def test_density_bits_know_neither_how_fine_nor_how_loud_a_coding_is(levels: int, level: float, want: float) -> None:
    """A model that knows nothing but the range says that all of it is as likely: one bit over [-1, 1]."""
    config = Config(frame_sizes=[2, 4], dim=8, q_levels=levels, q_type="linear", level=level)
    model = Model.random(config)
    flat = Model(config, {k: np.zeros_like(w) for k, w in model.weights.items()})
    scored = likelihood(Engine(flat), model.encode(level * CHANCE.uniform(-0.9, 0.9, 4000)))
    assert scored.bits == pytest.approx(np.log2(levels))
    assert scored.density_bits == pytest.approx(want, abs=0.05)  # linear has a code more on one side


# ---------------------------------------------------------------- stillness


def strokes(seconds: float, a_second: float = 8) -> np.ndarray:
    """Noise that begins so often, and dies away."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * CHANCE.standard_normal(len(t)) * np.exp(-30 * (t % (1 / a_second)))).astype(np.float32)


def held(seconds: float) -> np.ndarray:
    """A chord that is held."""
    t = np.arange(round(seconds * RATE)) / RATE
    return np.sum([0.1 * np.sin(2 * np.pi * hz * t) for hz in (220, 277, 330)], axis=0).astype(np.float32)


def test_what_is_held_is_still_and_what_beats_or_is_silent_is_not() -> None:
    sound = np.concatenate([strokes(4), held(5), strokes(4), held(3), np.zeros(6 * RATE, np.float32)])
    assert longest_still(sound, RATE, 3.0) == pytest.approx(5, abs=0.2)
    assert longest_still(strokes(6), RATE, 3.0) == 0
    assert longest_still(held(1.9), RATE, 3.0) == 0
    recordings = Stillness(3.0, 2.5)
    drone = sound[4 * RATE : 9 * RATE]
    assert failures(drone, RATE, still=recordings) == ["a drone"], "as the guard calls it"
    assert failures(drone, RATE) == []
    assert failures(np.tile(np.concatenate([held(0.3), strokes(0.3)]), 10), RATE, still=recordings) == []


def test_the_recordings_say_how_still_they_ever_are() -> None:
    found = stillness([strokes(60), np.concatenate([strokes(30), held(3), strokes(10)])], RATE)
    assert found is not None
    assert 2 <= found.longest <= 3.2
    assert 0 < found.below <= 6
    assert stillness([held(1)], RATE) is None
    assert stillness([np.zeros(10 * RATE, np.float32)], RATE) is None


def test_an_older_models_file_is_told_how_still_its_recordings_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.safetensors"
    sopilib.checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16)), path, "int8")
    (tmp_path / "takes").mkdir()
    soundfile.write(tmp_path / "takes" / "a.wav", np.concatenate([strokes(8), held(3)]), RATE)
    before, old = sopilib.load(path), path.read_bytes()
    assert before.stillness is None
    assert cli.main(["score", str(path), str(tmp_path / "takes"), "--write-stillness"]) == 0
    assert "its recordings move by less than" in capsys.readouterr().out
    after, new = sopilib.load(path), path.read_bytes()
    assert after.stillness is not None
    assert after.stillness.longest >= 2
    assert new[8 + int.from_bytes(new[:8], "little") :] == old[8 + int.from_bytes(old[:8], "little") :]
    assert int.from_bytes(new[:8], "little") % 8 == 0
    assert after.about == {**before.about, "stillness": after.stillness._asdict()}
    soundfile.write(tmp_path / "short.wav", held(1), RATE)
    assert cli.main(["score", str(path), str(tmp_path / "short.wav"), "--write-stillness"]) == 1
    assert "shorter than two seconds" in capsys.readouterr().err
    assert path.read_bytes() == new


@pytest.mark.parametrize("said", [3, {}, {"below": "x", "longest": 1}, {"below": 0, "longest": 1}, {"below": 2}])
def test_a_file_whose_stillness_is_none_is_as_one_that_says_nothing(said: object) -> None:
    assert Model.random(Config(frame_sizes=[4], dim=8)).stillness is None
    model = Model.random(Config(frame_sizes=[4], dim=8))
    model.about = json.loads(json.dumps({"stillness": said}))
    assert model.stillness is None


def test_every_model_that_comes_along_says_how_still_its_recordings_are() -> None:
    for name in ("drums", "piano", "tabla", "voice"):
        assert sopilib.load(name).stillness is not None, name


# ---------------------------------------------------------------- what a sound is like


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_levels_and_floors_of_octaves_are_those_of_known_noise_at_any_rate(rate: int) -> None:
    """White noise has its level by the share of the spectrum, and a floor 6.5 dB below it, in each bin."""
    found = floors_and_levels(0.1 * CHANCE.standard_normal(10 * rate), rate)
    for low in (62, 125, 250, 500, 1000, 2000, 4000):
        width = low if low > 62 else 62.5
        assert found[f"band_{low}"] == pytest.approx(-20 + 10 * np.log10(width / (rate / 2)), abs=0.7), low
    for low in (1000, 2000, 4000):
        assert found[f"floor_{low}"] == pytest.approx(-20 + 10 * np.log10(-np.log(0.8)), abs=0.6), low
    t = np.arange(2 * rate) / rate
    tone = floors_and_levels(0.5 * np.sin(2 * np.pi * 3000 * t) + 1e-4 * CHANCE.standard_normal(len(t)), rate)
    assert tone["band_2000"] == pytest.approx(-9.03, abs=0.1)
    assert tone["floor_2000"] == pytest.approx(-86.5, abs=2), "what a tone stands in, not the tone"


def test_the_level_of_ten_seconds_shows_how_a_sound_wanders() -> None:
    sound = CHANCE.standard_normal(60 * RATE) * np.repeat([0.1, 0.01], 30 * RATE)
    found = wandering(sound, RATE)
    assert found["level_5"] == pytest.approx(-40, abs=0.5)
    assert found["level_95"] == pytest.approx(-20, abs=0.5)
    assert wandering(sound[:RATE], RATE)["level_50"] == pytest.approx(-20, abs=0.2)


@pytest.mark.parametrize("a_second", [2, 4, 8])
def test_onsets_are_counted(a_second: int) -> None:
    assert onsets(strokes(10, a_second), RATE) == pytest.approx(a_second, abs=0.2)
    assert onsets(0.1 * CHANCE.standard_normal(10 * RATE), RATE) < 0.2
    assert onsets(held(10), RATE) < 0.3
    assert onsets(held(0.05), RATE) == 0


def test_a_groove_comes_again_at_its_beat_and_at_no_other() -> None:
    beat = np.concatenate([strokes(0.25, 4), strokes(0.125, 8), strokes(0.125, 8), np.zeros(RATE // 10, np.float32)])
    sound = np.tile(beat, 20)
    again = groove(sound, RATE, len(beat) / RATE)
    assert again is not None and again > 0.85
    another = groove(sound, RATE, 0.43)
    assert another is not None and another < 0.6
    assert groove(beat, RATE, len(beat) / RATE) is None, "one beat is no groove"


def test_a_loop_repeats_itself_and_music_that_goes_on_does_not() -> None:
    assert repetition(np.tile(strokes(4, 3), 4), RATE) == pytest.approx(0, abs=0.2)
    goes_on = repetition(np.concatenate([strokes(1, n) for n in range(1, 17)]), RATE)
    assert goes_on is not None and goes_on > 4
    assert repetition(held(2), RATE) is None


def test_impulses_are_counted_and_strokes_are_none() -> None:
    sound = held(6)
    sound[[9000, 30_000, 70_001]] += 0.3
    assert impulses(sound, RATE) == pytest.approx(30)
    assert impulses(strokes(6), RATE) == 0
    assert impulses(held(6), RATE) == 0


def test_a_classifier_tells_kinds_apart_and_is_at_a_loss_before_one_kind() -> None:
    real = [strokes(20, 5) for _ in range(4)]
    alike = told_apart([strokes(20, 5) for _ in range(4)], real, RATE)
    assert alike is not None and 0.35 < alike < 0.65
    other = told_apart([strokes(20, 7)], real, RATE)
    assert other is not None and other > 0.95
    assert told_apart([held(2)], real, RATE) is None


def test_takes_are_put_together_by_mean_spread_and_the_longest_trouble() -> None:
    found = together([{"tones": 1.0, "longest_still": 2.0, "groove": 0.5}, {"tones": 3.0, "longest_still": 9.0}])
    assert found.mean == {"tones": 2, "longest_still": 9, "groove": 0.5}
    assert found.spread["tones"] == pytest.approx(2**0.5)
    assert found.count == 2
    assert [len(p) for p in pieces([np.zeros(25), np.zeros(4), np.zeros(14)], 10)] == [10, 10, 5, 10]
    assert [len(p) for p in pieces([np.zeros(4), np.zeros(3)], 10)] == [4]


def test_a_take_of_a_seed_is_the_same_alone_and_among_others() -> None:
    model, shares = Model.random(Config(frame_sizes=[4, 16], dim=16)), list[float]()
    both = takes(model, 1.5, [7, 3], {"temperature": 0.9}, shares.append)
    (alone,) = takes(model, 1.5, [3], {"temperature": 0.9})
    np.testing.assert_array_equal(both[1], alone)
    assert len(alone) == 1.5 * RATE and not np.array_equal(both[0], alone)
    assert shares == [pytest.approx(2 / 3), 1]


# ---------------------------------------------------------------- sopi score --generated


@pytest.fixture
def played(tmp_path: Path) -> Path:
    """A model that says how it is played and what it was trained on, and its recordings in a folder."""
    model = Model.random(Config(frame_sizes=[4, 16], dim=16))
    files = [{"file": f"{name}.wav", "sha256": ""} for name in "ab"]
    model.about = {"play": {"temperature": 0.8, "rest": 1.0}, "training": {"held_out_seconds": 6, "files": files}}
    sopilib.checkpoint.save(model, tmp_path / "mine.safetensors")
    (tmp_path / "takes").mkdir()
    end = np.concatenate([held(2.1), np.zeros(round(0.4 * RATE), np.float32)])
    soundfile.write(tmp_path / "takes" / "a.wav", np.concatenate([strokes(12, 4), end]), RATE)
    soundfile.write(tmp_path / "takes" / "b.wav", strokes(16, 4), RATE)
    return tmp_path / "mine.safetensors"


def test_score_says_of_a_folder_how_each_file_is_predicted(played: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = played.parent / "takes"
    assert cli.main(["score", str(played), str(folder), "--to", "1", "--precision", "int8"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{folder / 'a.wav'} (int8): ") and second.startswith(f"{folder / 'b.wav'} (int8): ")
    assert " bits per sample, " in first and " density bits, " in first


def test_a_table_says_what_a_model_makes_beside_what_its_recordings_have(
    played: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "score",
        str(played),
        str(played.parent / "takes"),
        "--generated",
        "--seconds",
        "6",
        "--beat",
        "120",
        "100",
    ]
    assert cli.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["scores"]
    assert row["sound"] == "temperature 0.8, rest 1"
    assert (row["takes"], found["seconds"], found["recorded_seconds"]) == (2, 6, 24.5)
    keys = {figure.key for figure in all_figures(RATE)}
    assert keys <= row.keys() and keys - {"told_apart"} <= found["recordings"].keys()
    assert {"level_db", "tones_db", "silence", "failures"} <= row.keys(), "as before"
    assert row["spread"]["rms_db"] > 0
    assert found["recordings"]["onsets"] == pytest.approx(4, abs=0.4)
    assert found["recordings"]["longest_silence"] == pytest.approx(0.4, abs=0.05), "also where no whole piece is left"
    assert found["recordings"]["longest_still"] >= 2
    assert found["recordings"]["groove"] > 0.7
    assert found["held_out"]["pieces"] == 1 and found["coded"]["pieces"] == 4
    assert row["told_apart"] > 0.9
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    for figure in all_figures(RATE):
        assert f"\n{figure.title}" in said, figure
    assert "recordings" in said and "held out" in said and "good is" in said


def test_a_run_knows_its_own_recordings_and_other_models_say_what_they_need(
    played: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["score", str(played), "--generated"]) == 1
    assert "expected some to be named" in capsys.readouterr().err
    run = played.parent / "run"
    run.mkdir()
    played.rename(run / "run.safetensors")
    assert cli.main(["prepare", str(played.parent / "takes"), "-o", str(run / "dataset"), "--validation", "5s"]) == 0
    (run / "run.json").write_text(json.dumps({"dataset": str(run / "dataset")}))
    capsys.readouterr()
    assert cli.main(["score", str(run), "--generated", "--seconds", "2", "--seeds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recorded_seconds"] == pytest.approx(25.5, abs=0.1)
    assert found["held_out"]["pieces"] >= 2


@pytest.mark.parametrize("option", ["--seconds 0", "--seconds nan", "--seeds 0", "--beat 120 0", "--held-out -1"])
def test_an_option_that_makes_no_sense_is_one_sentence(
    option: str, played: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["score", str(played), str(played.parent / "takes"), "--generated", *option.split()]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{option.split()[0]} is {option.split()[-1]}, expected " in said
