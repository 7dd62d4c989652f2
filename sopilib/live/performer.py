"""`Performer`: messages in, sound out, and what happens told as status events. Knows no Pd and no OSC."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sopilib import checkpoint
from sopilib.engine import Engine
from sopilib.errors import SopiError
from sopilib.live import course
from sopilib.live.commands import COMMANDS, RAMP, Curve, Message, parse
from sopilib.live.recording import Recording
from sopilib.live.snapshots import Snapshots
from sopilib.live.sound import edges, to_model_rate
from sopilib.model import Model
from sopilib.native import _native
from sopilib.sound import read_sound

__all__ = ["Performer"]

Status = Callable[..., None]
Arrays = Callable[[str], "np.ndarray | None"]

POLLS = 15  # a second
SELDOM = 5  # polls for each telling of what changes slowly
WARM_UP = 0.05  # seconds of sound: touches every weight before the stream does
SETTLED = 1.0  # seconds without a block after which DSP counts as off
SILENCE = -100.0  # dB
CROSSFADE = 20.0  # ms from one model to the next
LIVE = 2000  # ms that `seed live` takes


@dataclass
class State:
    """What a performer is set to. Prints itself."""

    model: str | None = None
    sample_rate: int = 0
    playing: bool = False
    temperature: float = 1.0
    gain: float = 1.0
    seed: int = 0
    latency: float = 20.0
    """ms"""
    tick: bool = False
    voices: int = 1
    mix: int = 0
    pan: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    rate: float = 1.0
    fade: float = 5.0
    """ms"""
    freeze: float = 0.0
    """ms"""
    model2: str | None = None
    blend: float = 0.0
    blend_mode: str = "audio"
    guard: str = "off"
    listen: str = ""
    """what sounds meanwhile; empty: it does not listen"""
    features: dict[int, float] = field(default_factory=dict)
    voice: dict[int, dict[str, Any]] = field(default_factory=dict)
    """what is set for single voices, from 1"""


LASTING = (
    "latency",
    "voices",
    "mix",
    "gain",
    "fade",
    "rate",
    "temperature",
    "top-k",
    "top-p",
    "min-p",
    "guard",
    "seed",
)
"""The settings that are worth remembering with a patch, in the order in which they are restored."""


@dataclass
class _Opened:
    """A model that is ready to play."""

    engine: Engine
    speed: float
    """times real time"""
    assumed: list[str]
    """what its file didn't say"""


