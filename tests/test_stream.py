"""The stream: the right sample at the right time, whoever is late, and never a click."""

import ctypes
import math
import random
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from stream_host import in_real_time
from stream_player import MODEL, Playing, Sine, Stalling, engine, fade_in, post, render, resample, start

from sopilib import Config, Engine, Model
from sopilib.native._native import PySource, Stream

# ---------------------------------------------------------------- the right samples


def test_what_sounds_is_what_the_engine_made():
    out = render(16000, start(engine(5).source), rate=16000)
    made = MODEL.decode(engine(5).generate(16000))[0]
    begin, fade = 320, 80
    assert not out[:begin].any()
    assert np.array_equal(out[begin + fade :], made[fade : 16000 - begin])


@pytest.mark.parametrize("rate", [44100, 48000, 16000])
@pytest.mark.parametrize("t", [4000, 4001, 4037])
def test_a_temperature_change_alters_nothing_before_t_plus_latency_and_then_at_once(rate, t):
    as_it_was = render(12000, start(engine().source), rate=rate)
    changed = render(12000, [*start(engine().source), (t, "temperature", 0.01)], rate=rate)
    first = np.flatnonzero(as_it_was != changed)[0]
    heard = t + round(0.02 * rate)
    assert heard <= first <= heard + 4 * rate / 16000  # one of the next few codes comes out differently


@pytest.mark.parametrize("command", [("seed", 9), ("gain", 0.5), ("play", False), ("swap", None)], ids=lambda c: c[0])
def test_every_command_takes_effect_at_t_plus_latency(command):
    for t in (3000, 3017):
        as_it_was = render(8000, start(engine().source))
        changed = render(8000, [*start(engine().source), (t, *command)])
        first = np.flatnonzero(as_it_was != changed)[0]
        assert t + 960 <= first <= t + 960 + 2


def test_the_block_size_and_the_pace_of_the_host_change_nothing():
    chance = random.Random(3)
    commands = start(engine(1).source)
    for _ in range(60):
        t = chance.randrange(100, 40000)
        commands.append(
            chance.choice(
                [
                    (t, "temperature", chance.uniform(0.1, 2), chance.uniform(0, 100)),
                    (t, "gain", chance.uniform(0, 2), chance.uniform(0, 100)),
                    (t, "seed", chance.randrange(100)),
                    (t, "play", chance.random() < 0.7),
                ]
            )
        )

    def with_own_source(**host):
        own = [(t, name, *(engine(1).source if name == "swap" else a for a in rest)) for t, name, *rest in commands]
        return render(48000, own, rate=44100, **host)

    reference = with_own_source()
    assert np.abs(reference).max() > 0.1
    for block in (16, 256, 882):
        assert np.array_equal(reference, with_own_source(block=block))


def test_real_time_and_freewheel_give_the_same_samples_while_the_engine_stumbles():
    chance = random.Random(1)
    commands: list[Any] = [(t, "temperature", chance.uniform(0.2, 1.5), 10) for t in range(500, 60000, 960)]
    commands += [(20011, "seed", 4), (30000, "play", False), (33333, "play", True)]
    expected = render(72000, [*start(engine().source), *commands], latency=0.2)

    def attempt():
        stumbles = Stalling(engine(), lambda _: chance.choice([0, 0, 0, 0.004]))
        with Playing(latency=0.2, freewheel=False) as playing:
            heard = playing.render(72000, [*start(PySource(stumbles)), *commands], speed=1)[0]
            stats = playing.stream.stats()
        assert stats["underruns"] == 0
        assert stats["late"] == 0
        assert np.array_equal(heard, expected)

    in_real_time(attempt)


def test_a_seed_gives_the_same_music_wherever_it_is_sent():
    out = render(40000, [*start(engine().source), (3000, "seed", 7), (20003, "seed", 7)], rate=44100)
    first, second = out[3000 + 882 :], out[20003 + 882 :]
    fade = 221
    assert np.array_equal(first[fade:15000], second[fade:15000])


def test_stopping_and_starting_goes_on_with_the_music():
    out = render(16000, [*start(engine(2).source), (4000, "play", False), (8000, "play", True)], rate=16000)
    made = MODEL.decode(engine(2).generate(16000))[0]
    assert not out[4320 + 80 : 8320].any()
    resumed = out[8320 + 80 : 12000]
    # the 80 samples that faded out were the music's too
    assert np.array_equal(resumed, made[4000 + 160 : 4000 + 160 + len(resumed)])


