"""What the instrument says can be read: little, in plain words, once, and with what to do about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pd_host import Patch, end, run, start
from performing import lines, wait_for

import sopilib
from sopilib import checkpoint
from sopilib.live import Performer

pytestmark = pytest.mark.usefixtures("pd_models")
Make = Callable[..., tuple[Performer, list[Any]]]


def test_level_and_speed_are_told_only_when_asked_or_as_often_as_one_says(make: Make) -> None:
    performer, told = make()
    performer.handle("load", "one")
    performer.handle("generate")
    performer.read(48000)
    performer.poll()
    assert not lines(told, "level") + lines(told, "rtf")
    performer.handle("status")
    assert len(lines(told, "level")) == 1
    performer.handle("report", 20)
    wait_for(lambda: performer.read(4800).any() and len(lines(told, "level")) > 3)
    performer.handle("report", 0)
    told.clear()
    performer.read(48000)
    performer.poll()
    assert not lines(told, "level")
    assert performer.setting("report") == (0.0,)


def test_a_misspelt_message_is_answered_with_the_one_that_was_meant(make: Make) -> None:
    performer, told = make()
    performer.handle("temprature", 0.9)
    performer.handle("voice", 1, "tenperature", 0.9)
    performer.handle("qqq")
    assert lines(told, "error")[:2] == [
        "no message 'temprature', did you mean temperature?",
        "no message 'tenperature', did you mean temperature?",
    ]
    assert "expected one of load, generate" in lines(told, "error")[2]


def test_a_number_that_comes_in_as_a_signal_is_answered(make: Make) -> None:
    performer, told = make()
    performer.read(4800, np.full((1, 4800), 0.5, np.float32))
    performer.poll()
    performer.read(4800, np.full((1, 4800), 0.5, np.float32))
    performer.poll()
    performer.read(4800, np.zeros((1, 4800), np.float32))
    performer.poll()
    assert lines(told, "warning") == [
        "0.5 came in, and goes on as a signal: a number alone says nothing, expected a message such as temperature "
        "0.5; send 0 to end it"
    ]


def test_a_latency_that_is_too_short_is_called_what_it_is_underruns(make: Make) -> None:
    performer, told = make(freewheel=False)
    performer.host(48000, 1024)
    performer.read(1024)
    performer.handle("latency", 5)
    wait_for(lambda: lines(told, "warning"))
    assert "the sound has gaps (underruns)" in lines(told, "warning")[0]


def test_a_latency_that_is_too_short_is_told_as_soon_as_there_are_gaps(make: Make) -> None:
    performer, told = make(freewheel=False)
    for message in (("load", "one"), ("generate",)):
        performer.handle(*message)
    wait_for(lambda: lines(told, "loaded"))
    performer.handle("latency", 5)
    while not lines(told, "warning") and performer.now < 3 * 48000:  # the host is known well after six seconds
        for _ in range(16):
            performer.read(64)  # 1024 frames at once
        time.sleep(1024 / 48000)
    assert "latency 5 ms is below what this host takes at once" in lines(told, "warning")[0]


def test_a_model_whose_name_pd_takes_for_a_number_is_found(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    performer, told = make()
    model = sopilib.Model.random(sopilib.Config(frame_sizes=[4], dim=8, mlp_dim=8), seed=1)

    def add(name: str) -> None:
        (tmp_path / name).mkdir()
        checkpoint.save(model, tmp_path / name / f"{name}.safetensors")

    monkeypatch.setenv("SOPI_MODELS", str(tmp_path))
    for name in ("007", "1e3"):
        add(name)
    for number, name in ((7.0, "007"), (1000.0, "1e3"), (7, "007")):
        assert performer.handle("load", number), told
        assert performer.state.model == name
    add("7")
    assert performer.handle("load", "7")  # text is text, as OSC sends it
    assert not performer.handle("load", 7.0)
    assert "Pd takes the names 007 and 7 for one number" in lines(told, "error")[0]


# ---------------------------------------------------------------- in Pd


def test_errors_come_in_plain_words_and_stand_in_the_console_once(tmp_path: Path) -> None:
    """Where a [print] shows them there is no red line beside it; where none does, there is."""
    patch = Patch()
    printed, bare = patch.obj("samplernn~"), patch.obj("samplernn~")
    patch.print(printed, 1, "status")
    for box in (printed, bare):
        patch.at(10, "temperature hot", box)
    patch.at(20, "seed no-such, generate", printed)
    joined = patch.chain(patch.obj("route error"), patch.obj("one-symbol"))
    patch.connect(printed, 1, joined - 1)
    patch.print(joined, 0, "joined")
    patch.quit(50)
    result = run(patch.write(tmp_path / "p.pd"))
    said = [line for line in result.out.splitlines() if "temperature is 'hot'" in line]
    assert len([line for line in said if line.startswith("status: error")]) == 1
    assert len([line for line in said if line.startswith("error:")]) == 1
    assert len([line for line in result.out.splitlines() if "no model is loaded" in line]) == 1
    told = [line for line in result.out.splitlines() if line.startswith(("status: error", "status: warning"))]
    assert len(told) == 3
    assert not set("\\,;$") & set("".join(told))
    assert result.printed("joined")[0].startswith("symbol temperature: temperature is 'hot' expected a number")


@pytest.mark.parametrize("before", ["temperature ", "voice 1 temperature ", ""])
def test_the_courses_envelope_in_a_message_box_is_one_line_that_says_what_to_write(tmp_path: Path, before: str) -> None:
    patch = Patch()
    box = patch.obj("samplernn~")
    patch.print(box, 1, "status")
    envelope = "Env([0.7 \\, 1.1 \\, 0.9] \\, [2 \\, 4] \\, [-2 \\, 0])"
    patch.lines.append(f"#X msg 500 10 {before}{envelope};")
    typed, patch.count = patch.count, patch.count + 1
    patch.chain(patch.obj("loadbang"), patch.obj("delay 10"), typed, box)
    patch.at(600, "nonsense", box)
    patch.quit(700)
    result = run(patch.write(tmp_path / "p.pd"))
    said = [line for line in result.out.splitlines() if "error" in line or "warning" in line]
    assert len(said) == 2, said
    assert "env [0.7 1.1 0.9] [2 4] [-2 0]" in said[0]
    assert "nonsense" in said[1]


def test_a_number_alone_is_answered(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~")
    patch.print(box, 1, "status")
    patch.at(10, "0.5", box)
    process = start(patch.write(tmp_path / "p.pd"))
    stop = time.monotonic() + 60
    said = b""
    while b"a number alone says nothing" not in said:
        assert process.stdout is not None
        assert time.monotonic() < stop
        said += process.stdout.readline()
    end(process)
    assert said.count(b"0.5 came in") == 1