class Performer:
    """One instrument: a stream, the model it plays, and the messages that steer it.

    name         stands before its lines where the host prints them
    sample_rate  Hz, of the host, as long as it hasn't said it itself through the ring
    latency      seconds from a message to the sound it changes
    freewheel    the callback waits for the sound, and `load` and priming are done when `handle` returns
    voices       how many play at once
    outputs      channels of the stream; None: one for each voice
    threads, precision, backend  as `Engine` has them; with "torch" the stream's thread calls Python for each 2 ms
    status       called with a kind of `commands.STATUS` and its values, from several threads, one at a time
    arrays       gives the host's array of a name as float samples at the host's rate, or None
    write_array  puts float samples into the host's array of a name; False if there is none
    folder       where relative paths are looked up first, and where the folder of recordings is made

    The host takes the sound from `ring` (a capsule, for our external) or from `read`.
    """

    def __init__(
        self,
        name: str = "samplernn",
        sample_rate: float = 48000.0,
        latency: float = 0.020,
        freewheel: bool = False,
        voices: int = 1,
        threads: int = 1,
        precision: str = "auto",
        backend: str = "native",
        status: Status | None = None,
        arrays: Arrays | None = None,
        write_array: Callable[[str, np.ndarray], bool] | None = None,
        folder: str | os.PathLike[str] | None = None,
        outputs: int | None = None,
    ) -> None:
        self.name, self.sample_rate = name, sample_rate
        self.threads, self.precision, self.backend = threads, precision, backend
        self.folder = Path(folder) if folder is not None else None
        self.state = State(latency=latency * 1000, voices=voices)
        self.stream = _native.Stream(voices if outputs is None else outputs, latency, freewheel)
        self.recording: Recording | None = None
        self.snapshots = Snapshots()
        self._watchers: tuple[Status, ...] = () if status is None else (status,)
        self._arrays, self._write_array = arrays, write_array
        self._lock = threading.RLock()  # held while a message or a status event is handled
        self._closed = self._confined = False
        self._engine: Engine | None = None  # never plays: the stream gets clones of it
        self._second: Engine | None = None  # to blend with
        self._load2_job = 0
        self._paired = False  # what plays is a pair of models
        self._load_job = self._prime_job = 0  # the newest wins; older ones drop what they made
        self._loading: str | None = None
        self._after_load: Callable[[], None] | None = None
        self._told: dict[str, Any] = {}
        self._moved = (0, time.monotonic())  # host position, and since when it stands there
        self._polls = 0
        self._said_off = False
        self._warned_latency: float | None = None
        self.stream.start()
        threading.Thread(target=_poll, args=(weakref.ref(self),), daemon=True, name=f"{name}-status").start()

    # ---------------------------------------------------------------- host side

    @property
    def ring(self) -> object:
        """A capsule of the stream's ring (native/ring.h)."""
        return self.stream.ring

    @property
    def now(self) -> int:
        """Host frames handed out so far."""
        return int(self.stream.now)

    @property
    def freewheel(self) -> bool:
        return bool(self.stream.freewheel)

    def host(self, sample_rate: float, block: int) -> None:
        """How the host runs, in Hz and frames: for hosts that use `read`, before they do."""
        self.stream.host(sample_rate, block)

    @property
    def input(self) -> object:
        """A capsule of the ring for what comes in: channel 0 to listen to, channel 1 a temperature signal."""
        return self.stream.input

    def read(self, n: int, incoming: np.ndarray | None = None) -> np.ndarray:
        """The callback of hosts without the rings: the next n frames, float32 (channels, n). `incoming`: what came in
        meanwhile, float32 (1 or 2, n)."""
        return np.asarray(self.stream.read(n, incoming))

    def handle(self, selector: str, *atoms: Any, t: int | None = None) -> bool:
        """Runs one message that arrived at host frame t (None: now). False if it was wrong: that is told as a status
        `error`, the sound goes on, nothing is raised."""
        try:
            return self.perform(selector, *atoms, t=t)
        except (SopiError, RuntimeError, ValueError) as e:
            self._tell("error", str(e))
        except Exception as e:  # a fault of ours must not stop the host either
            traceback.print_exc()
            self._tell("error", f"{selector}: {type(e).__name__}: {e}")
        return False

    def perform(self, selector: str, *atoms: Any, t: int | None = None, confined: bool = False) -> bool:
        """As `handle`, for hosts with a place of their own for what is wrong: raises it (SopiError, RuntimeError or
        ValueError). False if the performer is closed. A message that is `confined` reaches only models by their name,
        and files in the folder of recordings."""
        with self._lock:
            if self._closed:
                return False
            self._confined = confined
            at = self.now if t is None else int(t)
            if not confined and course.is_course(atoms) and self._of_the_course(at, str(selector), atoms):
                return True
            command, values = parse(str(selector), atoms)
            if values is None:
                self._tell_setting(command.name)
            else:
                getattr(self, command.method)(at, *values)
        return True

    def setting(self, name: str) -> tuple[Any, ...]:
        """The present value of a command that answers queries, as its status event has it."""
        if name == "latency":
            return self.state.latency, round(self.state.latency / 1000 * self._host_rate())
        if name == "freewheel":
            return (int(self.freewheel),)
        if name == "listen":
            return int(bool(self.state.listen)), self.state.listen or "silence"
        if name == "record":
            return ("start", self.recording.shown) if self.recording is not None else ("stop",)
        value = getattr(self.state, name.replace("-", "_"))
        return (value, 0.0) if RAMP in COMMANDS[name].arguments else (value,)

    def watch(self, status: Status) -> None:
        """Calls `status` too with every event from now on, as it does the one it was made with."""
        self._watchers = (*self._watchers, status)

    def unwatch(self, status: Status) -> None:
        self._watchers = tuple(w for w in self._watchers if w != status)

    def settings(self) -> dict[str, Any]:
        """What is to be remembered with a patch: the usual, and what is not as it always is."""
        values = {name: self.setting(name)[0] for name in LASTING}
        usual = {name: getattr(State, name.replace("-", "_")) for name in LASTING}
        always = ("temperature", "gain", "seed", "latency")
        kept = {name: values[name] for name in (*always, *LASTING) if name in always or values[name] != usual[name]}
        return {"model": self._loading or self.state.model, **kept}

    def restore(self, settings: dict[str, Any]) -> None:
        """Sets what `settings` gave; unknown names are left alone, wrong values are told like those of a message."""
        for name in LASTING:
            if settings.get(name) is not None:
                self.handle(name, settings[name])
        if settings.get("model"):
            self.handle("load", settings["model"])

    def close(self) -> None:
        """Stops the sound's thread, at once. A load that is under way is abandoned."""
        self._closed = True  # without the lock: whoever holds it may be busy
        self._load_job += 1
        self._prime_job += 1
        self.recording = None
        self.stream.close(1.0)

    def __del__(self) -> None:
        if hasattr(self, "_prime_job"):
            self.close()

    def __repr__(self) -> str:
        s = self.state
        what = f"{s.model} at {s.sample_rate} Hz" if s.model else "no model"
        does = "plays" if s.playing else "is silent"
        return (
            f"<Performer {self.name}: {what}, {does}, temperature {s.temperature:g}, gain {s.gain:g}, seed {s.seed}, "
            f"latency {s.latency:g} ms>"
        )

    # ---------------------------------------------------------------- the messages

    def _of_the_course(self, t: int, selector: str, atoms: Sequence[Any]) -> bool:
        """Messages as the course writes them. False if this is none."""
        if selector == "load":
            self.do_load(t, course.load_request(atoms))
            self._tell("worker", "on")
        elif selector == "generate":
            request = course.generate_request(atoms)
            if self._engine is None and self._loading is None:
                raise SopiError("generate: no model is loaded, load one first")
            if self._loading is not None:
                self._after_load = lambda: self._generate_into_arrays(request)
            else:
                self._run(self._generate_into_arrays, request)
        else:
            return False
        return True

    def _generate_into_arrays(self, request: course.Request) -> None:
        engine = self._engine
        assert engine is not None
        try:
            if self._arrays is None or self._write_array is None:
                raise SopiError("this host has no arrays, expected generate or generate 0")
            for name, sound in course.make_sounds(request, engine, self.state.seed, self._arrays):
                if not self._write_array(name, sound):
                    raise SopiError(f"--out {name}: no such array, make it with [array define {name}]")
                self._tell("generated", name, request.sample_rate, len(sound))
        except SopiError as e:
            self._tell("error", f"generate: {e}")

    def do_load(self, t: int, model: str) -> None:
        path = self._path(model)
        if self._loading is not None:
            self._tell("warning", f"load {self._loading} was dropped for load {model}")
        self._load_job += 1
        self._prime_job += 1
        self._after_load = None
        self._loading = model
        self._tell("loading", model)
        self._run(self._load, self._load_job, model, path, t)

    def do_load2(self, t: int, model: str) -> None:
        self._load2_job += 1
        if model == "off":
            self._second, self.state.model2 = None, None
            self.stream.post("second", t)
            self._play_both(t)
            return
        path = self._path(model)
        self._tell("loading", model)
        self._run(self._load2, self._load2_job, model, path, t)

    def _load2(self, job: int, wanted: str, path: str | Path, t: int) -> None:
        def stale() -> bool:
            return self._closed or job != self._load2_job

        opened = self._open(path, stale)
        with self._lock:
            if stale() or opened is None:
                return
            if isinstance(opened, str):
                self._tell("error", f"load2 {wanted}: {opened}")
                return
            self._second = self._of_voices(opened.engine)
            self.state.model2 = wanted
            self._play_both(t if self.freewheel else self.now)
            model = opened.engine.model
            self._tell("loaded2", model.name, model.config.sample_rate)
            self._tell_assumed(opened)

    def do_blend(self, t: int, share: float, ms: float) -> None:
        if self._second is None:
            self._tell("warning", "no second model is loaded to blend with, send load2 <name or path>")
        self.stream.post("blend", t, share, ms)
        self._set("blend", 0, share, ms)

    def do_blend_mode(self, t: int, mode: str) -> None:
        if mode == "logits" and self._engine is not None and self._second is not None:
            self._pair(self._engine.clone(), self._second.clone())  # raises if they can't
        self.state.blend_mode = mode
        self._play_both(t)
        self._tell_setting("blend-mode")

    def _play_both(self, t: int) -> None:
        """The second model as a sound of its own, or (and back) the two as one music, from its beginning."""
        logits = self.state.blend_mode == "logits"
        second = None if logits or self._second is None else self._player(self._fresh(self._second))
        self.stream.post("second", t, second)
        if self._engine is not None and (logits or self._paired):
            self._swap(self._fresh(self._engine), t)

    def _pair(self, first: Engine, second: Engine) -> Any:
        """Two engines as one source. Raises SopiError if they don't go together."""
        try:
            return _native.Blend(first.source, second.source)
        except (ValueError, TypeError) as e:
            reason = str(e) if isinstance(e, ValueError) else "the torch backend can't"
            raise SopiError(
                f"blend-mode: logits of {first.model.name} and {second.model.name}: {reason}; use audio"
            ) from None

    def do_generate(self, t: int, on: int) -> None:
        self._check_dsp("generate")
        if on and self._engine is None and self._loading is None:
            self._tell("warning", "no model is loaded: the sound starts when one is, send load <name or path>")
        self.stream.post("play", t, bool(on))
        self.state.playing = bool(on)
        self._tell("playing", on)

    def do_stop(self, t: int) -> None:
        self.do_generate(t, 0)

    def do_temperature(self, t: int, temperature: float | Curve, ms: float, voice: int = 0) -> None:
        self._check_dsp("temperature")
        if isinstance(temperature, Curve):
            curve = temperature
            envelope = _native.Envelope(curve.levels, curve.times, curve.curves)
            self.stream.post("temperature", t, envelope, voice=voice - 1)
            self._set("temperature", voice, curve.levels[-1], round(1000 * sum(curve.times), 3))
        else:
            self.stream.post("temperature", t, temperature, ms, voice - 1)
            self._set("temperature", voice, temperature, ms)

    def do_gain(self, t: int, gain: float, ms: float, voice: int = 0) -> None:
        self._check_dsp("gain")
        self.stream.post("gain", t, gain, ms, voice - 1)
        self._set("gain", voice, gain, ms)

    def do_pan(self, t: int, pan: float, ms: float, voice: int = 0) -> None:
        self.stream.post("pan", t, pan, ms, voice - 1)
        self._set("pan", voice, pan, ms)

    def do_top_k(self, t: int, codes: int, voice: int = 0) -> None:
        self.stream.post("top-k", t, codes, voice=voice - 1)
        self._set("top-k", voice, codes)

    def do_top_p(self, t: int, share: float, voice: int = 0) -> None:
        self.stream.post("top-p", t, share, voice=voice - 1)
        self._set("top-p", voice, share)

    def do_min_p(self, t: int, share: float, voice: int = 0) -> None:
        self.stream.post("min-p", t, share, voice=voice - 1)
        self._set("min-p", voice, share)

    def do_feature(self, t: int, number: int, value: float, ms: float, voice: int = 0) -> None:
        known = self._engine.config.features if self._engine is not None else None
        if known is not None and number > known:
            has = f"{known} conditioning values" if known else "no conditioning values"
            self._tell("warning", f"feature {number} is not heard: {self.state.model} has {has}")
        self.stream.post("feature", t, value, ms, voice - 1, number - 1)
        if not voice:
            self.state.features[number] = value
            self._tell("feature", number, value, ms)
        else:
            self._tell("voice", voice, "feature", number, value, ms)

    def do_rate(self, t: int, rate: float, ms: float) -> None:
        self.stream.post("rate", t, rate, ms)
        self._set("rate", 0, rate, ms)

    def do_fade(self, t: int, ms: float) -> None:
        self.stream.post("fade", t, ms)
        self._set("fade", 0, ms)

    def do_kick(self, t: int, strength: float) -> None:
        self.stream.post("kick", t, strength)
        self._tell("kick", strength)

    def do_guard(self, t: int, how: str) -> None:
        self.state.guard = how
        self._post_guard(t)
        self._tell_setting("guard")

    def _post_guard(self, t: int) -> None:
        """A new one for each model: they are of its rate and number of voices."""
        if self._engine is not None:
            guard = None
            if self.state.guard != "off":
                how = ("warn", "nudge", "reprime").index(self.state.guard)
                guard = _native.Guard(how, self._engine.config.sample_rate, self._engine.voices)
            self.stream.post("guard", t, guard)

    def do_freeze(self, t: int, ms: float) -> None:
        self._check_dsp("freeze")
        self.stream.post("freeze", t, ms)
        self._set("freeze", 0, ms)

    def do_mix(self, t: int, on: int) -> None:
        self.stream.post("mix", t, bool(on))
        self._set("mix", 0, on)

    def do_voice(self, t: int, voice: int, message: Message) -> None:
        command, values = message
        if voice > self.state.voices:
            raise SopiError(f"voice: voice is {voice}, but there are {self.state.voices}; send voices <number> first")
        if values is not None:
            getattr(self, command.method)(t, *values, voice=voice)
            return
        name = command.name
        own = self.state.voice.get(voice, {}).get(name)
        self._tell("voice", voice, name, *((own, *self.setting(name)[1:]) if own is not None else self.setting(name)))

    def do_voices(self, t: int, voices: int) -> None:
        if voices == self.state.voices:
            self._tell_setting("voices")
            return
        self.state.voices = voices
        self.state.voice = {number: own for number, own in self.state.voice.items() if number <= voices}
        self._prime_job += 1  # of another number of voices
        if self._engine is not None:
            self._engine = self._engine.clone(voices)
            if self._second is not None:
                self._second = self._second.clone(voices)
            self._swap(self._fresh(self._engine), t, keep=True)
        self._tell_setting("voices")

    def do_seed(self, t: int, sound: int | str, offset: float, length: float | None, voice: int = 0) -> None:
        self._check_dsp("seed")
        if isinstance(sound, str):
            if voice:
                raise SopiError("voice: a sound is heard by all voices, expected seed <number>")
            self._prime_from(t, sound, offset, length)
            return
        self.stream.post("seed", t, sound, voice=voice - 1)
        if not voice:
            self._prime_job += 1
            self._after_load = None
        self._set("seed", voice, sound)

    def do_reset(self, t: int) -> None:
        self.do_seed(t, self.state.seed, 0, None)

    def do_latency(self, t: int, ms: float) -> None:
        self.stream.post("latency", t, ms)
        self.state.latency = ms
        self._tell_setting("latency")
        self._check_latency(self.stream.stats())

    def do_freewheel(self, t: int, on: int) -> None:
        self.stream.freewheel = bool(on)
        self._tell("freewheel", on)

    def do_listen(self, t: int, on: int, meanwhile: str) -> None:
        if not on and not self.state.listen:
            return
        if self._engine is None:
            raise SopiError("listen: no model is loaded, load one first")
        self._check_dsp("listen")
        if on:
            how = ("silence", "input", "old").index(meanwhile) + 1
            listener = self.stream.listener(self._music(self._fresh(self._engine)), edges(self._engine.model))
            self.stream.post("listen", t, listener, index=how)
            self.state.listen = meanwhile
        else:
            self.stream.post("listened", t)
            self.state.listen = ""
            self.state.playing = True
            self._tell("playing", 1)
        self._tell_setting("listen")

    def do_snapshot(self, t: int, do: str, slot: int | str, ms: float) -> None:
        if do in ("save", "load"):
            confined = self._confine(str(slot))
            if confined is not None:
                confined.parent.mkdir(parents=True, exist_ok=True)
            path = confined or Path(str(slot)).expanduser()
            self._run(self._save_snapshots if do == "save" else self._load_snapshots, path)
            return
        if isinstance(slot, str):
            raise SopiError(f"snapshot {do}: slot is {slot!r}, expected a whole number from 1 to 99")
        if self._engine is None:
            raise SopiError(f"snapshot {do}: no model is loaded, load one first")
        if do == "store":
            snapshot = _native.Snapshot()
            self.stream.post("store", t, snapshot)
            self.snapshots.put(slot, snapshot, self._engine.model)
        else:
            snapshot = self.snapshots.get(slot, self._engine.model, self.state.voices)
            if do == "recall":
                self._end_listening()
                self.stream.post("recall", t, snapshot)
            else:
                self.stream.post("morph", t, snapshot, ms)
        self._tell("snapshot", do, slot)

    def do_record(self, t: int, do: str, file: str | None) -> None:
        if do == "start":
            if self.recording is not None:
                raise SopiError(f"record: {self.recording.path.name} is being recorded, send record stop first")
            self._check_dsp("record")
            if file:
                self._confine(file)
            self.recording = Recording(self.stream, self._recordings(), file, t)
            self._tell_setting("record")
        elif self.recording is not None:
            self.recording.end(t)

    def _recordings(self) -> Path:
        return (self.folder or Path.cwd()) / "recordings"

    def do_tick(self, t: int, on: int) -> None:
        self.state.tick = bool(on)
        self._tell("tick", on)

    def do_models(self, t: int) -> None:
        self._tell("models", *checkpoint.available())

    def do_status(self, t: int) -> None:
        s, stats = self.state, self.stream.stats()
        if s.model is not None:
            self._tell("model", s.model, s.sample_rate)
        self._tell("playing", int(s.playing))
        for command in COMMANDS.values():
            if command.query:
                self._tell_setting(command.name)
        self._told.clear()
        self._tell_stats(stats)
        self._tell_level()
        self._tell("burst", int(stats["burst"]))

    # ---------------------------------------------------------------- in the background

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        """In freewheel now, else in a thread of ordinary priority."""
        if self.freewheel:
            work(*arguments)
            return

        def run() -> None:
            ordinary_priority()
            work(*arguments)

        threading.Thread(target=run, daemon=True, name=f"{self.name}-{work.__name__.strip('_')}").start()

    def _open(self, path: str | Path, stale: Callable[[], bool]) -> _Opened | str | None:
        """Everything that takes time before the lock is taken: file, engine, first touch of all weights. Else what went
        wrong, or None if it is wanted no more."""
        assumed: list[str] = []
        try:
            model = checkpoint.load(path, warn=assumed.append)
            if stale():
                return None
            engine = Engine(model, self.state.voices, self.backend, self.precision, self.threads)
            return _Opened(engine, _warm_up(engine), assumed)
        except (SopiError, OSError, MemoryError) as e:
            return str(e) or type(e).__name__
        except Exception as e:
            traceback.print_exc()
            return f"{type(e).__name__}: {e}"

    def _of_voices(self, engine: Engine) -> Engine:
        """For as many as there are now: that may have changed while it was made."""
        return engine if engine.voices == self.state.voices else engine.clone(self.state.voices)

    def _tell_assumed(self, opened: _Opened) -> None:
        for text in opened.assumed:
            self._tell("warning", text)

    def _load(self, job: int, wanted: str, path: str | Path, t: int) -> None:
        def stale() -> bool:
            return self._closed or job != self._load_job

        opened = self._open(path, stale)
        with self._lock:
            if stale() or opened is None:
                return
            self._loading = None
            after, self._after_load = self._after_load, None
            if isinstance(opened, str):
                self._tell("error", f"load {wanted}: {opened}")
                return
            engine = self._engine = self._of_voices(opened.engine)
            model = engine.model
            self.state.model, self.state.sample_rate = wanted, model.config.sample_rate
            self._swap(self._fresh(engine), t)
            self._tell("loaded", model.name, model.config.sample_rate)
            self._tell_assumed(opened)
            if opened.speed < 1.2:
                self._tell(
                    "warning", f"{model.name} runs at {opened.speed:.2g}x real time here: expect gaps below 1.2x"
                )
        if after is not None:
            after()

    def _fresh(self, engine: Engine) -> Engine:
        fresh = engine.clone()
        fresh.reset(self.state.seed)
        return fresh

    def _swap(self, engine: Engine, t: int, keep: bool = False, second: Engine | None = None) -> None:
        # what is ready later than asked for counts from the moment that it is ready
        self._end_listening()
        t = t if self.freewheel else self.now
        self.stream.post(
            "swap-keeping" if keep else "swap", t, self.stream.player(self._music(engine, second)), CROSSFADE
        )
        if self.state.guard != "off":
            self._post_guard(t)

    def _music(self, engine: Engine, second: Engine | None = None) -> Any:
        """What the stream plays: the engine, or the two models as one. `second`: in the state to begin with."""
        self._paired = False
        if self.state.blend_mode == "logits" and self._second is not None:
            try:
                pair = self._pair(engine, second or self._fresh(self._second))
            except SopiError as e:
                self._tell("warning", str(e))
                self.state.blend_mode = "audio"
                self._tell_setting("blend-mode")
                self.stream.post("second", self.now, self._player(self._fresh(self._second)))
            else:
                self._paired = True
                return pair
        return self._source(engine)

    def _player(self, engine: Engine) -> Any:
        return self.stream.player(self._source(engine))

    def _source(self, engine: Engine) -> Any:
        return engine.source if self.backend == "native" else _native.PySource(engine)

    def _end_listening(self) -> None:
        """What comes next ends it, without an answer."""
        if self.state.listen:
            self.state.listen = ""
            self._tell_setting("listen")

    def _set(self, name: str, voice: int, value: Any, *ms: float) -> None:
        """Remembers a setting, of one voice or (0) of all, and tells it."""
        if voice:
            self.state.voice.setdefault(voice, {})[name] = value
            self._tell("voice", voice, name, value, *ms)
            return
        setattr(self.state, name.replace("-", "_"), value)
        if COMMANDS[name].voice and name != "gain":  # the whole has a gain of its own
            for own in self.state.voice.values():
                own.pop(name, None)
        self._tell(name, value, *ms)

    def _save_snapshots(self, file: Path) -> None:
        self._with_snapshots("save", file, lambda path: self.snapshots.save(path))

    def _load_snapshots(self, file: Path) -> None:
        def load(path: Path) -> None:
            if self._engine is None:
                raise SopiError("no model is loaded, load the one that they are of first")
            self.snapshots.load(path, self._engine.model)

        self._with_snapshots("load", file, load)

    def _with_snapshots(self, do: str, file: Path, work: Callable[[Path], None]) -> None:
        try:
            work(file if self.folder is None or file.is_absolute() else self.folder / file)
        except (SopiError, OSError) as e:
            self._tell("error", f"snapshot {do} {file}: {e}")
        else:
            self._tell("snapshot", do, str(file))

    def _confine(self, name: str) -> Path | None:
        """Where a file of this name is for a message that is confined; None for others, which may go anywhere."""
        if not self._confined:
            return None
        if "/" in name or "\\" in name or name.startswith((".", "~")) or not name.isprintable():
            raise SopiError(f"{name!r} is a path, expected the name of a file in the folder {self._recordings().name}")
        return self._recordings().absolute() / name

    def _path(self, wanted: str) -> str | Path:
        """Of a model."""
        if self._confined:
            models = checkpoint.available()
            if wanted not in models:
                raise SopiError(f"no model {wanted!r}, expected one of {', '.join(models)}")
            return models[wanted]
        return self._beside(wanted)

    def _beside(self, wanted: str) -> str | Path:
        """In the folder, if it is there."""
        if self.folder is not None and not Path(wanted).is_absolute() and checkpoint.exists(self.folder / wanted):
            return self.folder / wanted
        return wanted

    def _prime_from(self, t: int, name: str, offset: float, length: float | None) -> None:
        samples = self._arrays(name) if self._arrays is not None else None
        if name == "live":
            name, length = f"live {offset:g}", None
            samples = self.stream.heard(t, round((offset or LIVE) / 1000 * self._host_rate()))
            offset = 0
        path = None
        if samples is None:
            path = self._confine(name) or Path(self._beside(name)).expanduser()
        if path is not None and not path.is_file():
            raise SopiError(f"seed {name}: no such array or file, expected a number, an array or a sound file")
        if self._engine is None and self._loading is None:
            raise SopiError(f"seed {name}: no model is loaded, load one first")
        if samples is not None:
            samples = np.array(samples, np.float32).reshape(-1)
        self._prime_job += 1
        job = self._prime_job

        def work() -> None:
            self._prime(job, name, path, samples, offset, length, t)

        if self._loading is not None:
            self._after_load = work
        else:
            self._run(work)

    def _prime(
        self,
        job: int,
        name: str,
        path: Path | None,
        samples: np.ndarray | None,
        offset: float,
        length: float | None,
        t: int,
    ) -> None:
        engine, seed = self._engine, self.state.seed
        assert engine is not None
        failure = None
        try:
            model: Model = engine.model
            rate = self._host_rate()
            if path is not None:
                samples, rate = read_sound(path)
            assert samples is not None
            sound = to_model_rate(samples, rate, offset, length, model.config.sample_rate)
            codes = model.encode(sound)
            primed, second = _primed(engine, seed, codes), None
            if self.state.blend_mode == "logits" and self._second is not None:
                second = _primed(self._second, seed, codes)
        except SopiError as e:
            failure = str(e)
        except Exception as e:
            traceback.print_exc()
            failure = f"{type(e).__name__}: {e}"
        with self._lock:
            if self._closed or job != self._prime_job:
                return
            if failure is not None:
                self._tell("error", f"seed {name}: {failure}")
                return
            self._swap(primed, t, second=second)
            self._tell("primed", name, round(1000 * len(sound) / model.config.sample_rate))

    # ---------------------------------------------------------------- what happens, told

    def _tell(self, kind: str, *values: Any) -> None:
        if self._closed:
            return
        with self._lock:
            for status in self._watchers:
                try:
                    status(kind, *values)
                except Exception:
                    print(f"{self.name}: the status callback failed at {kind}:", file=sys.stderr)
                    traceback.print_exc()

    def _tell_setting(self, name: str) -> None:
        self._tell(name, *self.setting(name))

    def _tell_changed(self, kind: str, *values: Any) -> None:
        if self._told.get(kind) != values:
            self._told[kind] = values
            self._tell(kind, *values)

    def _tell_stats(self, stats: dict[str, Any]) -> None:
        if stats["rtf"] > 0:
            self._tell_changed("rtf", float(f"{stats['rtf']:.2g}"))
        self._tell_changed("underruns", int(stats["underruns"]))
        self._tell_changed("late", int(stats["late"]), round(1000 * stats["worst_late"] / self._host_rate(), 1))

    def _tell_level(self) -> None:
        peak = self.stream.peak()
        self._tell_changed("level", round(max(SILENCE, 20 * math.log10(peak)), 1) if peak > 0 else SILENCE)

    def _host_rate(self) -> float:
        return float(self.stream.sample_rate) or self.sample_rate

    def _check_dsp(self, name: str) -> None:
        """Says once, until it is on again, that nothing can be heard."""
        position, since = self._moved
        if self.freewheel or self._said_off or self.now != position or time.monotonic() - since < SETTLED:
            return
        self._said_off = True
        self._tell("warning", f"DSP is off: {name} is heard when it is on")

    def _check_latency(self, stats: dict[str, Any]) -> None:
        """Warns, once for each latency, if it is shorter than what the host takes at once."""
        if not stats["sample_rate"] or self.freewheel or self._warned_latency == self.state.latency:
            return
        floor = 1000 * (stats["burst"] + stats["reserve"]) / stats["sample_rate"] + 1
        if self.state.latency < floor:
            self._warned_latency = self.state.latency
            self._tell(
                "warning",
                f"latency {self.state.latency:g} ms is below what this host takes at once ({stats['burst']} frames): "
                f"messages will be late, expected at least {math.ceil(floor)} ms",
            )

    def poll(self) -> None:
        """Tells what changed since last time; a thread calls it some times a second."""
        with self._lock:
            self._poll()

    def _poll(self) -> None:
        stats = self.stream.stats()
        position = int(stats["position"])
        if position != self._moved[0]:
            self._moved = (position, time.monotonic())
            self._said_off = False
        for _, kind, value in self.stream.events():
            if kind == "error":
                self._tell("error", f"the engine stopped: {value}; send seed, or load a model")
            if kind == "trap":
                voice, trap = value
                self._tell("trap", voice + 1, trap)
                if self.state.guard == "warn":
                    self._tell(
                        "warning", f"voice {voice + 1} is caught in a {trap}: try kick, another seed or temperature"
                    )
            if kind == "refused":
                self._tell("error", str(value))
        if self.recording is not None and self.recording.ended:
            ended, self.recording = self.recording, None
            if ended.failure:
                self._tell("error", f"record {ended.shown}: {ended.failure}; it ends after {ended.seconds:.1f} s")
            elif ended.lost:
                self._tell("warning", f"record {ended.shown}: {ended.lost} frames are missing, the disk is too slow")
            self._tell_setting("record")
            self._tell("recorded", ended.shown, round(ended.seconds, 3))
        self._tell_level()
        self._polls += 1
        if self._polls % SELDOM == 0:
            self._tell_stats(stats)
        self._check_latency(stats)


def _poll(reference: weakref.ref[Performer]) -> None:
    ordinary_priority()
    while True:
        time.sleep(1 / POLLS)
        performer = reference()
        if performer is None or performer._closed:
            return
        try:
            performer.poll()
        except Exception:
            traceback.print_exc()
            return
        del performer


def ordinary_priority() -> None:
    """Threads inherit a host's real-time priority; Python has no business there."""
    if hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            pass


def _primed(engine: Engine, seed: int, codes: np.ndarray) -> Engine:
    """A clone that has heard codes (n,) in all voices."""
    primed = engine.clone()
    primed.reset(seed)
    primed.prime(np.tile(codes, (primed.voices, 1)))
    return primed


def _warm_up(engine: Engine) -> float:
    """Runs a copy for a moment -> how many times faster than real time."""
    scratch, n = engine.clone(), max(1, int(WARM_UP * engine.config.sample_rate))
    scratch.reset(0)
    scratch.generate(max(1, n // 10))
    begin = time.perf_counter()
    scratch.generate(n)
    return n / engine.config.sample_rate / max(1e-9, time.perf_counter() - begin)
