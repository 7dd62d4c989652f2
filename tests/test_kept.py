"""What is kept with a patch comes back as it was: seeds to the last digit, second model, single voices, the port."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from osc_client import free_port
from osc_stage import Stage, wait_for
from pd_host import Patch, run
from performing import lines

from sopilib.live import Performer

pytestmark = pytest.mark.usefixtures("pd_models")
Make = Callable[..., tuple[Performer, list[Any]]]
LARGEST = 2**64 - 1


def test_a_seed_of_sixty_four_bits_comes_as_text_and_is_kept(make: Make) -> None:
    performer, told = make()
    performer.handle("seed", f"s{LARGEST}")
    assert performer.state.seed == LARGEST
    performer.handle("seed", "s1234567")
    assert performer.state.seed == 1234567
    assert not lines(told, "error")
    performer.handle("seed", "s12")  # small ones are names of arrays
    assert "seed s12: no such array or file" in lines(told, "error")[0]
    performer.handle("seed", f"s{LARGEST + 1}")
    assert f"sound is 's{LARGEST + 1}', expected a whole number" in lines(told, "error")[1]


def test_a_large_seed_goes_by_osc_as_text_both_ways() -> None:
    stage = Stage()
    try:
        stage.controller.send("/samplernn/left/seed", f"s{LARGEST}")
        wait_for(lambda: stage.left.state.seed == LARGEST)
        assert stage.controller.ask("/samplernn/left/seed") == (f"s{LARGEST}",)
        stage.controller.send("/samplernn/left/seed", 2**31 - 1)
        wait_for(lambda: stage.left.state.seed == 2**31 - 1)
        assert stage.controller.ask("/samplernn/left/seed") == (2**31 - 1,)
    finally:
        stage.close()


def test_everything_that_is_set_is_in_the_settings_and_comes_back(make: Make) -> None:
    performer, _ = make(voices=3)
    for message in (
        *(("load", "one"), ("load2", "two"), ("blend", 0.25), ("seed", LARGEST), ("rate", 1.5), ("pan", -0.5)),
        *(("voice", 2, "temperature", 0.5), ("voice", 3, "seed", 9), ("voice", 3, "pan", 1), ("feature", 2, 0.5)),
    ):
        assert performer.handle(*message)
    saved = performer.settings()
    other, told = make()
    other.restore(saved)
    assert other.settings() == saved
    assert not lines(told, "error") + lines(told, "warning")
    assert (other.state.model2, other.state.voice[3]["seed"]) == ("two", 9)


def test_settings_that_are_brought_back_leave_nothing_of_what_was_set_since(make: Make) -> None:
    performer, told = make()
    assert performer.handle("load", "one")
    before = performer.settings()
    for message in (
        *(("voices", 2), ("rate", 2), ("top-k", 9), ("load2", "two"), ("blend", 0.5)),
        *(("voice", 2, "gain", 0.5), ("voice", 1, "pan", 1), ("voice", 2, "temperature", 0.5)),
    ):
        assert performer.handle(*message)
    performer.restore(before)
    assert performer.settings() == before
    assert not lines(told, "error")


def test_a_box_with_three_outlets_has_three_voices_where_its_patch_was_saved_without_a_word_of_them(make: Make) -> None:
    performer, told = make(voices=3, latency=0.05)
    performer.restore({"model": "one"})
    assert performer.handle("voice", 3, "gain", 0.5)
    assert (performer.state.voices, performer.state.latency) == (3, 50)
    assert not lines(told, "error")


def test_a_patch_opens_as_it_was_saved(tmp_path: Path) -> None:
    port = free_port()
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.at(10, "seed s1234567, load2 other, blend 0.25, rate 1.5, voices 2, voice 2 temperature 0.5", box)
    patch.at(20, f"voice 2 seed s{LARGEST}, osc {port}, name mine", box)
    patch.at(60, f"savetofile two.pd {tmp_path}", patch.obj("s pd-one.pd"))
    patch.quit(100)
    assert not run(patch.write(tmp_path / "one.pd")).errors()
    saved = re.sub(r"#X msg [^;]*savetofile[^;]*;", "#X msg 0 0 nothing;", (tmp_path / "two.pd").read_text())
    saved = re.sub(
        r"#X msg [^;]* seed s1234567[^;]*;", "#X msg 0 0 status \\\\, voice 2 seed? \\\\, osc;", saved, count=1
    )
    saved = re.sub(r"#X msg [^;]*voice 2 seed s[^;]*;", "#X msg 0 0 voice 2 temperature?;", saved, count=1)
    printer = len(re.findall(r"^#X (?:obj|msg)", saved, re.M))
    (tmp_path / "two.pd").write_text(saved + f"#X obj 300 300 print status;\n#X connect {box} 1 {printer} 0;\n")
    result = run(tmp_path / "two.pd")
    assert not result.errors()
    status = result.printed("status")
    expected = ("blend 0.25 0", "rate 1.5 0", "voices 2", "model2 other 16000", f"osc {port} 1", "model small 16000")
    for line in (*expected, f"voice 2 seed s{LARGEST}", "voice 2 temperature 0.5 0"):
        assert line in status, (line, status)
    assert "seed s1234567" in (tmp_path / "two.pd").read_text()


def test_a_seed_that_a_float_cannot_hold_is_shown_as_text_in_pd(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~")
    patch.print(box, 1, "status")
    patch.at(10, f"seed s{LARGEST}, seed 16777216, seed s16777217", box)
    patch.quit(30)
    seeds = [line for line in run(patch.write(tmp_path / "p.pd")).printed("status") if line.startswith("seed")]
    assert seeds == [f"seed s{LARGEST}", "seed 1.67772e+07", "seed s16777217"]
