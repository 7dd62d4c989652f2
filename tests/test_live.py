"""The performer: what a player sends, hears, and is told."""

import ctypes
import gc
import math
import threading
import time
import weakref

import numpy as np
import pytest
import soundfile
from performing import lines, wait_for
from stream_host import NativeHost, in_real_time

import sopilib
from sopilib.live import COMMANDS, STATUS, Performer
from sopilib.live.gestures import GESTURES
from sopilib.live.messages import parse
from sopilib.sound import resample

# ---------------------------------------------------------------- the table


def test_every_command_is_a_knob_or_a_gesture_and_has_its_help():
    for name, command in COMMANDS.items():
        assert command.help.endswith(".")
        assert command.usage.startswith(name)
        assert name in GESTURES or len(command.native) == 1
    assert set(GESTURES) <= set(COMMANDS)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (("temperature", 0), "temperature: temperature is 0, expected a number from 0.01 to 5"),
        (("temperature", -1.5), "temperature: temperature is -1.5, expected a number from 0.01 to 5"),
        (("temperature", math.nan), "temperature: temperature is nan, expected a number from 0.01 to 5"),
        (("temperature", "hot"), "temperature: temperature is 'hot', expected a number from 0.01 to 5"),
        (("temperature", 1, -5), "temperature: ms is -5, expected a number from 0 to 3.6e+06 ms"),
        (("temperature", 1, 2, 3), "temperature: 3 arguments, expected temperature <temperature> [ms]"),
        (("gain", 5), "gain: gain is 5, expected a number from 0 to 4"),
        (("seed", 1.5), "seed: sound is 1.5, expected a whole number from 0 up, an array or a file"),
        (("generate", 2), "generate: on is 2, expected 0 or 1"),
        (("latency", 0), "latency: ms is 0, expected a number from 2 to 500 ms"),
        (("latency", 1000), "latency: ms is 1000, expected a number from 2 to 500 ms"),
        (("load",), "load: model is missing, expected a name or a path"),
        (("stop", 1), "stop: 1 arguments, expected stop"),
        (("seed", "nothing"), "seed nothing: no such array or file, expected a number, an array or a sound file"),
    ],
)
def test_a_wrong_message_is_one_clear_line_and_the_sound_goes_on(make, message, line):
    performer, told = make()
    performer.handle("load", "one")
    performer.handle("generate")
    performer.read(4800)
    assert performer.handle(*message) is False
    (error,) = lines(told, "error")
    assert error.startswith(line)
    assert "\n" not in error
    assert performer.read(4800).any()


def test_an_unknown_message_is_answered_with_those_that_exist(make):
    performer, told = make()
    performer.handle("tempreature", 1)
    assert lines(told, "error") == ["no message 'tempreature', did you mean temperature?"]


def test_numbers_of_any_kind_are_taken_as_the_same():
    for one in (1, 1.0, np.float32(1), np.int64(1)):
        assert parse("generate", [one])[1] == [1]
        assert parse("temperature", [one])[1] == [1.0, 0]
        assert parse("load", ["tabla", one])[1] == ["tabla 1"]


# ---------------------------------------------------------------- playing


def test_load_generate_and_hear(make):
    performer, told = make()
    performer.handle("load", "one")
    assert not performer.read(4800).any()
    performer.handle("generate")
    out = performer.read(48000)[0]
    assert not out[:960].any()
    assert out[1200:].std() > 0.01
    assert lines(told, "loaded") == [("one", 16000)]
    assert lines(told, "playing") == [1]
    performer.handle("stop")
    assert not performer.read(9600)[0][1200:].any()
    assert {event[0] for event in told} <= set(STATUS)


def test_generate_before_a_model_is_there_starts_when_it_is(make):
    performer, told = make()
    performer.handle("temperature", 0.5)
    performer.handle("seed", 3)
    performer.handle("generate")
    assert lines(told, "warning") == ["no model is loaded: the sound starts when one is, send load <name or path>"]
    performer.read(4800)
    performer.handle("load", "one")
    early = performer.read(9600)[0][960:]

    other, _ = make()
    for message in (("load", "one"), ("temperature", 0.5), ("seed", 3), ("generate",)):
        other.handle(*message)
    assert np.array_equal(early, other.read(9600)[0][960:])


