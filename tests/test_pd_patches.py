"""The patches that come with sopilib, in real Pd: settings, wrong messages, recordings, quitting, windows."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pd_host import FLAGS, ROOT, Patch, Result, end, run, said_until, start

from sopilib.cli.play import virtual_screen

pytestmark = pytest.mark.usefixtures("pd_models")


def wait_for(path: Path, size: int, seconds: float = 20) -> None:
    stop = time.monotonic() + seconds
    while not (path.exists() and path.stat().st_size >= size):
        assert time.monotonic() < stop, f"{path} was not written"
        time.sleep(0.02)


# ---------------------------------------------------------------- settings


def test_settings_come_back_with_a_saved_patch(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.at(10, "load other, temperature 0.75, seed 12, gain 0.5, latency 35", box)
    patch.at(60, f"savetofile two.pd {tmp_path}", patch.obj("s pd-one.pd"))
    patch.quit(100)
    assert not run(patch.write(tmp_path / "one.pd")).errors()

    saved = (tmp_path / "two.pd").read_text()
    saved = re.sub(r"#X msg [^;]*savetofile[^;]*;", "#X msg 0 0 nothing;", saved)
    again = saved.replace("load other", "status").replace(
        "\\, temperature 0.75 \\, seed 12 \\, gain 0.5 \\, latency 35", ""
    )
    printer = len(re.findall(r"^#X (?:obj|msg)", again, re.M))
    (tmp_path / "two.pd").write_text(again + f"#X obj 300 300 print status;\n#X connect {box} 1 {printer} 0;\n")
    status = run(tmp_path / "two.pd").printed("status")
    for line in ("model other 16000", "temperature 0.75 0", "seed 12", "gain 0.5 0", "latency 35 1680"):
        assert line in status, status


def test_arguments_of_the_box_are_settings(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small temperature 0.9 latency 30 seed 8")
    patch.print(box, 1, "status")
    wrong = patch.obj("samplernn~ small temprature 0.9")
    patch.print(wrong, 1, "wrong")
    patch.at(5, "status", box)
    patch.quit(20)
    result = run(patch.write(tmp_path / "p.pd"))
    for line in ("temperature 0.9 0", "latency 30 1440", "seed 8", "model small 16000"):
        assert line in result.printed("status")
    assert [line for line in result.printed("wrong") if "temprature" in line]


def test_a_model_is_found_beside_the_patch(tmp_path: Path, pd_models: Path) -> None:
    shutil.copy(pd_models / "small" / "small.safetensors", tmp_path / "mine.safetensors")
    patch = Patch()
    box = patch.obj("samplernn~ mine.safetensors")
    patch.print(box, 1, "status")
    patch.quit(20)
    assert any(line.startswith("loaded") for line in run(patch.write(tmp_path / "p.pd")).printed("status"))


def test_an_older_checkpoint_loads_in_the_background_as_it_is(tmp_path: Path) -> None:
    for run_ in ("gru_mulaw", "lstm_linear_skip"):
        shutil.copytree(ROOT / "tests" / "fixtures" / "prism" / run_, tmp_path / "my 2 runs" / run_)
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.print(box, 1, "status")
    patch.at(0, "generate", box)
    one_after_another = (
        f"load {tmp_path}/my 2 runs/gru_mulaw/model.ckpt-1",
        "load my 2 runs/lstm_linear_skip/model.ckpt-2",  # beside the patch, by its prefix
        "load my 2 runs/gru_mulaw",
        "status",
    )
    later, count, each = patch.obj("delay 200"), patch.obj("f 1"), patch.obj("sel 1 2 3 4")
    patch.connect(box, 2, later)
    patch.chain(later, count)
    patch.connect(patch.chain(count, patch.obj("+ 1")), 0, count, 1)
    patch.connect(count, 0, each)
    for i, message in enumerate(one_after_another):
        said = patch.msg(message)
        patch.connect(each, i, said)
        patch.connect(said, 0, box)
    patch.record(tmp_path / "out.wav", box, 1900)
    status = live(tmp_path, patch, "burst", written=tmp_path / "out.wav").printed("status")
    loaded = [line for line in status if line.startswith(("loaded", "error"))]
    assert loaded == [f"loaded {name} 16000" for name in ("small", "model.ckpt-1", "model.ckpt-2", "model.ckpt-1")]
    assumed = [line for line in status if line.startswith("warning model.ckpt-")]
    assert len(assumed) == 3
    assert all("final_relu is not in PRiSM checkpoints" in line for line in assumed)
    sound = soundfile.read(tmp_path / "out.wav")[0]
    for begin in range(200, 1800, 100):
        assert sound[begin * 48 : (begin + 100) * 48].std() > 1e-4, f"silent at {begin} ms"


def test_the_courses_box_still_makes_an_object_that_answers(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("pyext samplernn_pd samplernn @detach 1")
    patch.print(box, 0, "status")
    patch.at(5, "models", box, 1)
    patch.quit(50)
    result = run(patch.write(tmp_path / "p.pd"))
    assert not result.errors()
    assert any(line.startswith("models ") and "small" in line for line in result.printed("status"))


# ---------------------------------------------------------------- wrong messages


def bad_files(folder: Path, model: Path) -> None:
    (folder / "text.safetensors").write_text("this is no model")
    (folder / "cut.safetensors").write_bytes(model.read_bytes()[:3000])
    damaged = bytearray(model.read_bytes())
    damaged[8:40] = b"x" * 32
    (folder / "damaged.safetensors").write_bytes(damaged)
    soundfile.write(folder / "sound.wav", np.zeros(100), 8000)


WRONG = {
    "load nowhere": "nowhere",
    "load": "model is missing",
    "load text.safetensors": "text.safetensors",
    "load cut.safetensors": "cut.safetensors",
    "load damaged.safetensors": "damaged.safetensors",
    "load sound.wav": "sound.wav",
    "temperature 0": "temperature is 0",
    "temperature -1": "temperature is -1",
    "temperature nan": "temperature",
    "temperature hot": "'hot'",
    "gain 1 2 3": "3 arguments",
    "seed missing": "no such array or file",
    "seed -3": "seed",
    "latency 0": "latency",
    "latency 9999": "latency",
    "generate 2": "0 or 1",
    "frobnicate 3": "frobnicate",
}


def test_wrong_messages_give_one_clear_line_and_the_sound_goes_on(tmp_path: Path, pd_models: Path) -> None:
    bad_files(tmp_path, pd_models / "small" / "small.safetensors")
    sounds = []
    for name, messages in (("plain", []), ("wrong", list(WRONG))):
        patch = Patch()
        box = patch.obj("samplernn~ small")
        patch.at(0, "generate", box)
        for i, message in enumerate(messages):
            patch.at(20 + 10 * i, message, box)
        aside = patch.obj("route nothing")  # a [print] at the box itself would take the place of the red lines
        patch.connect(box, 1, aside)
        patch.print(aside, 1, "status")
        patch.record(tmp_path / f"{name}.wav", box, 300)
        patch.quit(320)
        result = run(patch.write(tmp_path / f"{name}.pd"))
        sounds.append(soundfile.read(tmp_path / f"{name}.wav")[0])
    told = [line for line in result.printed("status") if line.startswith("error ")]
    console = result.errors()
    assert len(told) == len(console) == len(WRONG), "\n".join(told + console)
    for (message, part), line, red in zip(WRONG.items(), told, console):
        assert part in line, f"{message}: {line}"
        assert part in red
        assert "samplernn" in red, "it names the object"
    assert np.array_equal(*sounds)


def test_messages_before_a_model_is_there_are_told_or_remembered(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~")
    patch.print(box, 1, "status")
    patch.at(10, "seed no-sound", box)
    patch.at(20, "temperature 0.6, generate", box)
    patch.at(50, "load small", box)
    patch.record(tmp_path / "out.wav", box, 200)
    patch.quit(220)
    status = run(patch.write(tmp_path / "p.pd")).printed("status")
    assert len([line for line in status if line.startswith("error")]) == 1
    assert len([line for line in status if line.startswith("warning") and "no model" in line]) == 1
    sound = soundfile.read(tmp_path / "out.wav")[0]
    assert not sound[: 60 * 48].any()
    assert sound[100 * 48 :].std() > 0.001


def live(folder: Path, patch: Patch, last: str, dsp: bool = True, written: Path | None = None) -> Result:
    """Runs in real time, without sound card, until a line with this was printed, and this sound file was written."""
    process = start(patch.write(folder / "live.pd"), dsp=dsp)
    before = said_until(process, last)
    if written is not None:
        wait_for(written, 1900 * 48 * 4)
    code, took, out = end(process)
    return Result(code, before + out, took)


def test_of_two_loads_at_once_the_newer_wins(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~")
    patch.print(box, 1, "status")
    patch.at(500, "load large, load small", box)
    status = live(tmp_path, patch, "loaded small").printed("status")
    assert "loading large" in status
    assert len([line for line in status if line.startswith("warning") and "load large" in line]) == 1
    loaded = [line for line in status if line.startswith("loaded")]
    assert len(loaded) == 1
    assert "small" in loaded[0]


def test_that_dsp_is_off_is_said_once(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.print(box, 1, "status")
    for ms in (2000, 2050, 2100):
        patch.at(ms, f"generate, temperature {ms / 1000}", box)
    status = live(tmp_path, patch, "temperature 2.1", dsp=False).printed("status")
    assert len([line for line in status if "DSP is off" in line]) == 1, status


# ---------------------------------------------------------------- quitting, deleting, recording

ENDINGS = ["loading", "generating", "recording", "priming"]


def busy_patch(what: str) -> Patch:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.at(0, "generate", box)
    if what == "loading":
        patch.at(150, "load large", box)
    if what == "priming":
        patch.obj("array define mine 4800000")
        patch.at(150, "seed mine", box)
    if what == "recording":
        patch.at(50, "record start", box)
    return patch


@pytest.mark.parametrize("what", ENDINGS)
def test_quitting_ends_pd_at_once_whatever_it_does(tmp_path: Path, what: str) -> None:
    """Five times each: `pd quit` at another moment."""
    for moment in (155, 170, 200, 250, 330):
        patch = busy_patch(what)
        patch.quit(moment)
        process = start(patch.write(tmp_path / "quit.pd"))
        try:
            out, _ = process.communicate(timeout=10)  # a load of `large` or ten minutes of priming would go on
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"Pd did not end while {what}: {process.communicate()[0].decode()}")
        assert process.returncode == 0, out.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_pd_at_once(tmp_path: Path, number: signal.Signals) -> None:
    patch = busy_patch("generating")
    patch.print(0, 1, "status")
    process = start(patch.write(tmp_path / "p.pd"))
    said_until(process, "loaded small")
    code, _, _ = end(process, number, within=30)
    assert code in (0, 1, -number, 128 + number)


def test_a_recording_is_readable_when_pd_is_killed(tmp_path: Path) -> None:
    process = start(busy_patch("recording").write(tmp_path / "p.pd"))
    take = tmp_path / "recordings" / "take-001.wav"
    wait_for(take, 200_000)
    end(process, signal.SIGKILL)
    sound, rate = soundfile.read(take)
    assert rate == 48000
    assert len(sound) > 45_000
    assert sound.std() > 0.001


def test_an_object_can_be_deleted_in_the_middle_of_a_load(tmp_path: Path) -> None:
    patch = Patch()
    patch.sub("here")
    patch.at(50, "obj 10 10 samplernn~ large, obj 10 50 dac~, connect 0 0 1 0, loadbang", patch.obj("s pd-here"))
    for ms in (60, 300):
        patch.at(ms, "clear", patch.obj("s pd-here"))
        patch.at(ms + 40, "obj 10 10 samplernn~ large, loadbang", patch.obj("s pd-here"))
    patch.at(500, "clear", patch.obj("s pd-here"))
    patch.quit(900)
    process = start(patch.write(tmp_path / "p.pd"))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out.decode()
    assert not Result(0, out.decode(), 0).errors()


# ---------------------------------------------------------------- windows and help


@pytest.fixture
def display():
    with virtual_screen() as screen:
        yield screen


@pytest.mark.parametrize("patch", ["samplernn.pd", "pd/samplernn~-help.pd"])
def test_the_window_opens_without_an_error(display: str, patch: str) -> None:
    process = subprocess.Popen(
        ["pd", "-noprefs", "-noaudio", "-stderr", *FLAGS, "-open", str(ROOT / patch)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "DISPLAY": display},
    )
    time.sleep(5)
    assert process.poll() is None
    _, _, out = end(process)
    assert not Result(0, out, 0).errors(), out


def close_window(display: str, window: int) -> None:
    """What a window manager does when one clicks on the cross: a WM_DELETE_WINDOW message."""
    x = ctypes.CDLL(ctypes.util.find_library("X11"))
    x.XOpenDisplay.restype = ctypes.c_void_p
    x.XInternAtom.restype = ctypes.c_ulong
    x.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    x.XSendEvent.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    x.XSync.argtypes = [ctypes.c_void_p, ctypes.c_int]
    server = x.XOpenDisplay(display.encode())
    protocols, delete = (x.XInternAtom(server, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    # XClientMessageEvent: type 33, serial, send_event, display, window, message_type, format, data
    event = struct.pack("@iLiPLLi5l96x", 33, 0, 1, server, window, protocols, 32, delete, 0, 0, 0, 0)
    x.XSendEvent(server, window, 0, 0, event)
    x.XSync(server, 0)


def test_closing_pds_window_ends_it_while_it_plays(display: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DISPLAY": display}
    path = busy_patch("generating").write(tmp_path / "p.pd")
    process = subprocess.Popen(
        ["pd", "-noprefs", "-noaudio", "-stderr", *FLAGS, "-send", "pd dsp 1", "-open", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        window = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "^Pd$"]
        found = subprocess.run(window, env=environment, capture_output=True, text=True, check=True, timeout=60)
        time.sleep(1)
        close_window(display, int(found.stdout.split()[0]))
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
