"""What a performer says that it is set to is what sounds, and what it was asked to keep is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from performing import lines, wait_for

from sopilib.hosts import FileHost
from sopilib.live import Performer
from sopilib.live import gestures as live_gestures
from sopilib.osc import Instances

Make = Callable[..., tuple[Performer, list[Any]]]
RATE = 16000


def playing(make: Make, *messages: tuple[Any, ...], **options: Any) -> tuple[Performer, list[Any]]:
    performer, told = make(rate=RATE, **options)
    for message in (("load", "one"), *messages, ("generate",)):
        assert performer.handle(*message), told
    return performer, told


class Gate:
    """Holds up loading until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        open_model = live_gestures.open_model

        def held(*given: Any) -> Any:
            self.open.wait(30)
            return open_model(*given)

        monkeypatch.setattr(live_gestures, "open_model", held)


# ---------------------------------------------------------------- what is told is what sounds


@pytest.mark.parametrize("meanwhile", ["silence", "input", "old"])
def test_a_snapshot_that_is_recalled_while_the_model_listens_is_heard(make: Make, meanwhile: str) -> None:
    performer, told = playing(make, ("snapshot", "store", 1))
    performer.read(RATE)
    performer.handle("listen", 1, meanwhile)
    performer.read(RATE // 2, np.zeros((1, RATE // 2), np.float32))
    performer.handle("snapshot", "recall", 1)
    assert lines(told, "listen")[-1] == (0, "silence")
    performer.read(RATE // 2, np.zeros((1, RATE // 2), np.float32))
    assert performer.read(RATE // 2, np.ones((1, RATE // 2), np.float32)).std() > 0.01
    again, _ = playing(make, ("snapshot", "store", 1))
    again.read(RATE)
    again.read(RATE // 2)
    again.handle("snapshot", "recall", 1)
    again.read(RATE // 2)
    performer.read(RATE), again.read(RATE // 2 + RATE)
    assert np.array_equal(performer.read(RATE), again.read(RATE))


def test_what_is_set_for_a_voice_before_the_model_is_there_is_heard_from_its_first_sample_on(make: Make) -> None:
    performer, told = make(rate=RATE, outputs=2)
    messages: list[tuple[Any, ...]] = [("voices", 2), ("voice", 2, "gain", 0), ("load", "one"), ("generate",)]
    for message in messages:
        assert performer.handle(*message), told
    performer.read(RATE)
    first, second = performer.read(RATE)
    assert first.std() > 0.01
    assert not second.any()
    performer.handle("unload")
    performer.read(RATE)
    for message in messages[2:]:
        performer.handle(*message)
    performer.read(RATE)
    assert performer.read(RATE).std(1)[0] > 0.01
    assert not performer.read(RATE)[1].any()


def test_a_voice_keeps_its_own_seed_when_another_model_is_loaded(make: Make) -> None:
    performer, told = playing(make, ("voices", 2), ("voice", 2, "seed", 7), ("load", "one"), outputs=2)
    performer.handle("voice", 2, "seed?")
    assert lines(told, "voice")[-1][:3] == (2, "seed", 7)
    again, _ = playing(make, ("voices", 2), ("load", "one"), ("voice", 2, "seed", 7), outputs=2)
    others, _ = playing(make, ("voices", 2), ("load", "one"), outputs=2)
    for each in (performer, again, others):
        each.read(RATE)
    heard = performer.read(RATE)
    assert np.array_equal(heard, again.read(RATE))
    assert not np.array_equal(heard[1], others.read(RATE)[1])


@pytest.mark.parametrize("back", [(), (("blend-mode", "audio"),), (("blend-mode", "audio"), ("load2", "off"))])
def test_a_voice_keeps_its_own_seed_when_two_models_become_one_music_and_two_again(
    make: Make, back: tuple[tuple[Any, ...], ...]
) -> None:
    together = (("load2", "one"), ("blend-mode", "logits"), *back)
    performer, told = playing(make, ("voices", 2), ("voice", 2, "seed", 7), *together, outputs=2)
    performer.handle("voice", 2, "seed?")
    assert lines(told, "voice")[-1][:3] == (2, "seed", 7)
    again, _ = playing(make, ("voices", 2), *together, ("voice", 2, "seed", 7), outputs=2)
    others, _ = playing(make, ("voices", 2), *together, outputs=2)
    for each in (performer, again, others):
        each.read(RATE)
    heard = performer.read(RATE)
    assert np.array_equal(heard, again.read(RATE))
    assert not np.array_equal(heard[1], others.read(RATE)[1])


@pytest.mark.parametrize(("message", "query", "ended"), [
    (("listen", 1), "listen", (0, "silence")), (("freeze", 100), "freeze", 0.0),
])  # fmt: skip
def test_what_another_sample_rate_of_the_host_ended_is_told_as_ended(
    make: Make, message: tuple[Any, ...], query: str, ended: Any
) -> None:
    performer, told = playing(make)
    performer.read(RATE)
    performer.handle(*message)
    performer.read(RATE)
    performer.host(RATE * 2, 64)
    performer.read(RATE)
    wait_for(lambda: lines(told, "error"), 10)
    wait_for(lambda: lines(told, query)[-1] == ended, 10)
    performer.handle(query + "?")
    assert lines(told, query)[-1] == ended


def test_a_guard_that_this_backend_cannot_have_is_told_as_off(make: Make) -> None:
    performer, told = playing(make, backend="torch")
    performer.read(2000)
    performer.handle("guard", "reprime")
    performer.read(2000)
    wait_for(lambda: lines(told, "guard")[-1] == "off", 10)
    assert performer.state["guard"] == "off"
    assert "this backend can't go back" in lines(told, "error")[-1]


def test_a_model_that_finds_no_room_in_the_queue_is_not_said_to_play(make: Make) -> None:
    performer, told = make(freewheel=False)
    performer.read(64)
    while performer.handle("kick", 0.5):
        pass
    for line in ("load one: too many commands", "load2 two: too many commands"):
        performer.handle(*line.split(":")[0].split())
        wait_for(lambda line=line: lines(told, "error")[-1].startswith(line), 10)
    assert performer.state.model is None
    assert performer.state.model2 is None
    assert performer.music.engine is None
    assert "model" not in [event[0] for event in told]


@pytest.mark.parametrize("known", [True, False], ids=["DSP was on", "DSP was never on"])
def test_knobs_that_are_turned_all_the_time_while_dsp_is_off_fill_nothing_and_the_newest_value_counts(
    known: bool, make: Make
) -> None:
    def played(turns: int) -> np.ndarray:
        performer, told = make(rate=RATE if known else None)
        performer.handle("load", "one")
        performer.handle("generate")

        def turn_to(*message: Any) -> None:  # far faster than a hand: a busy machine may have no room yet
            wait_for(lambda: performer.handle(*message), 10)

        for turn in range(turns, 0, -1):
            for knob, value in (("temperature", 0.5), ("gain", 0.3), ("pan", 0.2)):
                turn_to(knob, value + 0.01 * (turn - 1) % 0.5)
            turn_to("voice", 1, "gain", 0.7, turn % 2)  # with a ramp, which begins at the value before
        performer.handle("gain", 0.9, 100)
        performer.host(RATE, 64)
        sound = performer.read(RATE)
        assert not [error for error in lines(told, "error") if "too many commands" not in error]
        return sound

    np.testing.assert_array_equal(played(3000), played(2))


def test_osc_knows_no_model_after_unload(make: Make) -> None:
    performer, _ = make()
    instance = Instances().add(performer)
    performer.handle("load", "one")
    assert instance.told["model"][1] == ("one", RATE)
    performer.handle("unload")
    assert "model" not in instance.told


# ---------------------------------------------------------------- the settings


def test_a_load_that_fails_late_takes_nothing_from_the_newer_one(
    make: Make, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = models / "broken.safetensors"
    broken.write_bytes(b"broken")
    performer, told = make(freewheel=False)
    gate = Gate(monkeypatch)
    performer.handle("load", str(broken))
    with performer.lock:
        gate.open.set()
        time.sleep(0.3)  # the failure waits for the lock
        gate.open.clear()
        performer.handle("load", "one")
    time.sleep(0.3)
    assert performer.settings()["model"] == "one"
    gate.open.set()
    wait_for(lambda: lines(told, "loaded"))
    broken.unlink()


def test_a_load_that_is_refused_leaves_the_one_before_it_going_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    performer, told = make(freewheel=False)
    gate = Gate(monkeypatch)
    performer.handle("load", "one")
    time.sleep(0.1)
    performer.snapshots.slots[1] = None  # type: ignore[assignment]  # so that there is something to save
    while performer.handle("snapshot", "save", "x"):
        pass
    assert not performer.handle("load", "two")
    assert "try it later" in lines(told, "error")[-1]
    assert performer.settings()["model"] == "one"
    performer.loader.drop("snapshot save")
    gate.open.set()
    wait_for(lambda: lines(told, "loaded"))
    assert performer.state.model == "one"


def test_settings_are_told_to_have_changed_when_a_load_begins_since_they_name_its_model(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    performer, told = make(freewheel=False)
    changed: list[str] = []
    performer.watch_settings(changed.append)
    gate = Gate(monkeypatch)
    performer.handle("load", "one")
    assert performer.settings()["model"] == "one"
    assert changed == ["model"]
    gate.open.set()
    wait_for(lambda: lines(told, "loaded"))
    assert changed == ["model"]


# ---------------------------------------------------------------- in the background


def test_stop_gives_up_a_generate_of_the_course_that_waits_for_its_model(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = {"sound1": np.zeros(10, np.float32)}

    def write(name: str, sound: np.ndarray) -> bool:
        arrays[name] = sound
        return True

    performer, told = make(freewheel=False, arrays=arrays.get, write_array=write)
    gate = Gate(monkeypatch)
    performer.handle("load", "one")
    performer.handle("generate", "--out", "sound1", "--dur", 0.1)
    performer.handle("stop")
    assert "generate sound1 was stopped, nothing was written" in lines(told, "warning")
    gate.open.set()
    wait_for(lambda: lines(told, "loaded"))
    time.sleep(0.3)
    assert len(arrays["sound1"]) == 10
    assert not lines(told, "generated")


def test_unload_ends_no_saving_and_tells_what_it_ends(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    performer, told = playing(make, ("snapshot", "store", 1), folder=tmp_path)
    performer.read(RATE)
    performer.handle("freewheel", 0)
    gate = Gate(monkeypatch)
    performer.handle("load", "two")
    performer.handle("snapshot", "save", "kept")
    performer.handle("unload")
    gate.open.set()
    wait_for(lambda: (tmp_path / "kept.snapshots.safetensors").is_file(), 10)
    assert "load two was dropped for unload" in lines(told, "warning")


def test_snapshots_of_the_same_model_loaded_again_are_saved_with_the_others(make: Make, tmp_path: Path) -> None:
    performer, told = playing(make, ("snapshot", "store", 1), folder=tmp_path)
    performer.read(RATE)
    for message in (("load", "one"), ("snapshot", "store", 2)):
        performer.handle(*message)
    performer.read(RATE)
    assert performer.handle("snapshot", "save", "both"), told
    fresh, said = playing(make, folder=tmp_path)
    assert fresh.handle("snapshot", "load", "both"), said
    assert sorted(fresh.snapshots.slots) == [1, 2]


def test_saving_snapshots_keeps_those_of_the_newest_model_and_tells_which_it_leaves_out(
    make: Make, tmp_path: Path
) -> None:
    performer, told = playing(make, ("snapshot", "store", 1), ("snapshot", "store", 2), folder=tmp_path)
    performer.read(RATE)
    performer.handle("load", "two")
    performer.handle("snapshot", "store", 1)
    performer.read(RATE)
    assert performer.handle("snapshot", "save", "newest"), told
    assert "snapshot save newest leaves out slot 2, which is of the model one" in lines(told, "warning")
    assert performer.handle("snapshot", "load", "newest"), told
    assert not lines(told, "error")


def test_a_watcher_may_have_a_model_loaded_in_freewheel_while_another_is_loading(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    performer, told = make(freewheel=False)
    sent: list[bool] = []

    def watcher(kind: str, *_: Any) -> None:
        if kind == "level" and not sent:
            sent.append(performer.handle("load2", "two"))

    gate = Gate(monkeypatch)
    performer.handle("load", "one")
    wait_for(lambda: performer.loader.doing("load"))
    performer.handle("freewheel", 1)
    performer.watch(watcher)
    threading.Thread(target=performer.teller.tell_changed, args=("level", 1.0), daemon=True).start()
    wait_for(lambda: sent, 5)
    gate.open.set()
    wait_for(lambda: lines(told, "loaded2"), 10)
    assert performer.state.model == "one"


# ---------------------------------------------------------------- a sound file as host


def test_sound_that_a_slow_disk_lost_is_told(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sopilib.hosts import file as host_file

    write = soundfile.SoundFile.write

    def slow(self: Any, data: Any) -> None:
        time.sleep(0.3)
        write(self, data)

    performer, _ = make(freewheel=False, rate=None)
    said: list[str] = []
    monkeypatch.setattr(host_file, "KEPT", 0.01)
    monkeypatch.setattr(soundfile.SoundFile, "write", slow)
    host = FileHost([performer], 48000, 1, tmp_path / "out.wav", said.append)
    wait_for(lambda: said, 10)
    host.close()
    assert len(said) == 1
    assert "the disk is too slow" in said[0]