def test_the_same_messages_give_the_same_sound_three_times(make):
    def take(threads):
        performer, _ = make(threads=threads, rate=44100)
        performer.handle("load", "one")
        performer.handle("seed", 11)
        performer.handle("generate")
        parts = [performer.read(5000)]
        performer.handle("temperature", 0.7, 50, t=performer.now + 17)
        parts.append(performer.read(5000))
        performer.handle("load", "two")
        parts.append(performer.read(20000))
        return np.concatenate(parts, 1)

    first = take(1)
    assert np.array_equal(first, take(1))
    assert np.array_equal(first, take(2))


def test_reset_and_seed_restart_the_music(make):
    performer, told = make()
    for message in (("load", "one"), ("seed", 5), ("generate",)):
        performer.handle(*message)
    first = performer.read(9600)[0][960 + 480 :]
    performer.handle("reset")
    assert np.array_equal(first, performer.read(9600)[0][960 + 480 :])
    assert lines(told, "seed") == [5, 5]


def test_the_torch_backend_can_be_heard_too(make):
    performer, told = make(rate=16000, backend="torch")
    performer.handle("load", "one")
    performer.handle("generate")
    assert performer.read(1600)[0][400:].any()
    performer.handle("load", "nobody")
    assert len(lines(told, "error")) == 1


def test_queries_answer(make):
    performer, told = make(rate=44100)
    performer.handle("latency?")
    performer.handle("temperature")
    performer.handle("gain?")
    performer.handle("freewheel?")
    performer.handle("models")
    assert told[:4] == [("latency", 20.0, 882), ("temperature", 1.0, 0.0), ("gain", 1.0, 0.0), ("freewheel", 1)]
    assert set(lines(told, "models")[0]) >= {"one", "two"}
    told.clear()
    performer.handle("load", "one")
    performer.handle("status")
    kinds = {event[0] for event in told}
    assert {"model", "playing", "temperature", "gain", "seed", "latency", "underruns", "late", "level"} <= kinds


def test_settings_travel_with_the_patch(make):
    performer, _ = make()
    for message in (("load", "two"), ("temperature", 0.8), ("gain", 0.5), ("seed", 9), ("latency", 40)):
        performer.handle(*message)
    saved = performer.settings()
    assert saved == {"model": "two", "temperature": 0.8, "gain": 0.5, "seed": 9, "latency": 40.0}
    other, told = make()
    other.restore(saved)
    assert other.settings() == saved
    assert not lines(told, "error")
    assert "two at 22050 Hz" in repr(other)


# ---------------------------------------------------------------- priming


def prime_and_listen(make, *message, **options):
    performer, told = make(**options)
    performer.handle("load", "one")
    performer.handle(*message)
    performer.handle("generate")
    return performer.read(9600)[0], told


