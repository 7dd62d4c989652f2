"""samplernn.pd with its window: the mouse reaches everything, what is saved comes back, our own file is left alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import soundfile
from osc_client import free_port
from pd_host import ROOT, Result
from window import PATIENCE, TABS, Window, opened

from sopilib.cli.play import virtual_screen
from sopilib.pd_folder import own_instrument

pytestmark = pytest.mark.usefixtures("pd_models")

MODELS = ("007", "alto", "bass", "cello", "drone", "flute", "gong", "harp", "organ", "tabla")
"""More than the list of the window has rows, and one that Pd takes for a number."""


@pytest.fixture
def home(tmp_path: Path, pd_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, and models."""
    for name in MODELS:
        (tmp_path / "models" / name).mkdir(parents=True)
        shutil.copy(pd_models / "small" / "small.safetensors", tmp_path / "models" / name / f"{name}.safetensors")
    monkeypatch.setenv("SOPI_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def saved(patch: Path) -> list[str]:
    """What is kept in a patch, line by line."""
    text = re.search(r"#A saved (.*?)(?<!\\); ", patch.read_text().replace("\n", " "))
    assert text
    return sorted(line.strip() for line in text[1].split("\\;") if line.strip())


def save(window: Window, folder: Path, name: str) -> Path:
    """Saves the instrument, as Save as does, which gives it this name."""
    path = folder / name
    path.unlink(missing_ok=True)
    window.send(f"pd-{window.patch} savetofile {name} {folder}")
    window.patch = name
    stop = time.monotonic() + PATIENCE
    while not (path.is_file() and path.read_text().endswith(";\n")):
        time.sleep(0.05)
        assert time.monotonic() < stop, f"{path} was not written"
    return path


# ---------------------------------------------------------------- gestures


def first_things(w: Window) -> None:
    w.click("play")
    w.wait("playing 1")
    w.wait(r"level -?\d\d?\b")  # it sounds: one click also switched the audio on
    w.click("temperature", 0.75)
    assert w.wait("temperature").startswith("status: temperature 1.2")
    w.click("dice")
    number = int(w.wait("seed").split()[2])
    w.click("seed-more")
    w.wait(f"seed {number + 1}")
    w.click("seed-less")
    w.wait(f"seed {number}")
    w.click("again")
    w.wait(f"seed {number}")
    w.click("models", 194 / 206, 11 / 122)  # up: the list shows the part that tabla is in
    w.row("models", 0)
    w.wait("loaded 007")
    w.click("models", 194 / 206, 111 / 122)  # down
    w.row("models", 1)
    w.wait("loaded harp")


def hear(w: Window) -> None:
    w.click("meanwhile", 0.5, 0.5)
    w.click("listen")
    w.wait("listen 1 input")
    w.wait("level -100")
    w.click("listen")
    w.wait("listen 0")
    w.wait(r"level -?\d\d?\b")
    w.click("live")
    w.wait("primed live")


def play_on(w: Window) -> None:
    w.click("prime")  # nothing is open: it is told in the window alone
    w.click("sound-open")
    w.in_dialog("^Open", str(w.log.parent / "sound.wav"))
    w.drag("from", (0.5, 0.5), (0.5, 0.4), (0.5, 0.0), (0.5, -1.0))
    w.click("prime")
    heard = w.wait("primed .*sound.wav").split()
    assert 300 < int(heard[-1]) < 500  # of its 500 ms, those from there on


def hold(w: Window) -> None:
    w.click("frozen")
    w.wait("freeze 200")
    w.click("frozen")
    w.wait("freeze 0")
    for slot in (1, 8):
        w.click("slot", (slot - 0.5) / 8)
        w.click("store")
        w.wait(f"snapshot store {slot}")
    w.click("slot", 0.5 / 8)
    w.click("recall")
    w.wait("snapshot recall 1")
    w.click("morph")
    w.wait("snapshot morph 1")
    w.click("kick-strength", 0.9)
    w.click("kick")
    w.wait(r"kick 0\.[89]")
    w.click("guard", 0.5, 2.5 / 4)
    w.wait("guard nudge")


def voices(w: Window) -> None:
    w.click("voices-row", 1.5 / 8)
    w.wait("voices 2")
    w.click("mix")
    w.wait("mix 1")
    w.click("voice-1-pan", 0.1)
    w.wait(r"voice 1 pan -0\.[78]")
    w.click("voice-2-temperature", 0.75)
    w.wait(r"voice 2 temperature 1\.[23]")
    w.click("voice-2-gain", 0.25)
    w.wait(r"voice 2 gain 0\.[3-6]")
    w.click("voice-2-seed-typed")
    w.keys("9", "Return")
    w.wait("voice 2 seed 9")


def two_models(w: Window) -> None:
    w.row("models2", 1)
    w.wait("loaded2 alto")
    w.click("blend")
    w.wait(r"blend 0\.[45]")
    w.click("blend-mode", 0.5, 0.75)
    w.wait("blend-mode logits")


def shape(w: Window) -> None:
    w.drag("drawn", (0.02, 0.5), (0.3, 0.2), (0.6, 0.8), (0.98, 0.3))
    w.click("draw-play")
    w.wait("temperature .* 8000")
    for name, value in (("top-k", "1[0-4]"), ("top-p", "0.7"), ("min-p", "0.1"), ("rest", "0.9|1"), ("rate", "0.9|1")):
        w.click(name)
        w.wait(f"{name} ({value})")
    w.drag("fade", (0.5, 0.5), (0.5, 0.4), (0.5, 0.0), (0.5, -1.0))
    w.wait("fade [1-9][0-9]")


def time_(w: Window) -> None:
    w.drag("tempo", (0.5, 0.5), (0.5, 0.4), (0.5, 0.0), (0.5, -0.5))
    w.click("grid", 0.5, 3.5 / 4)
    w.wait("grid 1/4")
    bpm = re.findall(r"tempo ([0-9]+)", w.log.read_text())[-1]
    assert 120 < int(bpm) < 200
    w.click("beat")
    w.wait(f"tempo {bpm}")
    w.click("grid", 0.5, 0.5 / 4)
    w.wait("grid off")


def score(w: Window) -> None:
    w.click("render-score")  # there is none yet
    w.click("score")
    w.wait("score start recordings/score-001.json")
    w.click("dice")
    w.wait("seed")
    w.click("score")
    w.wait("scored recordings/score-001.json")
    w.click("render-score")
    w.wait("rendered recordings/render-001.wav")
    w.drag("render-s", (0.5, 0.5), (0.5, 0.6), (0.5, 1.0), (0.5, 3.5))  # from 60 to the least, 1
    w.click("render")
    assert w.wait("rendered recordings/render-002.wav").endswith(" 1")


def out(w: Window) -> None:
    w.click("gain", 0.25)
    w.wait(r"gain 0\.0")
    w.drag("latency", (0.5, 0.5), (0.5, 0.4), (0.5, 0.0), (0.5, -2.0))
    w.wait("latency [4-9][0-9]")
    w.click("record")
    w.wait("record start")
    w.wait(r"level -\d\d")
    w.click("record")
    w.wait("recorded")


def midi(w: Window) -> None:
    w.click("learn")
    w.click("blend")
    w.wait("blend")
    w.send("#ctlin 20 0 3")  # controller, value, channel
    w.send("#ctlin 20 127 3")
    w.wait("blend 1 ")
    w.send("#ctlin 20 127 4")
    w.send("#ctlin 20 0 3")
    w.wait("blend 0 ")
    w.click("notes", 0.5, 1.5 / 5)
    w.send("#notein 61 100 1")
    w.wait("seed 61")
    w.click("programs")
    w.send("#pgmin 3 1")
    w.wait("loaded bass")


def big_seed(w: Window) -> None:
    w.click("seed-typed")
    w.keys(*"1234567", "Return")
    w.wait(r"seed 1\.23457e\+06")  # as [print] has it


def unlearn(w: Window) -> None:
    w.click("learn")
    w.click("min-p", 0.3)
    w.wait("min-p 0.0")
    w.send("#ctlin 21 0 1")
    w.send("#ctlin 21 127 1")
    w.wait("min-p 0.2")
    w.click("unlearn")
    w.click("store")
    w.wait("snapshot store")
    before = len(w.log.read_text())
    w.send("#ctlin 21 0 1")
    w.click("kick")
    w.wait("kick")
    assert "min-p" not in w.log.read_text()[before:]


def keys(w: Window) -> None:
    """Off at the start, and after a button that opens a file."""
    for _ in range(2):
        before = len(w.log.read_text())
        w.keys("d", "r", "space")
        w.click("kick")
        w.wait("kick")
        assert not re.search("status: (seed|record|playing)", w.log.read_text()[before:])
        w.click("keys")
        w.keys("d")
        w.wait("seed")
        w.click("open")
        dialog = w.do("search", "--sync", "--onlyvisible", "--name", "^Open").split()[-1]
        w.do("windowfocus", "--sync", dialog, "key", "d", "Escape")


FIRST = (first_things, hear, play_on, hold, keys, unlearn, midi)
GESTURES = (*FIRST, time_, score, big_seed, voices, two_models, shape, out)


def test_every_gesture_of_the_playing_page_is_done_with_the_mouse_alone_and_all_of_it_comes_back_when_it_was_saved(
    home: Path, tmp_path: Path
) -> None:
    own = own_instrument()
    ours = (ROOT / "samplernn.pd").read_bytes()
    soundfile.write(tmp_path / "sound.wav", [0.0, 0.5] * 4000, 16000)
    with virtual_screen() as display, opened(display, tmp_path, own) as w:
        for gesture in GESTURES:
            gesture(w)
        w.click("preset-name")
        w.keys(*"mine", "Return")
        w.click("preset-save")
        stop = time.monotonic() + 2 * PATIENCE
        while "seed s1234567" not in " ".join(saved(save(w, own.parent, "samplernn.pd"))):
            assert time.monotonic() < stop, saved(own)
        first = saved(own)
        w.click("voices-row", 0.5 / 8)
        w.wait("voices 1")
        w.click("none")
        w.click("rate", 0.9)
        w.wait(r"rate 1\.")
        w.row("presets", 0)
        w.wait("loaded2 alto")
        while saved(save(w, own.parent, "samplernn.pd")) != first:  # all of it
            assert time.monotonic() < stop, (saved(own), first)
        red = [line for line in Result(0, w.log.read_text(), 0).errors() if "latency" not in line]
    assert not red, red
    take = soundfile.info(own.parent / "recordings" / "take-001.wav")
    assert take.samplerate == 48000
    assert (ROOT / "samplernn.pd").read_bytes() == ours
    for line in (
        "load2 alto",
        "seed s1234567",
        "voices 2",
        "voice-2-gain 0.",
        "blend-mode logits",
        "model bass",
        "sound.wav",
    ):
        assert any(line in kept for kept in first), (line, first)
    assert [line for line in first if line.startswith("envelope") and len(set(line.split())) > 10]
    assert "midi-blend 20 3 blend" in first
    assert not any("midi-min-p" in kept for kept in first)

    # opened again, without a flag: everything is as it was, and is saved so once more
    watch = tmp_path / "again.pd"
    watch.write_text(AGAIN.replace("FOLDER", str(own.parent)))
    pd = ["pd", "-nogui", "-noprefs", "-noaudio", "-r", "48000", "-open", str(own), "-open", str(watch)]
    done = subprocess.run(pd, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=os.environ)
    assert not Result(0, done.stdout + done.stderr, 0).errors(), done.stdout + done.stderr
    assert saved(own.parent / "again.pd") == first
    assert (own.parent / "presets" / "mine.txt").is_file()


def test_a_window_that_was_saved_with_a_panel_open_is_opened_with_that_panel(home: Path, tmp_path: Path) -> None:
    own = own_instrument()
    tab = TABS.index("out")
    box = "obj 2 2 instrument;\n"
    own.write_text(own.read_text().replace(box, f"{box}#A saved tab {tab} \\; settings model tabla \\;;\n"))
    with virtual_screen() as display, opened(display, tmp_path, own) as w:
        w.tab = tab  # nothing is clicked in the list of panels
        w.click("gain", 0.25)
        w.wait(r"gain 0\.0")


def test_the_button_page_opens_the_page_in_a_browser(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\necho "$1" >"{asked}"\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    port = free_port()
    with virtual_screen() as display, opened(display, tmp_path, own_instrument()) as w:
        w.send(f"samplernn web {port}")
        url = w.wait(rf"web http://127\.0\.0\.1:{port}/").split()[-1]
        w.click("page")
        end = time.monotonic() + PATIENCE
        while not (asked.exists() and asked.read_text()) and time.monotonic() < end:
            time.sleep(0.05)
        assert asked.read_text() == f"{url}\n"


def test_ctrl_s_in_the_repositorys_own_patch_asks_where_to_and_what_is_saved_there_plays_without_flags(
    home: Path, tmp_path: Path
) -> None:
    ours = (ROOT / "samplernn.pd").read_bytes()
    mine = tmp_path / "mine.pd"
    with virtual_screen() as display, opened(display, tmp_path, ROOT / "samplernn.pd") as w:
        w.click("temperature", 0.75)
        w.wait(r"temperature 1\.2")
        w.keys("ctrl+s")
        w.in_dialog("^Save", str(mine))
        w.wait(f"saved to: {re.escape(str(mine))}$")
    assert (ROOT / "samplernn.pd").read_bytes() == ours
    watch = tmp_path / "again.pd"
    again = AGAIN.replace("FOLDER", str(tmp_path)).replace("pd-samplernn.pd savetofile", "pd-mine.pd savetofile")
    watch.write_text(again.replace("again.pd", "back.pd"))
    pd = ["pd", "-nogui", "-noprefs", "-noaudio", "-r", "48000", "-open", str(mine), "-open", str(watch)]
    done = subprocess.run(pd, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=os.environ)
    assert not Result(0, done.stdout + done.stderr, 0).errors(), done.stdout + done.stderr
    assert "temperature 1.2" in " ".join(saved(tmp_path / "back.pd"))


AGAIN = """#N canvas 0 0 400 300 12;
#X obj 10 10 loadbang;
#X obj 10 40 delay 4000;
#X msg 10 70 \\; pd-samplernn.pd savetofile again.pd FOLDER \\; pd quit;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
"""
