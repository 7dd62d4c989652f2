"""Choosing among takes: what is heard of them, the page that ranks them, and what becomes of those that aren't kept."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from chromium import chromium, until
from selenium.webdriver.common.by import By

from sopilib import Config, Model, checkpoint
from sopilib.cli import main
from sopilib.score.choosing import character

RATE = 8000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four takes of a second, with their page; none is to be changed there."""
    folder = tmp_path_factory.mktemp("choosing of 'mine'")
    model = Model.random(Config(frame_sizes=[4, 16], dim=16, mlp_dim=16, sample_rate=RATE))
    model.about["training"] = {"held_out_bits": {"f32": 7.9}}
    checkpoint.save(model, folder / "small.safetensors")
    soundfile.write(folder / "real.wav", noise(2), RATE)
    made = ["--takes", "4", "--seconds", "1", "--temperature", "1", "0.01", "1", "1", "-o", str(folder / "takes")]
    assert main(["generate", str(folder / "small.safetensors"), *made, "--like", str(folder / "real.wav")]) == 0
    return folder


@pytest.fixture
def takes(folder: Path, tmp_path: Path) -> Path:
    """A copy of them that may be changed."""
    for path in (folder / "takes").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def shown(page: Path) -> dict[str, Any]:
    """What a page says of each sound, by its key."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    assert found
    return {sound["key"]: sound for sound in json.loads(found[1])["sounds"]}


def numbers(folder: Path) -> list[int]:
    return [take["number"] for take in json.loads((folder / "takes.json").read_text())["takes"]]


def files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.wav"))}


# ---------------------------------------------------------------- what is heard


def test_a_sound_that_repeats_itself_is_a_loop_and_one_that_goes_on_is_none() -> None:
    pitches, fall = np.random.default_rng(1).uniform(80, 2000, 48), 0.3 * np.exp(-np.arange(RATE // 4) / 900)
    notes = np.concatenate([np.sin(2 * np.pi * hz / RATE * np.arange(RATE // 4)) * fall for hz in pitches])
    assert character(notes, RATE).loops < 0.2, "a steady beat is no loop"
    assert character(noise(12), RATE).loops < 0.05, "noise is no loop"
    assert character(np.tile(notes[: 2 * RATE], 6), RATE).loops > 0.65
    halfway = np.concatenate([notes[: 6 * RATE], np.tile(notes[: RATE // 2], 12)])
    assert 0.3 < character(halfway, RATE).loops < 0.7
    assert character(np.sin(np.arange(6 * RATE) * 0.3), RATE).loops > 0.9, "a tone that stands still"


def test_variety_distance_silence_and_clipping_are_heard() -> None:
    same = character(noise(8), RATE)
    changing = character(np.concatenate([noise(4), np.sin(np.arange(4 * RATE) * 0.3)]), RATE)
    assert changing.variety_db > same.variety_db + 3
    assert same.distance(same) == 0
    assert same.distance(character(noise(8, 1), RATE)) < 1 < changing.distance(same)
    gap = character(np.concatenate([noise(1), np.zeros(2 * RATE), noise(1)]), RATE)
    assert gap.silence == pytest.approx(2, abs=0.05)
    assert same.clipped == 0
    assert character(np.clip(20 * noise(1), -1, 1), RATE).clipped > 0.3
    assert character(np.zeros(1), RATE).variety_db == 0, "a single sample"


# ---------------------------------------------------------------- the page


def test_takes_come_with_a_page_that_has_their_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(folder / "takes" / "takes.html")
    assert list(page) == ["1", "2", "3", "4", "recording 1"]
    assert page["1"]["link"] == "./take-001.wav" and page["1"]["about"] == "temperature 1.0, seed 0"
    first, second = page["1"]["figures"], page["2"]["figures"]
    assert set(first) == {"bits", "distance", "variety", "apart", "silence", "loops", "clipped"}
    assert first["bits"] > second["bits"] + 0.5, "at so low a temperature it draws the likeliest"
    assert first["distance"] < second["distance"], "noise is more like noise"
    assert first["apart"] > 0


def test_the_page_is_the_same_wherever_the_takes_lie_and_is_made_when_it_is_missing(
    folder: Path, takes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (takes / "takes.html").read_bytes()
    line = ["generate", str(folder / "small.safetensors"), "--takes", "4", "--seconds", "1", "-o", str(takes)]
    line += ["--temperature", "1", "0.01", "1", "1"]
    before = (takes / "takes.html").stat().st_mtime_ns
    assert main(line) == 0
    assert (takes / "takes.html").stat().st_mtime_ns == before, "nothing was made"
    assert main([*line, "--like", str(folder / "real.wav")]) == 0
    assert re.sub(rb'"link":"[^"]*real.wav"', b"", (takes / "takes.html").read_bytes()) == re.sub(
        rb'"link":"[^"]*real.wav"', b"", page
    )
    (takes / "takes.html").unlink()
    assert main([*line, "--no-page"]) == 0
    assert not (takes / "takes.html").exists()
    assert main(line) == 0
    assert "With --like RECORDING" in (takes / "takes.html").read_text()
    assert '"key":"distance"' not in (takes / "takes.html").read_text()


def test_a_file_of_that_name_that_is_no_page_of_ours_is_not_replaced(
    folder: Path, takes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (takes / "takes.html").write_text("<p>mine</p>")
    line = ["generate", str(folder / "small.safetensors"), "--seconds", "1", "-o", str(takes)]
    line += ["--temperature", "1", "0.01", "1", "1"]
    for more in (["--takes", "5"], ["--takes", "5", "--page"]):
        assert main([*line, *more]) == 1
        assert "takes.html: there is something of that name that is no page of takes" in capsys.readouterr().err
    assert (takes / "takes.html").read_text() == "<p>mine</p>"


def test_takes_are_heard_in_a_browser_and_the_line_that_keeps_them_can_be_pasted(
    folder: Path, takes: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    with chromium(tmp_path_factory.mktemp("downloads")) as browser:
        browser.get((folder / "takes" / "takes.html").as_uri())
        rows = browser.find_elements(By.CSS_SELECTOR, "tbody tr")
        order = [row.get_attribute("data-key") for row in rows]
        assert order[0] == "recording 1" and set(order[1:]) == {"1", "2", "3", "4"}
        assert {order[1], order[2]} < {"1", "3", "4"}, "the dull one is not among the best"
        rows[1].find_element(By.CSS_SELECTOR, "td.play button").click()
        place = rows[1].find_element(By.CSS_SELECTOR, ".look > div")
        until(browser, lambda: float(place.get_attribute("aria-valuenow") or 0) > 0, "a take plays")
        for key in ("4", "2"):
            browser.find_element(By.CSS_SELECTOR, f'tr[data-key="{key}"] td.keep input').click()
        line = browser.find_element(By.CSS_SELECTOR, "#command").get_attribute("value")
        assert not browser.get_log("browser")
    assert shlex.split(line or "") == ["sopi", "generate", "--keep", "2", "4", "-o", str(folder / "takes")]


# ---------------------------------------------------------------- keeping


def test_those_that_are_not_kept_are_moved_with_their_description(
    folder: Path, takes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(takes)
    assert main(["generate", "--keep", "2-3", "-o", str(takes)]) == 0
    assert f"2 kept, 2 moved to {takes / 'not kept'}" in capsys.readouterr().out
    away = takes / "not kept"
    assert (numbers(takes), numbers(away)) == ([2, 3], [1, 4])
    assert {**files(takes), **files(away)} == before
    assert list(shown(takes / "takes.html")) == ["2", "3", "recording 1"]
    (takes / "keepers.txt").write_text("3\n")
    assert main(["generate", "--keep", str(takes / "keepers.txt"), "-o", str(takes)]) == 0
    assert (numbers(takes), numbers(away)) == ([3], [1, 2, 4])
    again = [str(folder / "small.safetensors"), "--again", str(away / "takes.json"), "2", "-o", str(takes / "2.wav")]
    assert main(["generate", *again]) == 0
    assert files(takes)["2.wav"] == before["take-002.wav"], "it can still be made again"


def test_they_are_deleted_only_if_that_is_said(takes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--keep", "1,4", "--delete", "-o", str(takes)]) == 0
    assert list(files(takes)) == ["take-001.wav", "take-004.wav"]
    assert not (takes / "not kept").exists()


def test_keeping_that_was_broken_off_is_done_again(takes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (takes / "takes.json").read_bytes()
    assert main(["generate", "--keep", "4", "-o", str(takes)]) == 0
    (takes / "not kept" / "take-002.wav").rename(takes / "take-002.wav")  # as if it had not been its turn yet
    (takes / "takes.json").write_bytes(whole)
    assert main(["generate", "--keep", "4", "-o", str(takes)]) == 0
    assert (numbers(takes), numbers(takes / "not kept")) == ([4], [1, 2, 3])
    assert list(files(takes / "not kept")) == ["take-001.wav", "take-002.wav", "take-003.wav"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["7"], "there is no take 7, expected one from 1 to 4"),
        (["best"], "--keep: 'best' is no number of a take, expected such as 3 17 20-24, or a file with such a list"),
        (["1-"], "--keep: '1-' is no number of a take"),
        ([","], "--keep: no take is named"),
        (["1-99999999"], "--keep: '1-99999999' are 99999999 takes"),
    ],
)
def test_a_wrong_list_is_said_in_one_sentence_and_nothing_is_moved(
    words: list[str], said: str, takes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(takes)
    assert main(["generate", "--keep", *words, "-o", str(takes)]) == 1
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert files(takes) == before and numbers(takes) == [1, 2, 3, 4]


def test_takes_that_are_not_all_made_are_not_chosen_from(takes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (takes / ".takes").mkdir()
    assert main(["generate", "--keep", "1", "-o", str(takes)]) == 1
    assert "takes are still to be made" in capsys.readouterr().err
    assert main(["generate", "--keep", "1", "-o", str(takes / "nowhere")]) == 1
    assert "expected a takes.json as sopi generate writes it" in capsys.readouterr().err
