"""The page of sounds: opened from a file in Chromium, it plays, sorts, ranks, keeps and compares, and asks nobody."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from chromium import chromium, desk, phone, until
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sopilib import SopiError, cli, listen, sound

RATE = 8000
NAMES = ("low", "high", "soft <b>&amp;", 'a "b" #1?')
COLUMNS = (
    listen.Column("bits", "Bits", "How surprising it is.", 2, "near", 2.0, 1),
    listen.Column("loops", "Loops", "How much repeats.", 0, "less", None, 1),
    listen.Column("step", "Step", "When it was made.", 0),
)
FIGURES: list[dict[str, float]] = [
    {"bits": 1.0, "loops": 5, "step": 1},
    {"bits": 2.1, "loops": 0, "step": 2},
    {"bits": 5.0, "loops": 1},
    {},
]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    with chromium(downloads) as driver:
        yield driver


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[listen.Sound]:
    folder = tmp_path_factory.mktemp("sounds")
    made = []
    for k, name in enumerate(("the recording", *NAMES)):
        file = folder / (f"take {k} #%.wav" if k else "recorded: 1.wav")
        audio = (0.05 + 0.2 * k) * np.sin(2 * np.pi * 200 * (k + 1) * np.arange(12 * RATE) / RATE)
        sound.write_audio(file, [audio[None].astype(np.float32)], RATE)
        figures = FIGURES[k - 1] if k else {}
        wrong = ["<script>alert(1)</script>"] if k == 1 else []
        picture = listen.draw(audio, RATE)
        made.append(listen.Sound(str(k), name, file, picture, f"seed {k}", figures, wrong, recorded=k == 0))
    return made


@pytest.fixture
def page(browser: webdriver.Chrome, sounds: list[listen.Sound]) -> Page:
    path = sounds[0].file.parent / "takes.html"
    listen.page(path, "Takes </script> of x", sounds, COLUMNS, "A line", "sopi generate --keep KEEP -o x")
    return Page(browser, path)


class Page:
    """The page in the browser, as one sees it."""

    def __init__(self, browser: webdriver.Chrome, path: Path) -> None:
        self.browser, self.path = browser, path
        browser.get(path.as_uri())
        self.run("localStorage.clear()")
        browser.refresh()

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def one(self, css: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, css)

    def rows(self) -> list[str]:
        return [
            r.get_attribute("data-key") or ""
            for r in self.browser.find_elements(By.CSS_SELECTOR, "tbody tr:not([hidden])")
        ]

    def row(self, key: str, css: str) -> Any:
        return self.one(f'tr[data-key="{key}"] {css}')

    def figure(self, key: str, column: str) -> str:
        return str(self.row(key, f'td[data-key="{column}"]').text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def at(self, key: str) -> float:
        """How far its player is, in seconds."""
        return float(self.row(key, ".look > div").get_attribute("aria-valuenow"))

    def plays(self, key: str) -> bool:
        return "Pause" in str(self.row(key, "td.play button").get_attribute("aria-label"))

    def waits(self, true: Any, what: str) -> None:
        until(self.browser, true, what)


def test_the_page_shows_each_sound_with_picture_level_and_figures_and_asks_nobody(page: Page) -> None:
    assert page.one("h1").text == page.browser.title == "Takes </script> of x"
    assert page.row("3", "b").text == "soft <b>&amp;"
    assert page.row("1", ".wrong").text == "<script>alert(1)</script>"
    assert page.figure("2", "bits") == "2.10" and page.figure("4", "bits") == ""
    for key in ("0", "1"):
        image = page.row(key, "img")
        page.waits(lambda image=image: page.run("return arguments[0].naturalWidth", image) > 100, "a spectrogram")
        assert page.row(key, "path").get_attribute("d").count("L") > 100
    links = page.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert not [link for link in links if not link.startswith(("data:", "file:"))]
    assert not page.browser.get_log("browser")


def test_a_sound_is_played_by_mouse_and_by_keys_and_one_at_a_time(page: Page) -> None:
    page.row("1", "td.play button").click()
    page.waits(lambda: page.plays("1") and page.at("1") > 0.1, "the first plays")
    page.row("4", "td.play button").click()
    page.waits(lambda: page.plays("4") and not page.plays("1"), "the last plays alone")
    page.row("4", "b").click()
    page.press(" ")
    page.waits(lambda: not page.plays("4"), "it pauses")
    page.run("arguments[0].focus()", page.one("tbody tr"))
    assert page.rows()[0] == "0", "the recording is on top"
    page.press(Keys.ARROW_DOWN, Keys.ARROW_UP, " ")
    page.waits(lambda: page.plays("0"), "the recording plays")
    page.press(Keys.ARROW_RIGHT)
    page.waits(lambda: page.at("0") >= 5, "5 seconds further")
    page.press(Keys.ARROW_LEFT, " ")
    page.waits(lambda: not page.plays("0"), "it pauses")
    webdriver.ActionChains(page.browser).move_to_element(page.row("2", ".look > div")).click().perform()
    page.waits(lambda: abs(page.at("2") - 6) < 0.2, "a click in the middle of the picture is the middle of the sound")


def test_a_sound_that_is_not_beside_the_page_is_named(page: Page, sounds: list[listen.Sound]) -> None:
    file = sounds[2].file
    file.rename(file.with_suffix(".gone"))
    try:
        page.row("2", "td.play button").click()
        page.waits(lambda: f"is ./{file.name} still beside this page?" in page.row("2", ".wrong").text, "what is wrong")
    finally:
        file.with_suffix(".gone").rename(file)


def test_a_page_in_a_folder_whose_name_is_no_utf8_names_what_is_missing_and_what_to_type(
    browser: webdriver.Chrome, sounds: list[listen.Sound], tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"d\xe9j\xe0 it's")
    folder.mkdir()
    gone = dataclasses.replace(sounds[1], file=folder / os.fsdecode(b"gone \xe9.wav"))
    listen.page(folder / "takes.html", "Takes", [gone], command="sopi generate --keep FOLDER KEEP")
    browser.get("file://" + quote(os.fsencode(folder / "takes.html")))
    row = browser.find_element(By.CSS_SELECTOR, "#sounds tr")
    row.find_element(By.CSS_SELECTOR, "td.play button").click()
    until(browser, lambda: "is ./gone \ufffd.wav still beside" in row.text, "the name of the sound")
    row.find_element(By.CSS_SELECTOR, "td.keep input").click()
    typed = browser.find_element(By.ID, "command").get_attribute("value")
    named = subprocess.run(["bash", "-c", f'sopi() {{ printf %s "$3"; }}; {typed}'], capture_output=True, check=True)
    assert named.stdout == os.fsencode(folder)


def test_the_ranking_can_be_changed_and_is_remembered(page: Page) -> None:
    assert page.rows() == ["0", "2", "1", "3", "4"], "nearest to 2 bits and without loops first, without figures last"
    assert (page.figure("2", "rank"), page.figure("4", "rank"), page.figure("0", "rank")) == ("100", "25", "")
    page.run("document.getElementById('ranking').open = true")
    for css, value in (("select", "more"), ("input[type=range]", "5")):
        changed = page.one(f'#weights [data-key="bits"] {css}')
        page.run("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", changed, value)
    assert page.rows() == ["0", "3", "2", "1", "4"], "more bits are better now"
    page.browser.refresh()
    assert page.rows() == ["0", "3", "2", "1", "4"]
    page.run("document.getElementById('usual').click()")
    assert page.rows() == ["0", "2", "1", "3", "4"]


def test_a_click_on_a_heading_sorts_and_a_second_one_the_other_way(page: Page) -> None:
    head = page.one('th[data-key="step"] button')
    head.click()
    assert page.rows() == ["0", "2", "1", "3", "4"]
    assert page.one('th[data-key="step"]').get_attribute("aria-sort") == "descending"
    head.click()
    assert page.rows() == ["0", "1", "2", "3", "4"], "what has no figure stays last"


def test_keepers_are_marked_by_key_remembered_and_listed(page: Page, downloads: Path) -> None:
    assert page.one("#kept").text == "0 of 4 kept"
    page.row("4", "td.keep input").click()
    page.row("1", "b").click()
    page.press("k")
    assert page.one("#kept").text == "2 of 4 kept"
    page.browser.refresh()
    assert page.one("#command").get_attribute("value") == "sopi generate --keep 1 4 -o x"
    page.one("#only").click()
    assert page.rows() == ["0", "1", "4"]
    page.one("#export").click()
    saved = downloads / "keepers.txt"
    page.waits(saved.exists, "the list is saved")
    assert saved.read_text().split() == ["1", "4"]


def test_two_sounds_are_compared_blind_and_equally_loud(page: Page) -> None:
    page.row("1", "b").click()
    page.press("b")
    dialog = page.one("dialog")
    assert dialog.is_displayed()
    assert not [name for name in ("the recording", *NAMES) if name in dialog.text]
    page.press("1")
    page.waits(lambda: page.run("return playing(pair[0])"), "A plays")
    page.press("2")
    page.waits(lambda: page.run("return playing(pair[1]) && !playing(pair[0])"), "B plays alone")
    volumes, levels = page.run("return [pair.map((s) => s.player.volume), pair.map((s) => s.rms_db)]")
    heard = [20 * np.log10(v) + db for v, db in zip(volumes, levels)]
    assert heard[0] == pytest.approx(heard[1], abs=0.1)
    page.press("b")
    names = page.run("return pair.map((s) => s.name)")
    assert all(name in dialog.text for name in names) and f"You chose {names[1]}." in dialog.text
    keys = page.run("return pair.map((s) => s.key)")
    page.press("a", Keys.ESCAPE)  # it has been said already
    assert [page.figure(key, "preferred") for key in keys] == ["0", "100"]
    page.waits(lambda: not page.run("return sounds.some(playing)"), "all is quiet when it is left")


def test_on_a_phone_nothing_is_wider_than_the_screen(page: Page) -> None:
    phone(page.browser)
    try:
        page.browser.refresh()
        wide, screen = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= screen == 390
        assert page.row("1", ".look > div").size["width"] > 300
    finally:
        desk(page.browser)


def test_sounds_can_lie_in_the_page_which_then_is_whole_alone(
    browser: webdriver.Chrome, sounds: list[listen.Sound], tmp_path: Path
) -> None:
    listen.page(tmp_path / "alone.html", "Alone", sounds[:2], embed=True)
    page = Page(browser, tmp_path / "alone.html")
    assert not page.one("#kept").is_displayed(), "a page that is only for listening"
    page.row("1", "td.play button").click()
    page.waits(lambda: page.at("1") > 0.1, "it plays")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone.html"]


def test_the_same_sounds_give_the_same_page_and_faults_are_one_sentence(
    sounds: list[listen.Sound], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        listen.page(tmp_path / name, "x", sounds, COLUMNS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(SopiError, match=r"no/x.html: could not be written"):
        listen.page(tmp_path / "no" / "x.html", "x", sounds)
    (tmp_path / "x.wav").write_bytes(b"no sound")
    broken = listen.Sound("1", "x", tmp_path / "x.wav", sounds[0].picture)
    with pytest.raises(SopiError, match=r"x.wav: not a readable sound file"):
        listen.page(tmp_path / "x.html", "x", [broken], embed=True)


def test_a_picture_has_time_pitch_and_level_where_they_belong() -> None:
    quiet_then_high = np.concatenate([np.zeros(RATE), np.sin(2 * np.pi * 3500 * np.arange(RATE) / RATE)])
    picture = listen.draw(quiet_then_high.astype(np.float32), RATE)
    assert picture.seconds == 2
    assert picture.levels[0] == -80 and picture.levels[-1] == -3
    assert picture.png.startswith(b"\x89PNG")
    assert listen.draw(np.zeros(1, np.float32), RATE).levels == [-80]
    found = re.search(rb"IHDR(....)(....)", picture.png, re.S)
    assert found and int.from_bytes(found[2], "big") == 88


def test_a_training_has_a_page_with_the_previews_of_all_steps_beside_the_recordings(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    audio = 0.5 * np.sin(0.2 * np.arange(24 * RATE)) * np.linspace(0, 1, 24 * RATE)
    sound.write_audio(tmp_path / "a.wav", [audio[None].astype(np.float32)], RATE)
    small = "--dim 8 --mlp-dim 8 --emb-size 4 --batch 2 --threads 1 --every 1 --preview-every 1 --preview-seconds 0.3"
    command = [
        "train",
        str(tmp_path / "a.wav"),
        "-o",
        str(tmp_path / "run"),
        "--sample-rate",
        str(RATE),
        *small.split(),
    ]
    assert cli.main([*command, "--steps", "2"]) == 0
    assert cli.main([*command, "--steps", "3"]) == 0
    page = Page(browser, tmp_path / "run" / "listen.html")
    keys = [f"step{step:07}_t{t}" for step in (3, 2, 1) for t in ("0.9", "1")]
    assert page.rows()[0] == "recorded" and sorted(page.rows()[1:]) == sorted(keys)
    assert page.rows()[1][:11] == keys[0][:11]  # the newest first
    assert page.figure(keys[0], "temperature") == "0.90"
    assert float(page.figure(keys[0], "bits")) > 0
    assert page.run("return sounds.find((s) => s.recorded).seconds") == pytest.approx(2.4, abs=0.1)
    for key in ("recorded", keys[-1]):
        page.row(key, "b").click()
        page.press(" ")
        page.waits(lambda key=key: page.at(key) > 0, "it plays")
    page.press("b")
    assert page.one("dialog").is_displayed()
