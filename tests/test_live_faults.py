"""What went wrong once while somebody played, and what holds since: the names say the promise."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pytest
from performing import lines, wait_for
from small_disk import no_file_above

import sopilib
from sopilib.errors import SopiError
from sopilib.hosts import FileHost
from sopilib.live import Performer
from sopilib.live import music as live_music

Make = Callable[..., tuple[Performer, list[Any]]]
RATE = 16000


def playing(make: Make, *messages: tuple[Any, ...], **options: Any) -> tuple[Performer, list[Any]]:
    performer, told = make(rate=RATE, **options)
    for message in (("load", "one"), *messages, ("generate",)):
        assert performer.handle(*message), told
    return performer, told


def own_threads(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(name)]


class Gate:
    """Holds up loading until it is opened, and counts who came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.paths: list[str] = []
        self.most_threads = 0
        load = sopilib.checkpoint.load

        def held(path: Any, **options: Any) -> Any:
            self.paths.append(str(path))
            self.open.wait(30)
            return load(path, **options)

        monkeypatch.setattr(live_music.checkpoint, "load", held)
        monkeypatch.setattr(live_music, "_PACKED", WeakValueDictionary())  # nothing is shared with what plays already


# ---------------------------------------------------------------- what goes with another moves with it


def test_the_second_model_is_still_heard_after_the_number_of_voices_has_changed(make: Make) -> None:
    performer, told = playing(make, ("load2", "two"), ("blend", 1), outputs=2)
    performer.read(RATE)
    before = performer.read(RATE)[0].std()
    performer.handle("voices", 2)
    performer.read(RATE // 2)
    after = performer.read(RATE)
    assert before > 0.01
    assert after.std(1).min() > 0.3 * before
    assert not lines(told, "error")


def test_a_second_model_that_was_there_before_the_first_has_its_voices_too(make: Make) -> None:
    performer, told = make(rate=RATE, outputs=2)
    for message in (("load2", "two"), ("voices", 2), ("load", "one"), ("blend-mode", "audio"), ("blend", 1)):
        assert performer.handle(*message), told
    performer.handle("generate")
    performer.read(RATE)
    assert performer.read(RATE).std(1).min() > 0.01
    assert performer.music.second is not None
    assert performer.music.second.voices == 2


def test_the_latency_is_told_again_in_frames_when_the_host_has_another_rate(make: Make) -> None:
    performer, told = make(rate=48000)
    performer.poll()
    told.clear()
    performer.host(16000, 64)
    performer.poll()
    assert lines(told, "latency") == [(20.0, 320)]


# ---------------------------------------------------------------- nothing of the user's is overwritten


def test_saving_snapshots_never_takes_the_place_of_a_recording(make: Make, tmp_path: Path) -> None:
    performer, told = playing(make, folder=tmp_path)
    performer.handle("record", "start")
    performer.read(4000)
    performer.handle("record", "stop")
    performer.read(4000)
    wait_for(lambda: lines(told, "recorded"))
    take = (tmp_path / "recordings" / "take-001.wav").read_bytes()
    performer.handle("snapshot", "store", 1)
    performer.read(4000)
    performer.perform("snapshot", "save", "take-001.wav", confined=True)
    assert (tmp_path / "recordings" / "take-001.wav").read_bytes() == take
    assert (tmp_path / "recordings" / "take-001.wav.snapshots.safetensors").is_file()
    assert lines(told, "snapshot")[-1] == ("save", "recordings/take-001.wav.snapshots.safetensors")
    performer.perform("snapshot", "load", "take-001.wav", confined=True)
    assert not lines(told, "error")


def test_a_file_that_holds_no_snapshots_is_left_alone(make: Make, models: Path, tmp_path: Path) -> None:
    performer, told = playing(make, ("snapshot", "store", 1), folder=tmp_path)
    performer.read(4000)
    model = (models / "one" / "one.safetensors").read_bytes()
    for content in (model, b"my notes"):
        (tmp_path / "mine.snapshots.safetensors").write_bytes(content)
        performer.handle("snapshot", "save", "mine.safetensors")
        assert (tmp_path / "mine.snapshots.safetensors").read_bytes() == content
    assert all("holds no snapshots, choose another name" in line for line in lines(told, "error"))
    assert len(lines(told, "error")) == 2


def test_a_recording_ends_in_wav_whatever_it_is_called(make: Make, tmp_path: Path) -> None:
    performer, told = playing(make, folder=tmp_path)
    performer.handle("record", "start", "tabla.safetensors")
    performer.read(4000)
    performer.handle("record", "stop")
    performer.read(4000)
    wait_for(lambda: lines(told, "recorded"))
    assert [file.name for file in (tmp_path / "recordings").iterdir()] == ["tabla.safetensors.wav"]


def test_serving_into_a_file_never_replaces_one(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out.wav").write_bytes(b"an earlier take")
    performer, _ = make(freewheel=False)
    with pytest.raises(SopiError, match="there is such a file already"):
        FileHost([performer], 48000, 1, tmp_path / "out.wav")
    assert (tmp_path / "out.wav").read_bytes() == b"an earlier take"


# ---------------------------------------------------------------- in the background


def test_what_is_stored_while_a_file_is_written_does_not_harm_it(make: Make, tmp_path: Path) -> None:
    performer, told = playing(make, freewheel=False, folder=tmp_path)
    wait_for(lambda: lines(told, "loaded"))
    performer.read(4000)
    performer.handle("snapshot", "store", 1)
    performer.handle("snapshot", "save", "slots")  # waits for the slot to be filled
    for slot in range(2, 20):
        performer.handle("snapshot", "store", slot)
        time.sleep(0.005)
    for _ in range(40):
        performer.read(400)
        time.sleep(0.025)
    wait_for(lambda: (tmp_path / "slots.snapshots.safetensors").is_file(), 5)
    assert not lines(told, "error")
    other, told_other = playing(make, ("snapshot", "load", "slots"), folder=tmp_path)
    assert not lines(told_other, "error")
    assert list(other.snapshots.slots) == [1], "what was there when it was asked for"


def test_sixty_loads_at_once_are_one_thread_and_the_newest_model(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    performer, told = make(freewheel=False, name="many")
    for i in range(60):
        performer.handle("load", ("one", "two")[i % 2])
    assert len(own_threads("many-loader")) == 1
    assert not [name for name in own_threads("many-load") if name != "many-loader"]
    gate.open.set()
    wait_for(lambda: lines(told, "loaded"))
    assert lines(told, "loaded") == [("two", 22050)]
    assert len(gate.paths) <= 2, "perhaps the first, and of the others the newest"
    wait_for(lambda: not own_threads("many-loader"))


def test_too_much_to_be_done_in_the_background_is_refused_in_one_line(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    performer, told = make(freewheel=False, name="busy")
    performer.handle("load", "one")
    for i in range(60):
        performer.handle("snapshot", "load", f"file{i}")
    refused = lines(told, "error")
    assert refused
    assert all(line.endswith("things are waiting to be done already, try it later") for line in refused)
    gate.open.set()
    wait_for(lambda: lines(told, "loaded"))


@pytest.mark.parametrize("by", [("voices", 2), ("seed", 5), ("load", "two")])
def test_a_priming_that_something_else_replaces_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch, by: tuple[Any, ...]
) -> None:
    gate = Gate(monkeypatch)
    performer, told = make(freewheel=False, arrays=lambda name: np.zeros(4800))
    performer.handle("load", "one")
    performer.handle("seed", "array1")
    performer.handle(*by)
    words = " ".join(map(str, by))
    assert f"seed array1 was dropped for {words}" in lines(told, "warning")
    gate.open.set()
    wait_for(lambda: performer.loading is None)
    assert not lines(told, "primed")


def test_what_changes_is_told_for_ever_even_if_a_look_at_it_fails(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    performer, told = make(freewheel=False)
    look, failing = performer.teller.look, [True]

    def fails() -> None:
        if failing[0]:
            raise OSError("no more of it")
        look()

    monkeypatch.setattr(performer.teller, "look", fails)
    wait_for(lambda: lines(told, "error"))
    time.sleep(0.3)
    assert lines(told, "error") == ["the status can't be told: OSError: no more of it"], "once"
    told.clear()
    failing[0] = False
    performer.teller.tell_everything()
    wait_for(lambda: lines(told, "level"))
    assert own_threads("samplernn-status")


def test_a_full_disk_is_told_and_the_sound_goes_on(make: Make, tmp_path: Path) -> None:
    performer, told = make(freewheel=False, rate=None)
    performer.handle("report", 50)
    said: list[str] = []
    with no_file_above(20000):
        host = FileHost([performer], 48000, 1, tmp_path / "out.wav", said.append)
        performer.handle("load", "one")
        performer.handle("generate")
        wait_for(lambda: said)
    wait_for(lambda: any(level > -60 for level in lines(told, "level")))
    host.close()
    assert len(said) == 1
    assert "out.wav: could not be written (File too large)" in said[0]


# ---------------------------------------------------------------- nothing waits for nothing


def in_time(*threads: threading.Thread) -> bool:
    for thread in threads:
        thread.join(10)
    return not any(thread.is_alive() for thread in threads)


def test_an_array_may_be_asked_for_on_a_thread_that_sends_messages_itself(make: Make) -> None:
    """As Pd's: a message by OSC reads an array, for which Pd's thread must come, while that makes a box."""
    begun, sent = threading.Event(), threading.Event()

    def arrays(name: str) -> np.ndarray:
        begun.set()
        assert sent.wait(5), "the other thread waits for the lock"
        return np.zeros(4800, np.float32)

    performer, told = make(arrays=arrays)
    performer.handle("load", "one")
    asking = threading.Thread(target=lambda: performer.handle("seed", "array1"), daemon=True)
    asking.start()
    assert begun.wait(5)

    def send() -> None:
        performer.handle("gain", 0.5)
        sent.set()

    other = threading.Thread(target=send, daemon=True)
    other.start()
    assert in_time(asking, other)
    assert lines(told, "primed") == [("array1", 100)]
    assert not lines(told, "error")


@pytest.mark.parametrize("freewheel", [True, False])
def test_an_array_may_be_written_on_a_thread_that_sends_messages_itself(make: Make, freewheel: bool) -> None:
    wrote: list[int] = []

    def write(name: str, sound: np.ndarray) -> bool:
        other = threading.Thread(target=lambda: performer.handle("gain", 0.5), daemon=True)
        other.start()
        wrote.append(len(sound))
        return in_time(other)

    performer, told = make(arrays=lambda name: np.zeros(10), write_array=write, freewheel=freewheel)
    performer.handle("load", "one")
    performer.handle("generate", "--dur", 0.1, "--out", "sound1", "--out_sr", 16000)
    wait_for(lambda: lines(told, "generated"))
    assert wrote == [1600]


@pytest.mark.parametrize(
    "message",
    [
        ("load", "x" * 5000),
        ("load", "no\0name"),
        ("load", "\ud800"),
        ("seed", "x" * 5000),
        ("seed", "no\0name"),
        ("seed", "\ud800"),
        ("record", "start", "x" * 5000),
        ("record", "start", "no\0name"),
        ("record", "start", "\ud800"),
        ("snapshot", "save", "x" * 5000),
        ("snapshot", "load", "no\0name"),
        ("snapshot", "save", "\ud800"),
    ],
    ids=str,
)
def test_a_name_that_no_file_can_have_is_one_line(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], message: tuple[Any, ...]
) -> None:
    performer, told = playing(make, ("snapshot", "store", 1), folder=tmp_path)
    performer.read(4000)
    performer.handle(*message)
    (line,) = lines(told, "error")
    assert "\n" not in line
    assert "Traceback" not in capsys.readouterr().err
    assert performer.read(4000).any()
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device"), UnicodeError("not so")])
def test_whatever_the_system_refuses_is_one_line_and_the_sound_goes_on(
    make: Make, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def refuse(name: str) -> np.ndarray:
        raise error

    performer, told = playing(make, arrays=refuse)
    assert performer.handle("seed", "array1") is False
    (line,) = lines(told, "error")
    assert line.startswith("seed: ")
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(SopiError):
        performer.perform("seed", "array1")
    assert performer.read(4000).any()


def test_a_performer_that_nobody_has_any_more_is_gone_with_its_threads(make: Make) -> None:
    performer = Performer(name="gone", freewheel=False)
    performer.handle("load", "one")
    performer.handle("snapshot", "load", "nothing")
    wait_for(lambda: not own_threads("gone-loader"))
    assert performer.state.model == "one"
    alive = weakref.ref(performer)
    del performer
    wait_for(lambda: alive() is None, 10)  # without the garbage collector
    wait_for(lambda: not own_threads("gone"), 10)


def test_a_turn_of_one_knob_tells_that_one_setting_and_no_other(make: Make) -> None:
    performer, _ = make()
    changed: list[str] = []
    performer.watch_settings(lambda *names: changed.extend(names))
    performer.handle("temperature", 0.5)
    performer.handle("pan", 0.5)
    performer.handle("kick", 0.5)
    performer.handle("top-k", 5)
    performer.handle("load", "one")
    assert changed == ["temperature", "pan", "top-k", "model"]
    assert performer.settings() == {
        "model": "one", "latency": 20.0, "gain": 1, "temperature": 0.5, "seed": 0, "top-k": 5, "pan": 0.5,
    }  # fmt: skip


# ---------------------------------------------------------------- the course's messages


class Course:
    """A performer with arrays, as Pd has them."""

    def __init__(self, make: Make, **options: Any) -> None:
        self.arrays: dict[str, np.ndarray] = {name: np.zeros(10, np.float32) for name in ("sound1", "sound2")}
        self.performer, self.told = make(arrays=self.arrays.get, write_array=self.write, **options)

    def write(self, name: str, sound: np.ndarray) -> bool:
        self.arrays[name] = sound
        return True

    def generate(self, *words: Any) -> np.ndarray:
        assert self.performer.handle("generate", "--out", "sound1", "--out_sr", 16000, *words), self.told
        return self.arrays["sound1"]


def test_each_generate_of_the_course_makes_new_sound_and_tells_how_to_have_it_again(make: Make) -> None:
    course = Course(make)
    course.performer.handle("load", "one")
    first, second = course.generate("--dur", 0.5), course.generate("--dur=0.5")
    assert len(first) == len(second) == 8000
    assert not np.array_equal(first, second)
    (*_, one), (*_, two) = lines(course.told, "generated")
    assert one != two
    assert np.array_equal(course.generate("--dur", 0.5, "--seed", one), first)
    assert np.array_equal(course.generate("--dur=0.5", f"--seed={two}"), second)


def test_worker_on_is_told_when_the_model_is_ready_and_not_if_it_cannot_be_loaded(
    make: Make, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    course = Course(make, freewheel=False)
    course.performer.handle("load", "--python", "p", "--", "--ckpt_dir", str(models / "one"))
    time.sleep(0.1)
    assert not lines(course.told, "worker")
    gate.open.set()
    wait_for(lambda: lines(course.told, "worker"))
    assert [event[0] for event in course.told if event[0] in ("loaded", "worker")] == ["loaded", "worker"]
    course.performer.handle("load", "--ckpt_dir", str(models / "nobody"))
    wait_for(lambda: lines(course.told, "error"))
    assert lines(course.told, "worker") == ["on"]


def test_unload_lets_the_model_go_and_another_can_be_loaded(make: Make) -> None:
    course = Course(make, rate=RATE)
    performer = course.performer
    for message in (("load", "one"), ("load2", "two"), ("generate",)):
        performer.handle(*message)
    assert performer.read(4000).any()
    assert performer.music.engine is not None
    engine = weakref.ref(performer.music.engine)
    assert performer.handle("unload")
    assert lines(course.told, "worker") == ["off"]
    assert engine() is None
    performer.read(4000)
    assert not performer.read(4000).any()
    performer.handle("generate", "--out", "sound1")
    assert lines(course.told, "error")[-1] == "generate: no model is loaded, load one first"
    performer.handle("generate")
    assert not performer.read(4000).any()
    performer.handle("load", "two")
    assert performer.read(8000).any()


def test_a_long_generate_tells_how_far_it_is_and_stop_ends_it_while_a_model_is_loaded(make: Make) -> None:
    course = Course(make, freewheel=False)
    performer, told = course.performer, course.told
    performer.handle("load", "one")
    wait_for(lambda: lines(told, "loaded"))
    performer.handle("generate", "--out", "sound1", "--dur", 600)
    wait_for(lambda: len(lines(told, "progress")) >= 2)
    first, second, *_ = lines(told, "progress")
    assert 0 <= first <= second <= 100
    performer.handle("load", "two")
    wait_for(lambda: len(lines(told, "loaded")) == 2)
    performer.handle("stop")
    assert "generate sound1 was stopped, nothing was written" in lines(told, "warning")
    wait_for(lambda: not own_threads("samplernn-maker"))
    assert len(course.arrays["sound1"]) == 10
    assert not lines(told, "generated")