def test_priming_with_an_array_or_a_file_makes_the_model_go_on_from_it(make, tmp_path):
    sound = (0.5 * np.sin(np.arange(48000) * 0.05)).astype(np.float32)
    soundfile.write(tmp_path / "sound.wav", sound, 48000, subtype="FLOAT")
    plain, _ = prime_and_listen(make, "seed", 0)
    by_array, told = prime_and_listen(make, "seed", "array1", arrays=lambda name: sound if name == "array1" else None)
    by_file, _ = prime_and_listen(make, "seed", str(tmp_path / "sound.wav"))
    in_folder, _ = prime_and_listen(make, "seed", "sound.wav", folder=tmp_path)
    part, told_part = prime_and_listen(make, "seed", "sound.wav", 100, 250.0, folder=tmp_path)
    assert lines(told, "primed") == [("array1", 1000)]
    assert lines(told_part, "primed") == [("sound.wav", 250)]
    assert np.array_equal(by_array, by_file)
    assert np.array_equal(by_array, in_folder)
    assert not np.array_equal(by_array, plain)
    assert not np.array_equal(by_array, part)

    model = sopilib.load("one")
    engine = sopilib.Engine(model, precision="int8")
    engine.reset(0)
    engine.prime(model.encode(np.clip(resample(sound, 48000, 16000), -1, 1))[None])
    made = model.decode(engine.generate(1600))[0]
    performer, _ = make(rate=16000)
    performer.handle("load", "one")
    performer.handle("seed", str(tmp_path / "sound.wav"))
    performer.handle("generate")
    assert np.array_equal(performer.read(1920)[0][320 + 80 :], made[80:1600])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("empty", "seed empty: it is empty, expected some sound"),
        ("broken", "seed broken: it holds values that are not finite"),
        ("short 500", "seed short: offset is 500 ms, expected less than its length of 100 ms"),
    ],
)
def test_an_array_that_cannot_prime_is_told(make, name, line):
    arrays = {"empty": np.zeros(0), "broken": np.full(100, np.nan), "short": np.zeros(4800)}
    performer, told = make(arrays=arrays.get)
    performer.handle("load", "one")
    performer.handle("seed", name.split()[0], *map(int, name.split()[1:]))
    assert lines(told, "error") == [line]


def test_a_file_that_is_no_sound_is_told(make, tmp_path):
    (tmp_path / "text.wav").write_text("not a sound")
    performer, told = make(folder=tmp_path)
    performer.handle("seed", "text.wav")
    performer.handle("load", "one")
    performer.handle("seed", "text.wav")
    first, second = lines(told, "error")
    assert first == "seed text.wav: no model is loaded, load one first"
    assert "not a readable sound file" in second


# ---------------------------------------------------------------- loading


