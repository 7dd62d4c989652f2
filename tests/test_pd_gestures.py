"""Gestures in real Pd: what comes in, several outlets, recordings, and the course's own messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from pd_host import Patch, Result, run

import sopilib
from sopilib.native._native import Envelope

pytestmark = pytest.mark.usefixtures("pd_models")
RATE = 16000  # of the models, and here of Pd: what is heard is then what the model made, bit for bit
LATENCY, FADE = 320, 80


def render(patch: Patch, folder: Path) -> Result:
    result = run(patch.write(folder / "patch.pd"), rate=RATE)
    assert result.code == 0, result.out
    assert not result.errors(), result.out
    return result


def played(folder: Path, name: str = "out") -> np.ndarray:
    return soundfile.read(folder / f"{name}.wav", dtype="float32")[0]


def engine_of(name: str, voices: int = 1) -> sopilib.Engine:
    return sopilib.Engine(sopilib.load(name), voices=voices, precision="int8")


def test_the_model_hears_what_comes_in_and_answers(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    sound = patch.obj("osc~ 220")
    quiet = patch.obj("*~ 0.4")
    patch.chain(sound, quiet, box)
    patch.at(100, "listen 1", box)
    patch.at(500, "listen 0", box)
    patch.print(box, 1, "status")
    patch.record(tmp_path / "in.wav", quiet, 800, rate=RATE)
    patch.record(tmp_path / "out.wav", box, 800, rate=RATE)
    patch.quit(830)
    result = render(patch, tmp_path)
    assert [line for line in result.printed("status") if line.startswith("listen")] == [
        "listen 1 silence",
        "listen 0 silence",
    ]
    engine = engine_of("small")
    engine.prime(engine.model.encode(played(tmp_path, "in")[1600:8000])[None])
    answer = engine.model.decode(engine.generate(4800))[0]
    out = played(tmp_path)
    assert not out[: 8000 + LATENCY].any()
    assert np.array_equal(out[8000 + LATENCY + FADE :], answer[FADE : 12800 - 8000 - LATENCY])


def test_the_second_inlet_is_the_temperature(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    signal = patch.obj("sig~ 0.3")
    patch.connect(signal, 0, box, 1)
    patch.at(0, "generate", box)
    patch.record(tmp_path / "out.wav", box, 300, rate=RATE)
    patch.quit(330)
    render(patch, tmp_path)
    made = sopilib.load("small").decode(engine_of("small").generate(4800, 0.3))[0]
    out = played(tmp_path)
    assert np.array_equal(out[LATENCY + FADE :], made[FADE : 4800 - LATENCY])


def test_each_voice_has_its_signal_outlet(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("pyext~ 1 1 2 3 samplernn_pd samplernn small")
    patch.at(0, "generate", box, 2)
    patch.at(0, "voice 2 temperature 0.4", box, 2)
    for voice in range(3):
        patch.record(tmp_path / f"{voice}.wav", box, 300, outlet=voice, rate=RATE)
    patch.quit(330)
    render(patch, tmp_path)
    temperature = np.array([[1], [0.4], [1]], np.float32)
    made = sopilib.load("small").decode(engine_of("small", 3).generate(4800, temperature))
    for voice in range(3):
        out = played(tmp_path, str(voice))
        assert np.array_equal(out[LATENCY + FADE :], made[voice, FADE : 4800 - LATENCY])


def test_an_envelope_is_written_in_a_message_box(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.at(0, "generate", box)
    patch.at(0, "temperature env [0.7 1.05] [0.2] [-2]", box)
    patch.record(tmp_path / "out.wav", box, 300, rate=RATE)
    patch.quit(330)
    render(patch, tmp_path)
    envelope = Envelope([0.7, 1.05], [0.2], [-2])
    temperature = np.array([[envelope.at(i / RATE) for i in range(4800)]], np.float32)
    made = sopilib.load("small").decode(engine_of("small").generate(4800, temperature))[0]
    assert np.array_equal(played(tmp_path)[LATENCY + FADE :], made[FADE : 4800 - LATENCY])


def test_a_recording_holds_every_sample(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    patch.at(0, "generate", box)
    patch.at(100, "record start mine", box)
    patch.at(20_000, "record stop", box)
    patch.print(box, 1, "status")
    patch.record(tmp_path / "out.wav", box, 20_200, rate=RATE)
    patch.quit(21_000)
    result = render(patch, tmp_path)
    assert "record start recordings/mine.wav" in result.printed("status")
    sound = soundfile.read(tmp_path / "recordings" / "mine.wav", dtype="float32")[0]
    assert np.array_equal(sound, played(tmp_path)[1600:320_000])


# The third example of the course's patch, with our names; Pd's files write its commas as \\\,
COURSE = (
    r"generate --out_sr 16000 --dur 1 --temp Env([0.7\\\,1.05]\\\,[1]\\\,[-2]) --out sound1 "
    r"--temp Env([0.8\\\,1\\\,0.7]\\\,[0.5\\\,0.5]\\\,[0\\\,0]) --out sound2"
)


def test_the_courses_own_messages_work(tmp_path: Path, pd_models: Path) -> None:
    patch = Patch()
    box = patch.obj("pyext samplernn_pd samplernn @detach 1")
    for name in ("sound1", "sound2", "sound3"):
        patch.obj(f"array define {name} 100")
    patch.print(box, 0, "status")
    patch.at(5, f"load --python /nowhere/bin/python -- --num_seqs 2 --ckpt_dir {pd_models}/small", box, 1)
    patch.at(50, "generate --out_sr 16000 --dur 1 --temp 0.8 --out sound3", box, 1)
    bang = patch.chain(patch.obj("loadbang"), patch.obj("delay 60"))
    patch.lines.append(f"#X msg 10 900 {COURSE};")
    patch.count += 1
    patch.connect(patch.chain(bang, patch.count - 1), 0, box, 1)
    writer = patch.obj("soundfiler")
    for name in ("sound1", "sound2", "sound3"):
        patch.at(100, f"write -wave -bytes 4 {tmp_path}/{name}.wav {name}", writer)
    patch.quit(120)
    result = render(patch, tmp_path)
    status = result.printed("status")
    assert "worker on" in status
    generated = [line.split() for line in status if line.startswith("generated")]
    assert [words[1:4] for words in generated] == [[name, "16000", "16000"] for name in ("sound3", "sound1", "sound2")]
    one, two, again = (int(words[4]) for words in generated)
    assert two == again, "both sounds of one message have its seed"
    assert one != two, "each message makes other sounds"
    model = sopilib.load("small")
    first, second = Envelope([0.7, 1.05], [1], [-2]), Envelope([0.8, 1, 0.7], [0.5, 0.5], [0, 0])
    temperature = np.array([[e.at(i / RATE) for i in range(RATE)] for e in (first, second)], np.float32)
    both, single = engine_of("small", 2), engine_of("small")
    both.reset(two)
    single.reset(one)
    made = model.decode(both.generate(RATE, temperature))
    assert np.array_equal(played(tmp_path, "sound1"), made[0])
    assert np.array_equal(played(tmp_path, "sound2"), made[1])
    assert np.array_equal(played(tmp_path, "sound3"), model.decode(single.generate(RATE, 0.8))[0])


def test_an_lfo_while_dsp_is_off_is_no_error_and_its_newest_value_counts(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("samplernn~ small")
    count, more = patch.obj("f 0"), patch.obj("+ 1")
    patch.chain(patch.obj("loadbang"), patch.obj("metro 1"), count, more)
    patch.connect(more, 0, count, 1)
    small = patch.chain(more, patch.obj("/ 100000"), patch.obj("+ 0.02"))
    for knob in ("temperature", "gain"):
        patch.chain(small, patch.msg(f"{knob} $1"), box)
    patch.print(box, 1, "status")
    patch.at(9000, "temperature?", box)
    patch.quit(9100)
    result = run(patch.write(tmp_path / "patch.pd"), rate=RATE, dsp=False)
    assert not result.errors(), result.out
    assert not [line for line in result.printed("status") if line.startswith("error")]
    values = [float(line.split()[1]) for line in result.printed("status") if line.startswith("temperature ")]
    assert values[-1] > 0.1
