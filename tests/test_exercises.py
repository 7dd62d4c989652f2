"""The exercises of docs/exercises: each patch is played in real Pd and does what its page says, and the figures of the
solutions come out."""

from __future__ import annotations

import importlib.util
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pd_example import ROOT, Example, at, live_until, sounds

PATCHES = ROOT / "pd" / "exercises"
PAGES = ROOT / "docs" / "exercises"
HEADINGS = ("Steps", "Questions", "What to listen for", "A solution")


def played(number: str, folder: Path) -> Example:
    exercise = Example(number, folder, of=PATCHES)
    if any(" ".join(box.words).startswith("samplernn~") for box in exercise.boxes):
        exercise.print_status()
    return exercise


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("page", sorted(PAGES.glob("[0-9]*.md")), ids=lambda page: page.stem)
def test_the_page_of_an_exercise_says_all_that_a_teacher_needs(page: Path) -> None:
    text = page.read_text()
    number = page.stem[:2]
    for word in ("**Aim.**", "**Time.**", "**You need.**", "**Patch.**"):
        assert word in text, word
    for heading in HEADINGS:
        assert f"\n## {heading}\n" in text, heading
    (patch,) = PATCHES.glob(f"{number}.*.pd")
    assert f"../../pd/exercises/{patch.name}" in text
    assert f"({page.name})" in (PAGES / "README.md").read_text()
    assert f"def test_{number}_" in Path(__file__).read_text()


def test_every_patch_has_its_page_and_sounds_are_small() -> None:
    assert [path.name[:2] for path in sorted(PATCHES.glob("*.pd"))] == [
        path.name[:2] for path in sorted(PAGES.glob("[0-9]*.md"))
    ]
    sizes = [path.stat().st_size for path in PAGES.rglob("*.flac")]
    assert max(sizes, default=0) < 160_000
    assert sum(sizes) < 2_000_000


# ---------------------------------------------------------------- figures


def solutions():  # its folder is no package
    spec = importlib.util.spec_from_file_location("solutions", PAGES / "solutions.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LONG = ("01", "03")


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=[pytest.mark.long] if number in LONG else [])
        for number in re.findall(r"def exercise_(\d\d)", (PAGES / "solutions.py").read_text())
    ],
)
def test_the_figures_of_a_solution_come_out(number: str) -> None:
    (page,) = PAGES.glob(f"{number}-*.md")
    assert "\n".join(solutions().table(number)) in page.read_text()


# ---------------------------------------------------------------- patches


def test_01_hearing_temperature(tmp_path: Path) -> None:
    exercise = played("01", tmp_path)
    exercise.press(300, "1.5")
    exercise.press(900, "1.5")
    exercise.press(1500, "0.6")
    exercise.press(1700, "temperature env [0.6")
    sound, result = exercise.play(1900)
    first, again = sound[at(420) : at(880)], sound[at(1020) : at(1480)]
    assert sounds(first)
    assert np.array_equal(first, again), "each number begins the same music again"
    assert "temperature 0.6 0" in result.printed("status")
    assert any(line.startswith("temperature 1.5 8000") for line in result.printed("status")), result.printed("status")


