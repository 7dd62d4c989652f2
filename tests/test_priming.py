"""Priming is real: what the model heard decides what it goes on with.

`two_sounds.safetensors` learned two clearly different sounds, made by `hum` and `whistle` here with seeds below 1000,
each in recordings of its own (`sopi train`, 8 kHz, two tiers of 4 and 16, 48 wide). What is heard here has other seeds.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import sopilib
from sopilib.live import Performer
from sopilib.score import bits_per_sample

RATE = 8000
MODEL = Path(__file__).parent / "fixtures" / "two_sounds.safetensors"


def hum(seconds: float, seed: int) -> np.ndarray:
    """Low: four partials of about 95 Hz."""
    chance = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    hz = 95 * (1 + 0.06 * np.sin(2 * np.pi * (0.7 * t + chance.uniform()))) * chance.uniform(0.95, 1.05)
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    partials = sum(a * np.sin(k * phase + chance.uniform(0, 6)) for k, a in ((1, 1), (2, 0.6), (3, 0.35), (4, 0.2)))
    return 0.28 * partials * (1 + 0.3 * np.sin(2 * np.pi * 3.1 * t)) + 0.004 * chance.standard_normal(len(t))


def whistle(seconds: float, seed: int) -> np.ndarray:
    """High: about 1200 Hz, trembling."""
    chance = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    hz = 1200 * (1 + 0.04 * np.sin(2 * np.pi * (4.5 * t + chance.uniform()))) * chance.uniform(0.95, 1.05)
    tremble = 1 + 0.35 * np.sin(2 * np.pi * (6.3 * t + chance.uniform()))
    return 0.35 * np.sin(2 * np.pi * np.cumsum(hz) / RATE) * tremble + 0.004 * chance.standard_normal(len(t))


SOUNDS = {"hum": hum, "whistle": whistle}


def what_it_is(sound: np.ndarray) -> str:
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE)
    return "whistle" if power[hz > 800].sum() > power[(hz > 50) & (hz < 800)].sum() else "hum"


@pytest.mark.parametrize("name", SOUNDS)
def test_the_model_goes_on_in_the_sound_that_it_heard(name: str) -> None:
    performer = Performer(freewheel=True, arrays=lambda array: SOUNDS[name](1, 1000 + int(array)), latency=0.02)
    performer.host(RATE, 64)
    performer.sample_rate = RATE
    performer.handle("load", str(MODEL))
    performer.handle("generate")
    kept = []
    for seed in range(20):
        performer.handle("seed", seed)
        performer.handle("seed", str(seed))  # the array of that name
        kept.append(what_it_is(performer.read(RATE + 480)[0][480:]))
    performer.close()
    assert kept.count(name) >= 19


@pytest.mark.parametrize("name", SOUNDS)
def test_who_has_heard_the_second_before_knows_the_next_one_better(name: str) -> None:
    model = sopilib.load(MODEL)
    engine = sopilib.Engine(model)
    gained = []
    for seed in range(20):
        codes = model.encode(SOUNDS[name](2, 2000 + seed))
        cold = bits_per_sample(engine, codes[RATE:])
        # of both seconds in one go, less those of the first
        primed = 2 * bits_per_sample(engine, codes) - bits_per_sample(engine, codes[:RATE])
        gained.append(cold - primed)
    assert np.mean(np.array(gained) > 0) >= 0.95
    assert np.mean(gained) > 0.01


def test_of_a_long_file_the_part_that_is_named_is_heard_and_no_other(tmp_path: Path) -> None:
    """`seed long.flac 3000 1000`: a second of whistling in minutes of humming."""
    long = np.concatenate([hum(3, 1), whistle(1, 2), hum(120, 3)])
    soundfile.write(tmp_path / "long.flac", long, RATE)
    read: list[int] = []
    performer = Performer(freewheel=True, folder=tmp_path, latency=0.02)
    performer.host(RATE, 64)
    performer.handle("load", str(MODEL))
    performer.handle("generate")
    real = soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, n: int = -1, **options: Any) -> np.ndarray:
        read.append(n)
        return np.asarray(real(self, n, **options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soundfile.SoundFile, "read", counted)
        kept = []
        for seed in range(10):
            performer.handle("seed", seed)
            performer.handle("seed", "long.flac", 3000, 1000)
            kept.append(what_it_is(performer.read(RATE + 480)[0][480:]))
    performer.close()
    assert kept.count("whistle") >= 9
    assert -1 not in read
    assert sum(read) < 10 * len(long)
