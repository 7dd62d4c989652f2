"""Names of files that are no UTF-8, and names that no file can have, while it plays: in Pd, by OSC, in Python."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from osc_client import message
from osc_stage import Stage
from pd_host import Patch, run

from sopilib import names
from sopilib.live import Performer

pytestmark = pytest.mark.usefixtures("pd_models")
LATIN = os.fsdecode(b"k\xe9y")
ESCAPED = "k%E9y"
LONG = "x" * 300
RATE = 16000

MINE = """
import pyext
class Mine(pyext._class):
    _inlets, _outlets = 1, 1
    def bang_1(self):
        self._outlet(1, "made")
"""


@pytest.fixture
def disk(tmp_path: Path, pd_models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with such a name, with a model and a sound of such names in it."""
    folder = tmp_path / os.fsdecode(b"disk\xe9")
    (folder / LATIN).mkdir(parents=True)
    model = pd_models_folder / "small" / "small.safetensors"
    shutil.copy(model, folder / LATIN / f"{LATIN}.safetensors")
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    for sound in (folder / f"{LATIN}.wav", folder / "recordings" / f"{LATIN}.wav"):
        sound.parent.mkdir(exist_ok=True)
        soundfile.write(os.fsencode(sound), noise, RATE, format="WAV")
    monkeypatch.setenv("SOPI_MODELS", str(folder))
    return folder


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def test_in_a_patch_on_such_a_disk_everything_works(disk: Path) -> None:
    (disk / "mine.py").write_text(MINE)
    patch = Patch()
    box = patch.obj(f"samplernn~ {LATIN}")
    other = patch.obj(f"samplernn~ {LATIN}/{LATIN}.safetensors")
    mine = patch.obj("pyext 1 1 mine Mine")
    patch.print(box, 1, "status")
    patch.print(other, 1, "other")
    patch.print(mine, 0, "mine")
    patch.at(50, "bang", mine, 1)
    patch.at(100, "generate", box)
    patch.at(200, f"seed {LATIN}.wav", box)
    patch.at(300, f"record start {LATIN}2", box)
    patch.at(400, "snapshot store 1", box)
    patch.at(500, f"snapshot save {LATIN}", box)
    patch.at(800, "record stop", box)
    patch.at(900, f"load {LATIN}, settings", box)
    patch.quit(1500)
    result = run(patch.write(disk / f"{LATIN}.pd"), rate=RATE)
    assert result.code == 0, result.out
    assert not result.errors(), result.out
    status, shown = result.printed("status"), names.shown(LATIN)
    assert f"loaded {shown} 16000" in status
    assert f"loaded {shown} 16000" in result.printed("other")
    assert any(line.startswith(f"primed {shown}.wav 1000") for line in status), status
    assert f"record start recordings/{shown}2.wav" in status
    assert "symbol made" in result.printed("mine")
    assert (disk / f"{LATIN}.snapshots.safetensors").is_file()
    assert soundfile.info(os.fsencode(disk / "recordings" / f"{LATIN}2.wav")).frames == pytest.approx(RATE / 2, abs=400)


def test_by_osc_such_names_are_told_in_a_form_that_can_be_sent_back(disk: Path, stage: Stage) -> None:
    stage.left.folder = disk
    controller = stage.controller
    told = controller.ask("/samplernn/left/models")
    assert ESCAPED in told
    controller.send("/samplernn/left/subscribe")
    controller.send("/samplernn/subscribe")
    controller.send("/samplernn/left/load", ESCAPED)
    controller.heard(until=lambda said: ("/samplernn/left/loaded", (ESCAPED, 16000)) in said)
    controller.send("/samplernn/left/seed", f"{ESCAPED}.wav")
    controller.heard(until=lambda said: ("/samplernn/left/primed", (f"{ESCAPED}.wav", 1000)) in said)
    controller.send("/samplernn/left/record", "start", f"{ESCAPED}2")
    controller.heard(until=lambda said: ("/samplernn/left/record", ("start",)) in said)
    controller.send("/samplernn/left/record", "stop")
    controller.heard(until=lambda said: ("/samplernn/left/record", ("stop",)) in said)
    assert (disk / "recordings" / f"{LATIN}2.wav").is_file()