def test_what_cannot_be_loaded_is_told_and_the_sound_goes_on(make, models, tmp_path):
    good = (models / "one" / "one.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(good[: len(good) // 2])
    (tmp_path / "other.safetensors").write_bytes(b"RIFF____WAVE" * 100)
    performer, told = make(folder=tmp_path)
    performer.handle("load", "one")
    performer.handle("generate")
    for name in ("nobody", "short.safetensors", "other.safetensors"):
        performer.handle("load", name)
        (line,) = lines(told, "error")
        assert line.startswith(f"load {name}: ")
        assert "\n" not in line
        told.clear()
        assert performer.read(4800)[0][1000:].any()
    assert performer.settings()["model"] == "one"


def test_of_two_loads_at_once_the_newest_wins(make):
    performer, told = make(freewheel=False)
    performer.handle("load", "one")
    performer.handle("load", "two")
    wait_for(lambda: lines(told, "loaded"))
    time.sleep(0.2)
    assert lines(told, "loaded") == [("two", 22050)]
    assert lines(told, "warning") == ["load one was dropped for load two"]
    assert performer.settings()["model"] == "two"


def test_loading_in_the_background_plays_without_a_gap(make, tmp_path):
    big = sopilib.Model.random(sopilib.Config(frame_sizes=[16, 64], dim=512), seed=0)
    sopilib.checkpoint.save(big, tmp_path / "big.safetensors")

    def attempt():
        performer, told = make(freewheel=False, rate=None, latency=0.05)
        host = NativeHost(performer.ring, 2 * 48000)
        host.start()
        performer.handle("load", "one")
        performer.handle("generate")
        wait_for(lambda: lines(told, "loaded"))
        performer.handle("load", str(tmp_path / "big.safetensors"))
        wait_for(lambda: len(lines(told, "loaded")) == 2)
        performer.handle("load", "two")
        wait_for(lambda: len(lines(told, "loaded")) == 3)
        host.join()
        assert performer.stream.stats()["underruns"] == 0
        sounding = np.flatnonzero(host.out)
        assert np.diff(sounding).max() < 480  # no silence after it began

    in_real_time(attempt)


def test_python_stuck_for_long_does_not_reach_the_sound(make):
    def take(performer, told, host):
        performer.handle("load", "one")
        wait_for(lambda: lines(told, "loaded"))
        performer.handle("generate", t=9600)
        host.start()
        for _ in range(4):
            ctypes.PyDLL(None).usleep(200000)  # keeps the GIL
            time.sleep(0.01)
        host.join()
        assert performer.stream.stats()["underruns"] == 0
        return host.out

    other, _ = make(latency=0.05)
    other.handle("load", "one")
    other.handle("generate", t=9600)
    expected = other.read(57600)[0]

    def attempt():
        performer, told = make(freewheel=False, rate=None, latency=0.05)
        heard = take(performer, told, NativeHost(performer.ring, len(expected)))
        assert np.array_equal(heard, expected)

    in_real_time(attempt)


# ---------------------------------------------------------------- what the host does


def test_messages_while_dsp_is_off_are_remarked_on_once(make):
    performer, told = make(freewheel=False)
    performer.handle("load", "one")
    wait_for(lambda: lines(told, "loaded"))
    time.sleep(1.1)
    performer.handle("generate")
    performer.handle("temperature", 0.9)
    assert lines(told, "warning") == ["DSP is off: generate is heard when it is on"]
    host = NativeHost(performer.ring, 9600)
    host.start()
    host.join()
    assert host.out.any()


def test_a_latency_below_what_the_host_takes_at_once_is_warned_of(make):
    performer, told = make(freewheel=False)
    performer.host(48000, 1024)
    performer.read(1024)
    performer.handle("latency", 5)
    wait_for(lambda: lines(told, "warning"))
    assert "latency 5 ms is below what this host takes at once (1024 frames)" in lines(told, "warning")[0]
    assert "at least 25 ms" in lines(told, "warning")[0]


def test_the_level_is_told(make):
    performer, told = make()
    performer.handle("report", 50)
    performer.handle("load", "one")
    performer.handle("generate")
    performer.read(9600)
    wait_for(lambda: any(level > -30 for level in lines(told, "level")))


def test_a_status_callback_that_fails_stops_nothing(make, capsys):
    performer, _ = make()
    performer.watch(lambda *event: 1 / 0)
    performer.handle("load", "one")
    performer.handle("generate")
    assert performer.read(9600).any()
    assert "ZeroDivisionError" in capsys.readouterr().err


# ---------------------------------------------------------------- the end


def test_closing_in_the_middle_of_a_load_is_quick_and_its_result_is_dropped(make, tmp_path):
    big = sopilib.Model.random(sopilib.Config(frame_sizes=[16, 64], dim=512), seed=0)
    sopilib.checkpoint.save(big, tmp_path / "big.safetensors")
    performer, told = make(freewheel=False)
    performer.handle("load", str(tmp_path / "big.safetensors"))
    time.sleep(0.02)
    begin = time.monotonic()
    performer.close()
    assert time.monotonic() - begin < 10  # not for ever
    time.sleep(0.5)
    assert not lines(told, "loaded")
    assert performer.handle("generate") is False


def test_a_forgotten_performer_leaves_no_thread_behind(make):
    performer = Performer()
    performer.handle("generate")
    gone = weakref.ref(performer)
    del performer
    gc.collect()
    wait_for(lambda: gone() is None)
    wait_for(lambda: not any(thread.name == "samplernn-status" for thread in threading.enumerate()))


def test_a_storm_of_messages_from_several_threads(make):
    performer, told = make(freewheel=False)
    host = NativeHost(performer.ring, 48000)
    host.start()

    def storm(seed):
        chance = np.random.default_rng(seed)
        messages = [
            lambda: ("temperature", chance.uniform(0.2, 2), 20),
            lambda: ("gain", chance.uniform(0, 1)),
            lambda: ("seed", int(chance.integers(1000))),
            lambda: ("generate", int(chance.integers(2))),
            lambda: ("load", chance.choice(["one", "two"])),
            lambda: ("latency", int(chance.integers(10, 60))),
            lambda: ("status",),
        ]
        for _ in range(150):
            performer.handle(*messages[chance.integers(len(messages))]())
            time.sleep(0.002)

    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    host.join()
    assert not lines(told, "error")
    assert np.isfinite(host.out).all()
