"""A native stream without Pd and without a sound card: engines that play what a test can check, and a host."""

import math
import time

import numpy as np

from sopilib import Config, Engine, Model
from sopilib.native._native import PySource, Resampler, Stream

__all__ = [
    "ENGINE",
    "MODEL",
    "Playing",
    "PySource",
    "Sine",
    "Stalling",
    "Stream",
    "engine",
    "fade_in",
    "post",
    "render",
    "resample",
    "start",
]

MODEL = Model.random(Config(frame_sizes=[4, 16], dim=32, mlp_dim=32, q_levels=256, sample_rate=16000), seed=1)
ENGINE = Engine(MODEL, precision="int8")


def engine(seed=0):
    fresh = ENGINE.clone()
    fresh.reset(seed)
    return fresh


class Sine:
    """An engine whose music is a quiet 150 Hz tone: a click would stick out of it."""

    model = Model.random(Config(frame_sizes=[4], dim=8, mlp_dim=8, q_type="linear", q_levels=4096), seed=0)
    voices = 1
    slope = 0.5 * 2 * math.pi * 150 / 16000  # the largest step from one sample to the next, at 16 kHz

    def __init__(self):
        self.at = 0

    def reset(self, seed):
        self.at = 37 * seed

    def generate(self, n, temperature, **sampling):
        time_ = np.arange(self.at, self.at + n) / 16000
        self.at += n
        return self.model.encode(0.5 * np.sin(2 * np.pi * 150 * time_))[None]


class Stalling:
    """A real engine on a bad day: before call number k it sleeps stalls[k] seconds."""

    def __init__(self, inner, stalls):
        self.inner, self.stalls, self.calls = inner, stalls, 0
        self.model, self.voices = inner.model, inner.voices

    def reset(self, seed):
        self.inner.reset(seed)

    def generate(self, n, temperature, **sampling):
        pause = self.stalls(self.calls)
        self.calls += 1
        if pause:
            time.sleep(pause)
        return self.inner.generate(n, temperature, **sampling)


def post(stream, name, t, value=None, *ramp):
    """As `Stream.post`, with a source where a player is wanted."""
    if name in ("swap", "second") and value is not None:
        value = stream.player(value)
    stream.post(name, t, value, *ramp)


class Playing:
    """A stream in the hands of a host: `commands` are (t, name, *arguments), posted in the block where t lies."""

    def __init__(self, rate=48000, block=64, latency=0.02, freewheel=True, channels=1):
        self.stream = Stream(channels, latency, freewheel)
        self.rate, self.block, self.latency = rate, block, latency
        self.stream.start()
        self.stream.host(rate, block)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert self.stream.close(2.0)

    def render(self, frames, commands=(), speed=None):
        """speed: None as fast as possible, else times real time."""
        waiting, out = sorted(commands, key=lambda c: c[0]), []
        begin, start = time.monotonic(), self.stream.now
        while self.stream.now < start + frames:
            now = self.stream.now
            while waiting and waiting[0][0] < now + self.block:
                t, name, *arguments = waiting.pop(0)
                post(self.stream, name, t, *arguments)
            out.append(self.stream.read(self.block))
            if speed:
                ahead = (now - start) / self.rate / speed - (time.monotonic() - begin)
                if ahead > 0:
                    time.sleep(ahead)
        return np.concatenate(out, 1)[:, :frames]


def render(frames, commands, **host):
    with Playing(**host) as playing:
        return playing.render(frames, commands)[0]


def start(source, t=0):
    return [(t, "swap", source), (t, "play", True)]


def fade_in(n):
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)).astype(np.float32)


def resample(samples, model_rate, host_rate, pieces=(64,)):
    """Streams `samples` through, asking for `pieces` frames at a time in turn."""
    out: list[np.ndarray] = []
    resampler, at, turn = Resampler(model_rate, host_rate), 0, 0
    while True:
        n = pieces[turn % len(pieces)]
        turn += 1
        need = resampler.needed(n)
        if at + need > len(samples):
            return np.concatenate(out) if out else np.zeros(0, np.float32)
        out.append(resampler.process(np.ascontiguousarray(samples[at : at + need], np.float32), n))
        at += need