def test_a_name_of_300_letters_by_osc_is_like_any_missing_file(stage: Stage) -> None:
    controller = stage.controller
    stage.left.handle("load", "small")
    controller.send_at(
        0,
        message("/samplernn/left/seed", LONG),
        message("/samplernn/left/seed", LONG + ".wav"),
        message("/samplernn/left/load", LONG),
        message("/samplernn/left/record", "start", LONG),
        message("/samplernn/left/snapshot", "load", LONG),
        message("/samplernn/left/temperature", 0.5),
    )
    said = controller.heard(until="/samplernn/left/error")
    assert "no such array or file" in said[-1][1][0] or "small" in said[-1][1][0], said
    assert controller.ask("/samplernn/left/temperature")[0] == 0.5  # the rest of the bundle went on
    assert "Traceback" not in "".join(stage.lines)


@pytest.mark.parametrize("name", [LONG, "a\0b", "\ud800", "~nobody-of-that-name/x", LATIN, "x/" * 3000], ids=ascii)
def test_a_name_that_no_file_has_is_one_clear_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[object, ...]] = []
    performer = Performer(freewheel=True, folder=tmp_path, status=lambda *event: told.append(event))
    performer.host(RATE, 64)
    performer.handle("load", "small")
    performer.handle("snapshot", "store", 1)
    performer.read(1000)
    for words in (
        ("seed", name),
        ("load", name),
        ("load2", name),
        ("snapshot", "load", name),
        *([("record", "start", name), ("snapshot", "save", name)] if name != LATIN else []),
    ):
        told.clear()
        performer.handle(*words)
        end = time.monotonic() + 30
        while not (errors := [event for event in told if event[0] == "error"]) and time.monotonic() < end:
            performer.read(64)
        assert len(errors) == 1, (words, told)
        line = str(errors[0][1])
        assert words[0].rstrip("2") in line or "file" in line
        assert "\n" not in line
        assert "Errno" not in line
    performer.close()
    assert "Traceback" not in capsys.readouterr().err


def test_a_name_of_300_letters_in_pd_is_one_line(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.print(box, 1, "status")
    for ms, words in enumerate((f"seed {LONG}", f"load {LONG}", f"record start {LONG}", f"snapshot load {LONG}")):
        patch.at(100 + 50 * ms, words, box)
    patch.quit(600)
    result = run(patch.write(tmp_path / "patch.pd"), rate=RATE)
    errors = [line for line in result.printed("status") if line.startswith("error")]
    assert len(errors) == 4, result.out
    assert "no such array or file" in errors[0]
    assert "no such model file" in errors[1]
    assert "File name too long" in errors[2]
    assert "Traceback" not in result.out
    assert "Errno" not in result.out


def test_models_and_sounds_are_found_where_pd_looks_for_files(tmp_path: Path, pd_models: Path) -> None:
    """As with any object of Pd's: nn~ found them by their whole path only (acids-ircam/nn_tilde#19, #39)."""
    (tmp_path / "patches").mkdir()
    (tmp_path / "my files").mkdir()
    (tmp_path / "path").mkdir()
    shutil.copy(pd_models / "small" / "small.safetensors", tmp_path / "path" / "mine.safetensors")
    soundfile.write(tmp_path / "path" / "a.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    soundfile.write(tmp_path / "my files" / "b.wav", np.random.default_rng(0).normal(0, 0.1, RATE // 2), RATE)
    patch = Patch()
    patch.lines.append("#X declare -path ../path;")
    box = patch.obj("samplernn~ mine.safetensors")
    patch.print(box, 1, "status")
    patch.at(100, "seed a.wav", box)
    patch.at(200, "seed b.wav", box)
    patch.quit(400)
    result = run(patch.write(tmp_path / "patches" / "patch.pd"), "-path", str(tmp_path / "my files"), rate=RATE)
    assert not result.errors(), result.out
    status = result.printed("status")
    assert "loaded mine 16000" in status
    assert "primed a.wav 1000" in status
    assert "primed b.wav 500" in status
