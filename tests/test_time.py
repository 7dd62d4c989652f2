"""Tempo, grid and beat: what is played begins at a line, to the sample, where a drum machine has its beat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pd_host import Patch, run
from performing import lines

from sopilib.live import Performer

Make = Callable[..., tuple[Performer, list[Any]]]
Timed = tuple[int, tuple[Any, ...]]
RATE, LATENCY = 48000, 960


def take(make: Make, *messages: Timed, frames: int = 3 * RATE) -> np.ndarray:
    """What is heard of two models, after these messages at these host frames."""
    performer, told = make()
    for first in (("load", "one"), ("load2", "two"), ("generate",), ("snapshot", "store", 1)):
        performer.handle(*first, t=0)
    for t, message in messages:
        performer.handle(*message, t=t)
    heard = performer.read(frames)
    assert not lines(told, "error"), told
    return heard


@pytest.mark.parametrize(
    "message",
    [
        ("generate", 0),
        ("stop",),
        ("seed", 7),
        ("reset",),
        ("snapshot", "recall", 1),
        ("snapshot", "morph", 1, 500),
        ("freeze", 100),
        ("blend", 0.5, 300),
    ],
    ids=lambda message: str(message[0]),
)
def test_it_begins_at_the_first_line_that_is_not_before_its_time(make: Make, message: tuple[Any, ...]) -> None:
    grid = ((10, ("tempo", 100)), (10, ("grid", "1/4")))  # 28800 frames from line to line
    just_after = take(make, *grid, (28800 - LATENCY + 1, message))
    just_before = take(make, *grid, (28800 - LATENCY, message))
    assert np.array_equal(just_after, take(make, (2 * 28800 - LATENCY, message)))
    assert np.array_equal(just_before, take(make, (28800 - LATENCY, message)))
    assert not np.array_equal(just_before, just_after)


def test_other_messages_wait_for_no_line(make: Make) -> None:
    grid = ((10, ("grid", "1/1")),)
    for message in (("temperature", 0.5), ("gain", 0.25, 100), ("kick", 1)):
        assert np.array_equal(take(make, *grid, (5000, message)), take(make, (5000, message)))


def test_a_beat_sets_phase_and_tempo_and_its_own_line_is_where_it_is(make: Make) -> None:
    beats = ((1000, ("beat",)), (21000, ("beat",)), (21000, ("grid", "1/4")))
    assert np.array_equal(take(make, *beats, (22000, ("seed", 7))), take(make, (41000 - LATENCY, ("seed", 7))))
    performer, told = make()
    for t, message in beats:
        performer.handle(*message, t=t)
    assert lines(told, "tempo") == [120.0, 144.0]
    performer.handle("beat", t=21010)  # no tempo
    assert performer.state.tempo == 144


def test_bars_are_counted_from_the_first_beat_and_a_beat_with_its_tempo_begins_one(make: Make) -> None:
    beats = [(1000 + 12000 * i, ("beat",)) for i in range(6)]  # 240 a minute, bars of 48000
    timed = (*beats, (61000, ("grid", 1)))
    assert np.array_equal(take(make, *timed, (61500, ("seed", 7))), take(make, (97000 - LATENCY, ("seed", 7))))
    anew = (*timed, (61000, ("beat", 240)))
    assert np.array_equal(take(make, *anew, (61500, ("seed", 7))), take(make, (109000 - LATENCY, ("seed", 7))))


def test_another_tempo_leaves_the_beat_that_has_begun(make: Make) -> None:
    timed = ((0, ("tempo", 120)), (0, ("grid", "1/8")), (30000, ("tempo", 60)))
    # the beat at 24000, and from there on half beats of 24000
    assert np.array_equal(take(make, *timed, (50000, ("seed", 7))), take(make, (72000 - LATENCY, ("seed", 7))))


def test_a_grid_that_is_none_is_one_line_and_any_fraction_may_be_one(make: Make) -> None:
    performer, told = make()
    for wrong in ("1/0", "quarter", -1, "17", "1e999999999", "1e-999999999", "inf", "1/1000000"):
        assert not performer.handle("grid", wrong)
    assert "line is 'quarter', expected a length such as 1/4" in lines(told, "error")[1]
    for right, shown in (("1/4", "1/4"), (0.25, "1/4"), (2, "2"), ("2/8", "1/4"), ("1/12", "1/12"), (0, "off")):
        assert performer.handle("grid", right)
        assert performer.state.grid == shown
    assert performer.settings().get("grid") is None
    performer.handle("grid", "1/12")
    other, _ = make()
    other.restore(performer.settings())
    assert other.state.grid == "1/12"


def test_ticks_at_lines_are_a_clock(make: Make) -> None:
    performer, _ = make()
    performer.handle("tempo", 133, t=0)
    performer.handle("grid", "1/16", t=0)
    performer.handle("tick", 1, "line", t=0)
    performer.read(2 * RATE)
    line = 60 / 133 / 4 * RATE
    assert performer.stream.ticks(2 * RATE) == [round(k * line) for k in range(int(2 * RATE / line) + 1)]


# ---------------------------------------------------------------- in Pd


@pytest.mark.usefixtures("pd_models")
def test_sound_and_a_drum_machine_in_one_patch_coincide_to_the_sample(tmp_path: Path) -> None:
    """The drum machine is a [vline~] that clicks; its beats set the grid, and the grid's ticks click too. A second
    object, without a grid, is sent the same seed exactly where the line is."""
    patch = Patch()
    ours, theirs = patch.obj("samplernn~ small"), patch.obj("samplernn~ small")
    drum, ticks = patch.obj("vline~"), patch.obj("vline~")
    for box in (ours, theirs):
        patch.at(10, "generate", box)
    beat = 60000 / 127  # ms: no whole number of frames
    for i in range(4):
        patch.at(100 + i * beat, "1, 0 0 1", drum)
        if i < 2:
            patch.at(100 + i * beat, "beat", ours)
    patch.at(100 + beat + 1, "grid 1/4, tick 1 line", ours)
    click = patch.msg("1, 0 0 1")
    patch.connect(ours, 3, click)
    patch.connect(click, 0, ticks)
    patch.at(100 + 1.5 * beat, "seed 7", ours)
    patch.at(100 + 2 * beat - 20, "seed 7", theirs)
    for name, box in (("ours", ours), ("theirs", theirs), ("drum", drum), ("ticks", ticks)):
        patch.record(tmp_path / f"{name}.wav", box, 1900)
    patch.quit(2000)
    result = run(patch.write(tmp_path / "p.pd"))
    assert not result.errors()
    heard = {name: soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("ours", "theirs", "drum", "ticks")}
    onsets = {name: np.flatnonzero(np.diff(heard[name]) > 0.5) + 1 for name in ("drum", "ticks")}
    assert len(onsets["drum"]) == 4
    assert np.array_equal(onsets["ticks"][:2], onsets["drum"][2:])
    assert np.array_equal(heard["ours"], heard["theirs"])