def left_and_right(exercise: Example, ms: float, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What both of an exercise's models played."""
    other = folder / "other.wav"
    exercise.patch.record(other, exercise.box("samplernn~", 1), ms)
    left, result = exercise.play(ms)
    return left, soundfile.read(other, dtype="float32")[0]


def test_02_the_same_seed(tmp_path: Path) -> None:
    exercise = played("02", tmp_path)
    exercise.press(200, "seed 7")
    exercise.press(700, "seed 8")
    exercise.press(1200, "top-k 1")
    exercise.press(1200, "reset")
    left, right = left_and_right(exercise, 1700, tmp_path)
    assert sounds(left[at(320) : at(700)])
    assert np.array_equal(left[at(320) : at(700)], right[at(320) : at(700)]), "the same seed is the same music"
    assert not np.array_equal(left[at(800) : at(1200)], right[at(800) : at(1200)]), "another seed is other music"
    assert np.array_equal(left[at(1330) :], right[at(1330) :]), "without dice the seed decides nothing"


def test_03_priming(tmp_path: Path) -> None:
    exercise = played("03", tmp_path)
    for nth, ms in ((0, 200), (2, 700), (2, 1200)):
        exercise.press(ms, "seed ../../tests/fixtures/tabla", nth=nth)
    sound, result = exercise.play(1700)
    primed = [line.split()[-1] for line in result.printed("status") if line.startswith("primed")]
    assert primed == ["4", "1000", "1000"]
    assert sounds(sound[at(850) : at(1200)])


def test_04_a_dialogue(tmp_path: Path) -> None:
    exercise = played("04", tmp_path)
    exercise.press(50, "hsl", "500")
    exercise.press(100, "tgl", "1")
    left, right = left_and_right(exercise, 2100, tmp_path)
    for ms in (600, 1600):
        assert not left[at(ms + 100) : at(ms + 500)].any(), "while it hears, it is silent"
        assert right[at(ms + 100) : at(ms + 500)].any(), "and then it answers"
    assert not right[at(1200) : at(1600)].any()
    assert left[at(1200) : at(1600)].any()


def test_05_a_drum_machine(tmp_path: Path) -> None:
    exercise = played("05", tmp_path)
    sound, _ = exercise.play(4300)
    row = [sound[at(250 * k + 140) : at(250 * k + 245)] for k in range(17)]
    beats = [k for k in range(4, 9) if np.array_equal(row[k], row[k + 8])]
    assert beats == [4, 5, 6, 7, 8], "the row comes again, to the sample"
    assert any(not np.array_equal(row[4], row[k]) for k in range(5, 8))
    assert sounds(sound)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_06_a_phone(tmp_path: Path) -> None:
    exercise = played("06", tmp_path)
    exercise.patch.lines[0] = exercise.patch.lines[0].replace(" 9000", f" {free_port()}")
    exercise.press(100, "tgl", "1")
    exercise.press(200, "hradio", "5")
    for ms in range(500, 60_000, 500):
        exercise.press(ms, "hsl", "1")
    live_until(exercise, "status: temperature 2.00")


def test_07_arrays(tmp_path: Path) -> None:
    exercise = played("07", tmp_path)
    exercise.press(100, "bng")
    exercise.press(200, "tgl", "1")
    loud = exercise.patch.chain(exercise.box("*~"), exercise.patch.obj("env~"), exercise.patch.obj("moses 40"))
    exercise.patch.print(loud, 1, "loud")
    live_until(exercise, "loud: ")


def test_08_a_minute_of_your_own(tmp_path: Path) -> None:
    exercise = played("08", tmp_path)
    tone = exercise.patch.chain(exercise.patch.obj("osc~ 440"), exercise.box("writesf~"))
    assert tone
    exercise.press(100, "bng", nth=1)
    exercise.press(600, "bng", nth=2)
    exercise.press(700, "load", "symbol drums")
    sound, result = exercise.play(1500)
    minute, rate = soundfile.read(tmp_path / "my-minute.wav")
    assert rate == 48_000
    assert abs(len(minute) / rate - 0.5) < 0.01
    assert minute.std() > 0.5
    assert any(line.startswith("loaded drums") for line in result.printed("status"))


def test_09_by_ear_blind(tmp_path: Path) -> None:
    exercise = played("09", tmp_path)
    exercise.press(100, "bng", nth=0)
    for key in range(4):
        exercise.press(200 + 400 * key, "hradio", str(key))
        exercise.press(500 + 400 * key, "bng", nth=1)
    _, result = exercise.play(2000)
    revealed = [name.removeprefix("symbol ") for name in result.printed("it-was")]
    assert sorted(revealed) == ["drums", "piano", "tabla", "voice"]
    assert "seed 5" in result.printed("status")


def test_10_what_the_network_sees(tmp_path: Path) -> None:
    exercise = played("10", tmp_path)
    exercise.press(0, "16")
    exercise.press(0, "tgl", "1", nth=0)
    exercise.press(400, "tgl", "1", nth=1)
    exercise.press(400, "hradio", "2")
    coded = tmp_path / "coded.wav"
    exercise.patch.record(coded, exercise.box("rpole~"), 800)
    given, _ = exercise.play(800, "*~")
    made = soundfile.read(coded, dtype="float32")[0]
    assert sounds(given)
    part = slice(at(50), at(400))
    expected = solutions().coded(given[part], "mu-law-centred", 16, [])
    assert np.mean(np.abs(made[part] - expected) < 1e-4) > 0.999, "Pd's levels are the model's"
    emphasised = solutions().coded(given[at(400) :], "mu-law-centred", 16, [0.85])
    assert np.corrcoef(made[at(450) :], emphasised[at(50) :])[0, 1] > 0.95


def test_11_fine_tuning(tmp_path: Path) -> None:
    heard = []
    for message in ("blend 0 ,", "blend 1 ,"):
        exercise = played("11", tmp_path)
        exercise.press(300, message)
        sound, result = exercise.play(900)
        assert any(line.startswith("loaded2 piano") for line in result.printed("status"))
        heard.append(sound[at(500) :])
        assert sounds(sound[at(300) :])
    assert not np.array_equal(heard[0], heard[1])


def test_12_bending(tmp_path: Path) -> None:
    exercise = played("12", tmp_path)
    exercise.press(300, "snapshot store 1")
    exercise.press(900, "snapshot recall 1")
    exercise.press(1500, "snapshot recall 1")
    exercise.press(1500, "kick 0.3")
    exercise.press(1900, "hsl", "4.5")
    exercise.press(2000, "top-k 5")
    sound, result = exercise.play(2200)
    kept, again, shaken = (sound[at(ms + 150) : at(ms + 350)] for ms in (300, 900, 1500))
    assert sounds(kept)
    assert np.allclose(kept, again, atol=1e-4), "it goes on as it did"
    assert not np.allclose(kept, shaken, atol=1e-2)
    assert {"temperature 4.5 50", "top-k 5"} <= set(result.printed("status"))


def test_13_reading_a_bug(tmp_path: Path) -> None:
    exercise = played("13", tmp_path)
    exercise.press(200, "seed ../../tests/fixtures/tabla", nth=0)
    exercise.press(700, "seed ../../tests/fixtures/tabla", nth=1)
    sound, result = exercise.play(1300)
    primed = [line.split()[-1] for line in result.printed("status") if line.startswith("primed")]
    assert primed == ["4", "4000"]
    assert not np.array_equal(sound[at(350) : at(700)], sound[at(850) : at(1200)])


def test_14_a_piece(tmp_path: Path) -> None:
    exercise = played("14", tmp_path)
    exercise.press(100, "bng")
    sound, result = exercise.play(11_500)
    assert sounds(sound)
    told = result.printed("status")
    assert "snapshot store 1" in told
    assert any(line.startswith("score start") for line in told)


@pytest.mark.long
def test_14_the_whole_piece_is_two_minutes_and_its_score_is_written(tmp_path: Path) -> None:
    exercise = played("14", tmp_path)
    exercise.press(100, "bng")
    sound, result = exercise.play(121_500, begin=1000)
    (written,) = result.printed("written")
    (score,) = (tmp_path / "recordings").glob("*.json")
    assert score.name in written
    assert sounds(sound[: at(60_000)])
    assert not sound[at(120_000) :].any(), "it ends"
