"""A performance that is written down as a score is the same music when it is rendered, to the last bit."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pd_host import Patch, run
from performing import lines, wait_for
from stream_host import NativeHost

from sopilib.errors import SopiError
from sopilib.live import Performer, score
from sopilib.live.loader import Job

Make = Callable[..., tuple[Performer, list[Any]]]
RATE = 48000


def rendered(path: Path) -> np.ndarray:
    return np.concatenate(list(score.perform(score.read(path))), 1)


def play(performer: Performer, *messages: tuple[Any, ...], frames: int = 4321) -> np.ndarray:
    """Each message, and some sound after it."""
    heard = []
    for message in messages:
        assert performer.handle(*message), message
        heard.append(performer.read(frames))
    return np.concatenate(heard, 1)


GESTURES: tuple[tuple[Any, ...], ...] = (
    ("generate",),
    ("temperature", 0.8, 50),
    ("temperature", "env", "[0.7", "1.1]", "[0.1]", "[-2]"),
    ("seed", 7),
    ("voice", 2, "gain", 0.5),
    ("kick", 0.5),
    ("freeze", 50),
    ("freeze", 0),
    ("snapshot", "store", 1),
    ("load2", "two"),
    ("blend", 0.4, 30),
    ("snapshot", "recall", 1),
    ("load", "two"),
    ("rate", 1.5, 40),
    ("voices", 3),
    ("latency", 35),
    ("guard", "nudge"),
    ("tempo", 240),
    ("grid", "1/16"),
    ("seed", 2**64 - 1),
    ("generate", 0),
    ("generate", 1),
)


def test_a_written_performance_renders_to_the_same_samples(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path, voices=2)
    play(performer, ("load", "one"), ("temperature", 0.9))
    performer.handle("score", "start", "mine")
    heard = play(performer, *GESTURES)
    performer.handle("score", "stop")
    assert lines(told, "scored") == [("recordings/mine.json", round(heard.shape[1] / RATE, 3))]
    path = tmp_path / "recordings" / "mine.json"
    said = json.loads(path.read_text())
    assert said["rate"] == RATE
    assert "doubt" not in said
    assert np.array_equal(rendered(path), heard)


def test_a_take_in_the_middle_needs_nothing_of_what_was_before_its_seed(make: Make, tmp_path: Path) -> None:
    performer, _ = make(folder=tmp_path)
    play(performer, ("load", "one"), ("generate",), ("rate", 1.5), ("temperature", 1.3), ("load", "two"), frames=RATE)
    play(performer, ("seed", 9), frames=RATE)
    performer.handle("score", "start")
    heard = play(performer, ("temperature", 0.7), ("gain", 0.5, 20))
    performer.handle("score", "stop")
    path = tmp_path / "recordings" / "score-001.json"
    said = json.loads(path.read_text())
    assert said["settings"]["seed"] == 9
    assert said["begin"] == RATE
    assert len(said["messages"]) < 5
    assert np.array_equal(rendered(path), heard)


def test_a_live_performance_with_a_load_in_the_background_renders_to_what_was_recorded(
    make: Make, tmp_path: Path
) -> None:
    """In real time, and the sound is what `record` wrote: loads stand where they took effect."""
    performer, told = make(freewheel=False, rate=None, folder=tmp_path, latency=0.1)
    host = NativeHost(performer.ring, 4 * RATE)
    host.start()
    wait_for(lambda: performer.now > 0)
    for message in (("load", "one"), ("generate",), ("seed", 3)):
        performer.handle(*message)
    wait_for(lambda: lines(told, "loaded"))
    t = performer.now + 2000
    performer.handle("record", "start", "take", t=t)
    performer.handle("score", "start", "take", t=t)
    performer.handle("load", "two")
    performer.handle("temperature", 0.8, 100)
    wait_for(lambda: len(lines(told, "loaded")) == 2)
    t = performer.now + 4800
    performer.handle("record", "stop", t=t)
    wait_for(lambda: performer.now >= t)  # an underrun before it is known when the score is written
    performer.handle("score", "stop", t=t)
    host.join()
    wait_for(lambda: lines(told, "recorded") and lines(told, "scored"))
    written = score.read(tmp_path / "recordings" / "take.json")
    heard = soundfile.read(tmp_path / "recordings" / "take.wav", dtype="float32", always_2d=True)[0].T
    if written.doubt:  # the machine was late: that is said, and proves nothing more
        assert "there were underruns" in [line for line in lines(told, "warning") if line.startswith("score ")][0]
        return
    made = rendered(tmp_path / "recordings" / "take.json")
    assert np.array_equal(made, heard)


def test_what_cannot_be_performed_again_is_said(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path, arrays={"mine": np.sin(np.arange(4800) / 9).astype(np.float32)}.get)
    play(performer, ("load", "one"), ("score", "start"), ("generate",), ("seed", "mine"), ("score", "stop"))
    (line,) = lines(told, "warning")
    assert line.startswith("score recordings/score-001.json: another performance of it may sound otherwise: seed mine")
    assert "seed mine" in score.read(tmp_path / "recordings" / "score-001.json").doubt
    assert not performer.handle("score", "start", "score-001")
    assert "there is such a file already" in lines(told, "error")[0]


def test_a_grid_whose_lines_are_counted_from_before_the_score_is_played_from_there_or_said(
    make: Make, tmp_path: Path
) -> None:
    performer, told = make(folder=tmp_path)
    play(performer, ("load", "one"), ("generate",), ("seed", 5), frames=10007)
    play(performer, ("tempo", 240), ("grid", "1/4"))
    performer.handle("score", "start", "before")
    heard = play(performer, ("seed", 6), frames=RATE // 2)
    play(performer, ("score", "stop"), ("grid", "off"), ("seed", 7), frames=10007)
    assert np.array_equal(rendered(tmp_path / "recordings" / "before.json"), heard)
    assert not lines(told, "warning")
    play(performer, ("score", "start", "within"), ("grid", "1/4"), ("seed", 8), ("score", "stop"))
    assert score.read(tmp_path / "recordings" / "within.json").doubt.startswith("the lines of its grid")


def test_that_the_host_went_on_at_another_rate_is_said(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path)
    play(performer, ("load", "one"), ("score", "start"), ("generate",))
    performer.poll()
    performer.host(44100, 64)
    performer.handle("score", "stop")
    assert [line for line in lines(told, "warning") if line.endswith("the host's sample rate changed")]


def test_a_seed_after_a_shorter_latency_is_rendered_when_it_was_heard(make: Make, tmp_path: Path) -> None:
    performer, _ = make(folder=tmp_path)
    play(performer, ("load", "one"), ("generate",), ("latency", 300), ("latency", 20), frames=1000)
    play(performer, ("seed", 5), frames=RATE // 2)
    performer.handle("score", "start", "mine")
    heard = play(performer, ("temperature", 0.7))
    performer.handle("score", "stop")
    assert np.array_equal(rendered(tmp_path / "recordings" / "mine.json"), heard)


def test_a_score_begins_with_the_model_that_was_heard_not_with_one_that_was_being_loaded(
    make: Make, tmp_path: Path
) -> None:
    performer, told = make(freewheel=False, folder=tmp_path)
    performer.handle("load", "one")
    wait_for(lambda: lines(told, "loaded"))
    loads = threading.Event()

    def wait(_: Job) -> None:
        loads.wait(60)

    performer.background("wait", "wait", wait)
    performer.handle("load", "two")
    performer.handle("seed", 5)
    t = performer.now + RATE
    performer.handle("score", "start", "mine", t=t)
    performer.handle("score", "stop", t=t + 100)
    loads.set()
    wait_for(lambda: lines(told, "scored"))
    said = json.loads((tmp_path / "recordings" / "mine.json").read_text())
    assert said["settings"].get("model") != "two"


@pytest.mark.parametrize("seconds", ["inf", "nan", -1, 0, 1e308, 1e6])
def test_a_length_that_no_file_has_is_not_rendered(seconds: str | float, make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path)
    performer.handle("load", "one")
    performer.handle("render", "a", seconds)
    (line,) = lines(told, "error")
    assert "s long, expected more than 0 and at most 22369" in line
    assert not (tmp_path / "recordings" / "a.wav").exists()


def test_that_a_signal_set_the_temperature_is_said(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path)
    play(performer, ("load", "one"), ("score", "start"), ("generate",))
    performer.read(4800, np.full((2, 4800), 0.5, np.float32))
    performer.poll()
    performer.handle("score", "stop")
    assert [line for line in lines(told, "warning") if line.endswith("a signal set the temperature")]


def test_render_plays_settings_or_a_score_into_a_file_beside_the_sound(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path)
    play(performer, ("load", "one"), ("seed", 5))
    performer.handle("score", "start", "mine")
    heard = play(performer, ("generate",), ("temperature", 0.7))
    play(performer, ("score", "stop"), ("top-k", 3), ("render", "a", 0.5), ("render", "b", "mine.json"))
    assert [name for name, _ in lines(told, "rendered")] == ["recordings/a.wav", "recordings/b.wav"]
    again, rate = soundfile.read(tmp_path / "recordings" / "b.wav", dtype="float32", always_2d=True)
    assert rate == RATE
    assert np.array_equal(again.T, heard)
    plain = soundfile.read(tmp_path / "recordings" / "a.wav", dtype="float32")[0]
    assert len(plain) == RATE // 2
    assert plain.any()
    for wrong in (("render", "a", 1), ("render", "c", "nothing.json")):
        assert not performer.handle(*wrong)
    assert len(lines(told, "error")) == 2


def test_render_without_a_name_takes_the_first_that_is_free(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path)
    play(performer, ("load", "one"), ("score", "start"), ("seed", 3), ("generate",))
    performer.read(4800)
    play(performer, ("score", "stop"), ("render", 0.2), ("render", "score-001.json"))
    play(performer, ("render", "recordings/score-001.json", 0.05), ("render", "7.wav", 0.1))
    ((_, whole),) = lines(told, "scored")
    expected = [("render-001", 0.2), ("render-002", whole), ("render-003", 0.05), ("7", 0.1)]
    assert lines(told, "rendered") == [(f"recordings/{name}.wav", seconds) for name, seconds in expected]


@pytest.mark.parametrize("where", ["beside", "other"])
def test_a_model_beside_the_patch_or_where_pd_looks_is_found_by_what_is_rendered(
    where: str, make: Make, models: Path, tmp_path: Path
) -> None:
    performer, told = make(folder=tmp_path / "beside")
    performer.places.others = [tmp_path / "other"]
    (tmp_path / where).mkdir()
    shutil.copy(next(models.rglob("one.safetensors")), tmp_path / where / "mine.safetensors")
    play(performer, ("load", "mine.safetensors"), ("generate",), ("seed", 5), frames=RATE // 2)
    performer.handle("score", "start", "mine")
    heard = play(performer, ("gain", 0.5))
    play(performer, ("score", "stop"), ("render", "again", "mine.json"), ("render", "plain", 0.1))
    assert [name for name, _ in lines(told, "rendered")] == ["recordings/again.wav", "recordings/plain.wav"]
    again = soundfile.read(tmp_path / "beside" / "recordings" / "again.wav", dtype="float32", always_2d=True)[0]
    assert np.array_equal(again.T, heard)


def test_a_score_of_a_moment_without_audio_is_called_empty(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path)
    for message in (("load", "one"), ("score", "start"), ("generate", 1), ("score", "stop")):  # no sound is fetched
        performer.handle(*message)
    wait_for(lambda: lines(told, "scored"))
    assert lines(told, "warning") == [
        "score recordings/score-001.json is empty: no sound was made from start to stop, is DSP on?"
    ]


def test_two_objects_that_begin_scores_at_once_get_two_names(make: Make, tmp_path: Path) -> None:
    told = []
    objects = [make(folder=tmp_path) for _ in range(2)]
    for performer, _ in objects:
        play(performer, ("load", "one"), ("score", "start"), ("generate",), frames=100)
    for performer, said in objects:
        performer.handle("score", "stop")
        told += [path for path, _ in lines(said, "scored")]
    assert told == ["recordings/score-001.json", "recordings/score-002.json"]
    assert all(score.read(tmp_path / path).messages for path in told)


def test_two_objects_that_render_at_once_get_two_names(make: Make, tmp_path: Path) -> None:
    objects = [make(folder=tmp_path, freewheel=False) for _ in range(2)]
    for performer, told in objects:
        performer.handle("load", "one")
        wait_for(lambda: lines(told, "loaded"))  # noqa: B023
    for performer, _ in objects:
        performer.handle("render", 1)
    for _, told in objects:
        wait_for(lambda: lines(told, "rendered") or lines(told, "error"))  # noqa: B023
    names = [name for _, told in objects for name, _ in lines(told, "rendered")]
    assert sorted(names) == ["recordings/render-001.wav", "recordings/render-002.wav"]


def test_a_score_that_can_never_be_written_is_refused_at_its_beginning(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path)
    assert not performer.handle("score", "start", "a" * 300)
    assert "File name too long" in lines(told, "error")[0]
    assert performer.handle("score", "start", "left")
    performer.close()
    assert not list((tmp_path / "recordings").iterdir())


def test_a_score_that_ended_just_before_the_patch_was_closed_is_written(make: Make, tmp_path: Path) -> None:
    performer, told = make(freewheel=False, folder=tmp_path)
    performer.handle("load", "one")
    wait_for(lambda: lines(told, "loaded"))
    performer.handle("score", "start", "last")
    performer.handle("load", "two")  # the loader is busy with it
    performer.handle("score", "stop")
    performer.close()
    assert score.read(tmp_path / "recordings" / "last.json").messages


def test_a_score_says_in_what_precision_it_was_played(make: Make, tmp_path: Path) -> None:
    performer, _ = make(folder=tmp_path, precision="f32")
    play(performer, ("load", "one"), ("score", "start", "mine"))
    heard = play(performer, ("generate",))
    play(performer, ("score", "stop"))
    path = tmp_path / "recordings" / "mine.json"
    assert json.loads(path.read_text())["precision"] == "f32"
    assert np.array_equal(rendered(path)[:, 4321:], heard)
    with pytest.raises(SopiError, match="precision is 'half', expected one of auto, f32"):
        score.Score.from_dict({"messages": [], "precision": "half"})


def test_a_network_has_one_sound_rendered_at_a_time_and_none_that_fills_the_disk(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    performer, told = make(freewheel=False, folder=tmp_path)
    performer.handle("load", "one")
    wait_for(lambda: lines(told, "loaded"))
    performer.perform("render", "a", 3000, confined=True)
    with pytest.raises(SopiError, match="a sound is being rendered, expected render stop"):
        performer.perform("render", "b", 1, confined=True)
    performer.perform("render", "stop", confined=True)
    monkeypatch.setattr(score, "LEFT_FREE", 1 << 60)
    assert performer.handle("render", "c", 1)
    wait_for(lambda: lines(told, "error"))
    assert "that are to stay free" in lines(told, "error")[0]


def test_a_score_that_could_not_be_written_is_kept_until_it_can_be(make: Make, tmp_path: Path) -> None:
    performer, told = make(folder=tmp_path)
    play(performer, ("load", "one"), ("score", "start", "mine"))
    heard = play(performer, ("generate",), ("temperature", 0.7))
    shutil.rmtree(tmp_path / "recordings")
    (tmp_path / "recordings").touch()  # no folder
    play(performer, ("score", "stop"))
    assert "send score stop again" in lines(told, "error")[0]
    (tmp_path / "recordings").unlink()
    play(performer, ("score", "stop"))
    made = rendered(tmp_path / "recordings" / "mine.json")
    assert made.shape[1] == heard.shape[1] + 4321
    assert np.array_equal(made[:, 4321:], heard)


def test_a_rendering_that_is_given_up_leaves_no_file(make: Make, tmp_path: Path) -> None:
    performer, told = make(freewheel=False, folder=tmp_path)
    performer.handle("load", "one")
    wait_for(lambda: lines(told, "loaded"))
    performer.handle("render", "long", 3600)
    performer.handle("render", "short", 0.1)
    wait_for(lambda: lines(told, "progress"))
    performer.handle("render", "stop")
    wait_for(lambda: performer.maker._thread is None)
    assert [line for line in lines(told, "warning") if "recordings/long.wav was stopped" in line]
    assert not list((tmp_path / "recordings").glob("*"))


@pytest.mark.usefixtures("pd_models")
def test_a_score_that_was_played_in_pd_renders_there_to_the_same_samples(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.print(box, 1, "status")
    patch.at(20, "score start mine, record start mine, generate", box)
    patch.at(133.3, "temperature 0.8 100, seed 7", box)
    patch.at(250, "load other", box)
    patch.at(400, "score stop, record stop", box)
    patch.at(450, "render again mine.json", box)
    patch.quit(500)
    result = run(patch.write(tmp_path / "p.pd"))
    assert "rendered recordings/again.wav 0.38" in result.printed("status"), result.out
    first, again = (soundfile.read(tmp_path / "recordings" / f"{name}.wav")[0] for name in ("mine", "again"))
    assert len(first) == len(again) == 18240
    assert first.any()
    assert np.array_equal(first, again)