def test_a_temperature_ramp_is_linear_in_time():
    seen = []

    class Watching(Stalling):
        def generate(self, n, temperature, **sampling):
            seen.extend(np.asarray(temperature)[0])
            return self.inner.generate(n, temperature, **sampling)

    commands = [*start(PySource(Watching(engine(), None))), (1000, "temperature", 2.0, 100)]
    render(6000, commands, rate=16000)
    at = 1000 - 0  # the model's sample number: it began at 320, and the ramp at 1320
    assert seen[at - 1] == 1
    assert np.allclose(seen[at : at + 1600], 1 + np.arange(1600) / 1600, atol=1e-6)
    assert seen[at + 1600] == 2


def test_voices_are_channels():
    two = Engine(MODEL, voices=2, precision="int8")
    two.reset(3)
    with Playing(rate=16000, channels=2) as playing:
        out = playing.render(4000, start(two.source))
    two.reset(3)
    made = MODEL.decode(two.generate(4000))
    assert np.array_equal(out[:, 400:], made[:, 80 : 80 + 3600])


def test_ticks_are_at_the_first_sample_of_each_bottom_frame():
    with Playing(rate=44100) as playing:
        playing.render(4410, start(engine().source))
        ticks = playing.stream.ticks(4000)
    assert ticks == [882 + math.ceil(4 * k * 44100 / 16000) for k in range(len(ticks))]
    assert len(ticks) > 250


def test_a_shorter_latency_overtakes_no_earlier_command():
    commands = [*start(engine().source), (2000, "latency", 100), (9000, "latency", 20), (9010, "gain", 0.0)]
    with Playing(rate=16000) as playing:
        out = playing.render(16000, commands)[0]
        assert playing.stream.stats()["late"] == 0
    assert out[9000 + 1600 - 10 : 9000 + 1600].any()
    assert not out[9000 + 1600 :].any()


# ---------------------------------------------------------------- never a click


def test_no_command_clicks():
    chance = random.Random(8)
    commands = start(PySource(Sine()))
    for t in range(2000, 150000, 700):
        what = chance.choice(["play", "seed", "swap"])
        argument = {"play": chance.random() < 0.7, "seed": chance.randrange(50), "swap": PySource(Sine())}[what]
        commands.append((t + chance.randrange(300), what, argument))
    out = render(160000, commands)
    fade = 0.5 * math.pi / 240  # of the fade's own: full scale over 5 ms at 48 kHz, raised cosine
    assert np.abs(np.diff(out)).max() < 1.1 * (Sine.slope / 3 + fade)
    assert np.abs(out).max() < 0.52


def test_a_swap_crossfades_from_the_old_sound_to_the_new():
    other = Model.random(Config(frame_sizes=[2, 8], dim=16, mlp_dim=16, sample_rate=22050), seed=4)
    new = Engine(other, precision="int8")
    new.reset(0)
    old_alone = render(9600, start(engine().source))
    out = render(9600, [*start(engine().source), (4000, "swap", new.source, 20)])
    h, n = 4960, 960
    assert np.array_equal(out[:h], old_alone[:h])
    new.reset(0)
    made = other.decode(new.generate(4000))[0]
    made[:441] *= fade_in(441)
    expected = resample(made, 22050, 48000)[: len(out) - h]
    expected[:n] += old_alone[h : h + n] * (1 - fade_in(n))
    assert np.allclose(out[h:], expected, atol=1e-6)
    assert np.array_equal(out[h + n :], expected[n:])


# ---------------------------------------------------------------- when things go wrong


def test_an_underrun_fades_is_counted_and_loses_no_music():
    def attempt():
        stalling = Stalling(Sine(), lambda call: 0.3 if call == 150 else 0)
        with Playing(rate=16000, freewheel=False) as playing:
            out = playing.render(16000, start(PySource(stalling)), speed=1)[0]
            stats = playing.stream.stats()
        assert stats["underruns"] >= 1
        assert stats["missing"] > 1600
        assert np.abs(np.diff(out)).max() < Sine.slope + 0.02
        assert np.abs(out[-1600:]).max() > 0.45  # sound is back
        # the tone goes on where it was: the same period, no matter how long the gap
        made = Sine.model.decode(Sine().generate(16000, None))[0]
        tail = out[-400:]
        assert np.abs(tail - np.stack([made[i : i + 400] for i in range(107)])).max(1).min() < 0.01

    in_real_time(attempt)


def test_after_an_underrun_commands_are_heard_in_time_again():
    def attempt():
        stalling = Stalling(Sine(), lambda call: 0.2 if call == 50 else 0)
        with Playing(rate=16000, freewheel=False, latency=0.1) as playing:
            playing.render(12000, start(PySource(stalling)), speed=1)
            t = playing.stream.now
            out = playing.render(4000, [(t, "gain", 0.0)], speed=1)[0]
        assert out[1590:1600].any()
        assert not out[1600:].any()

    in_real_time(attempt)


def test_a_command_that_comes_too_late_takes_effect_at_once_and_is_counted():
    with Playing() as playing:
        playing.render(9600, start(engine().source))
        playing.stream.post("gain", 100, 0.0)
        out = playing.render(4800)[0]
        stats, events = playing.stream.stats(), playing.stream.events()
        (position, by), *more = playing.stream.late_commands()
    assert not out[2000:].any()
    assert stats["late"] == 1 and not more
    assert position - by == 100 + 960 and by == stats["worst_late"]
    assert stats["worst_late"] >= 9600 - 100 - 960
    assert events == []


def test_an_engine_that_fails_is_told_and_the_stream_stays_usable():
    class Failing(Sine):
        def generate(self, n, temperature, **sampling):
            if self.at > 3000:
                raise RuntimeError("out of tune")
            return super().generate(n, temperature, **sampling)

    with Playing(rate=16000) as playing:
        out = playing.render(8000, start(PySource(Failing())))[0]
        assert np.abs(np.diff(out)).max() < Sine.slope + 0.02
        assert not out[-3000:].any()
        errors = [value for _, kind, value in playing.stream.events() if kind == "error"]
        assert errors == ["RuntimeError: out of tune"]
        again = playing.render(4000, [(playing.stream.now, "swap", engine().source)])[0]
        assert again[1000:].any()


def test_the_torch_engine_plays_the_same_music():
    from sopilib.engine import Engine as AnyEngine

    native = AnyEngine(MODEL, precision="f32")
    native.reset(6)
    torch = AnyEngine(MODEL, backend="torch")
    torch.reset(6)
    a = render(1600, start(native.source), rate=16000)
    b = render(1600, start(PySource(torch)), rate=16000)
    assert np.mean(a == b) > 0.9  # f32 sums may round to another code now and then


def test_commands_are_refused_in_words():
    stream = Stream()
    for wrong in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature is"):
            stream.post("temperature", 0, wrong)
    with pytest.raises(ValueError, match="latency is"):
        stream.post("latency", 0, 0.0)
    with pytest.raises(ValueError, match="channels"):
        Stream(0)
    with pytest.raises(RuntimeError, match="is the host's audio off"):
        for _ in range(10000):
            stream.post("gain", 0, 1.0)


# ---------------------------------------------------------------- coming and going


def test_closing_is_quick_may_be_repeated_and_frees_a_waiting_host():
    def attempt():
        stream = Stream(freewheel=True)
        stream.start()
        stream.host(48000, 64)
        post(stream, "swap", 0, PySource(Stalling(Sine(), lambda _: 0.3)))
        stream.post("play", 0, True)
        begin = time.monotonic()
        assert stream.close(2.0)
        assert stream.close(2.0)
        assert time.monotonic() - begin < 10  # not for ever
        assert stream.read(256).shape == (1, 256)  # waits for nobody

    in_real_time(attempt)


def test_a_ring_outlives_its_stream():
    stream = Stream()
    ring = stream.ring
    del stream
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    assert ctypes.c_uint32.from_address(pointer(ring, b"sopilib.ring.1")).value == 0x534F5052


@pytest.mark.parametrize("end", ["pass", "sys.exit(0)", "ctypes.CDLL(None).exit(0)", "ctypes.PyDLL(None).exit(0)"])
@pytest.mark.parametrize("source", ["engine().source", "PySource(Stalling(engine(), lambda _: 0.001))"])
def test_a_process_that_ends_while_sounding_ends_at_once(end, source):
    code = f"""
import ctypes, sys, threading, time
sys.path.insert(0, {__file__.rsplit("/", 1)[0]!r})
from stream_player import *
stream = Stream(); stream.start(); stream.host(48000, 64)
post(stream, "swap", 0, {source}); stream.post("play", 0, True)
for _ in range(50): stream.read(64); time.sleep(0.001)
print("ending", time.time(), flush=True)
{end}
"""

    def attempt():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        ended = time.time()
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert ended - float(done.stdout.split()[-1]) < 10  # not for ever

    in_real_time(attempt)


def test_many_streams_come_and_go():
    for k in range(30):
        stream = Stream(freewheel=bool(k % 2))
        stream.start()
        stream.host(48000, 64)
        for _ in range(5):
            post(stream, "swap", 0, engine().source)
        stream.post("play", 0, True)
        stream.read(2048)
        if k % 3:
            assert stream.close()
