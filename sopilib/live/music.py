"""Which models play: the first, the second that it is blended with, how many voices they have, what they heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from sopilib import checkpoint, library
from sopilib.engine import Engine
from sopilib.errors import SopiError
from sopilib.live.commands import COMMANDS
from sopilib.live.sound import edges
from sopilib.live.state import State
from sopilib.live.teller import Teller
from sopilib.model.weights import PLAY
from sopilib.native import _native
from sopilib.threads import cores

__all__ = ["Music", "Opened", "open_model", "primed"]

WARM_UP = 0.05  # seconds of sound: touches every weight before the stream does
CROSSFADE = 20.0  # ms from one model to the next
ENOUGH = 3.0  # times real time: what one thread must reach, or more are tried
MOST_THREADS = 4  # that are then taken
SLOW = 1.2  # times real time: below it the sound has gaps


@dataclass
class Opened:
    """A model that is ready to play."""

    engine: Engine
    speed: float
    """Seconds of sound that it makes in one second."""
    assumed: list[str] = field(default_factory=list)
    """What its file does not say and had to be assumed, a line each."""


class Packed:
    """A model's weights as the engine has them: shared by all objects that play the file, for as long as one does.

    engine   whose clones play
    assumed  what its file does not say, a line each
    speeds   how many threads each number of voices takes where nobody says, or was told to take, and how fast it is
    """

    def __init__(self, engine: Engine, assumed: list[str]) -> None:
        self.engine, self.assumed = engine, assumed
        self.speeds: dict[tuple[int, int | None], tuple[int, float]] = {}

    def speed(self, voices: int, threads: int | None) -> tuple[int, float]:
        """How many threads play so many voices, and how fast: all weights are touched, too. `threads` None means one
        if that is fast enough, else as many as help."""
        if (voices, threads) not in self.speeds:
            best = threads or 1, self._measure(voices, threads or 1)
            more = min(cores(), MOST_THREADS)
            if threads is None and best[1] < ENOUGH and more > 1 and self.engine.backend == "native":
                best = max(best, (more, self._measure(voices, more)), key=lambda found: found[1])
            self.speeds[voices, threads] = best
        return self.speeds[voices, threads]

    def _measure(self, voices: int, threads: int) -> float:
        scratch, n = self.engine.clone(voices, threads), max(1, int(WARM_UP * self.engine.config.sample_rate))
        scratch.reset(0)
        scratch.generate(max(1, n // 10))
        begin = time.perf_counter()
        scratch.generate(n)
        return n / self.engine.config.sample_rate / max(1e-9, time.perf_counter() - begin)


_PACKED: WeakValueDictionary[tuple[object, ...], Packed] = WeakValueDictionary()
_PACKING: WeakValueDictionary[tuple[object, ...], Lock] = WeakValueDictionary()


def open_model(
    path: str | Path, voices: int, backend: str, precision: str, threads: int | None, stale: Callable[[], bool]
) -> Opened | None:
    """Does everything about a model that takes time: reads the file, makes an engine, touches all its weights. What
    another object of this process plays from the same file is shared. `threads` None means as many as it needs. None
    as soon as it is `stale`. Raises SopiError, OSError or MemoryError."""
    key = (*_identity(path), backend, precision)
    with _PACKING.setdefault(key, Lock()):
        packed = _PACKED.get(key)
        if packed is None:
            assumed: list[str] = []
            model = checkpoint.load(path, warn=assumed.append)
            if stale():
                return None
            packed = Packed(Engine(model, 1, backend, precision), assumed)
            _PACKED[key] = packed
        chosen, speed = packed.speed(voices, threads)
    engine = packed.engine.clone(voices, chosen)
    engine.origin = packed
    return Opened(engine, speed, packed.assumed)


def _identity(path: str | Path) -> tuple[object, ...]:
    """What is another as soon as the file is."""
    try:
        found = library.find(path)
        state = found.stat()
    except (SopiError, OSError, ValueError):  # `load` says what is wrong
        return (object(),)
    if not found.is_file():
        return (object(),)
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, str(found)


def primed(engine: Engine, seed: int, codes: np.ndarray) -> Engine:
    """A clone that begins with this seed, and whose voices have all heard the codes (n,)."""
    fresh = engine.clone()
    fresh.reset(seed)
    fresh.prime(np.tile(codes, (fresh.voices, 1)))
    return fresh


class Music:
    """The models of one performer, and what of them its stream plays. It is called with the performer's lock held.

    backend  as `Engine` has it

    The engines that it holds never play: the stream gets clones of them. Host frames t are when a message arrived.
    """

    def __init__(self, stream: _native.Stream, state: State, teller: Teller, backend: str) -> None:
        self._stream, self._state, self._teller, self._backend = stream, state, teller, backend
        self.engine: Engine | None = None
        """Of the first model."""
        self.second: Engine | None = None
        """Of the model to blend with."""
        self.took_effect: int | None = None
        """Host frame of what was done since this was set to None, where it isn't that of the message."""
        self._paired = False  # what plays is both as one music

    def load(self, wanted: str, opened: Opened, t: int) -> None:
        """Plays another first model, and tells so."""
        before, engine = self.engine, self._of_voices(opened.engine)
        model = engine.model
        self.engine = engine
        try:
            self._begin_anew(engine, t)
        except RuntimeError:  # too many commands wait: what played plays on
            self.engine = before
            raise
        self._state.model, self._state.sample_rate = wanted, model.config.sample_rate
        self._teller.tell("loaded", model.name, model.config.sample_rate)
        self._tell_assumed(opened)
        if opened.speed < SLOW:
            self._teller.tell(
                "warning", f"{model.name} runs at {opened.speed:.2g}x real time here: expect gaps below {SLOW:g}x"
            )
        self._set_own(model.play, t)

    def _set_own(self, play: dict[str, float], t: int) -> None:
        """What the model's file says of how it is played holds from the moment that it plays, and what it doesn't say
        is as usual; but what was set by a message stays."""
        state = self._state
        before, state.said = state.own, dict(play)
        for name in PLAY:
            value = state.own.get(name, COMMANDS[name].usual)
            if name in state.chosen or (state[name] == value and (name in state.own) == (name in before)):
                continue
            self._stream.post(COMMANDS[name].native[0], self._from_now(t), value)
            state.values[name] = value
            self._teller.setting_changed(name)
            self._teller.tell(name, value, *([0.0] if COMMANDS[name].ramps else []))

    def load_second(self, wanted: str, opened: Opened, t: int) -> None:
        """Blends with another second model, and tells so."""
        before, model = self.second, opened.engine.model
        self.second = self._of_voices(opened.engine)
        try:
            self.play_both(self._from_now(t))
        except RuntimeError:
            self.second = before
            raise
        self._state.model2 = wanted
        self._teller.setting_changed("load2")
        self._teller.tell("loaded2", model.name, model.config.sample_rate)
        self._tell_assumed(opened)

    def forget_second(self, t: int) -> None:
        """Plays the first model alone."""
        t, had = self._from_now(t), self.second is not None
        self.second, self._state.model2 = None, None
        self._teller.setting_changed("load2")
        self._stream.post("second", t, None)
        self.play_both(t)
        if had:
            self._teller.tell("model2", "off", 0)

    def set_voices(self, t: int, voices: int) -> None:
        """Another number of voices, of both models. Voices that there were already play on; those of the second model
        begin anew."""
        t = self._from_now(t)
        if self.second is not None:
            self.second = self.second.clone(voices)
        if self.engine is not None:
            self.engine = self.engine.clone(voices)
            self.swap(self._fresh(self.engine), t, keep=True)
        if self.second is not None and not self._paired:
            self._stream.post("second", t, self._player(self._source(self._fresh(self.second))))

    def set_blend_mode(self, t: int, mode: str) -> None:
        """Two sounds that are mixed (audio), or two models that write one music (logits). Raises SopiError if these two
        can't do that."""
        if mode == "logits" and self.engine is not None and self.second is not None:
            self._pair(self.engine.clone(), self.second.clone())
        self._state.set("blend-mode", mode)
        self.play_both(t)

    def play_both(self, t: int) -> None:
        """Plays the second model as a sound of its own, or (and back) both as one music, from its beginning."""
        logits, t = self._state["blend-mode"] == "logits", self._from_now(t)
        alone = None if logits or self.second is None else self._player(self._source(self._fresh(self.second)))
        self._stream.post("second", t, alone)
        if self.engine is not None and (logits or self._paired):
            self._begin_anew(self.engine, t)

    def _begin_anew(self, engine: Engine, t: int) -> None:
        """Crossfades to an engine at the beginning of its music; a voice keeps the seed that it has for itself."""
        seeds = {v: own["seed"] for v, own in self._state.voice.items() if "seed" in own}
        self.swap(self._fresh(engine), t)
        for voice, seed in seeds.items():
            self._stream.post("seed", self._from_now(t), seed, voice=voice - 1)
            self._state.set("seed", seed, voice)

    def swap(
        self, engine: Engine, t: int, keep: bool = False, second: Engine | None = None, on_line: bool = False
    ) -> None:
        """Crossfades to an engine in the state that it is in. What is ready later than asked for counts from the moment
        that it is ready. Listening ends without an answer.

        keep    the voices that were there already play on
        second  of the second model, in the state to begin with, where both write one music; None: a fresh one
        on_line  it waits for the next line of the grid
        """
        self.end_listening()
        t = self._from_now(t)
        self._stream.post(
            "swap-keeping" if keep else "swap", t, self._player(self._both(engine, second)), CROSSFADE, on_line=on_line
        )
        if not keep:
            self._state.forget_own("seed")  # every voice begins with that of all
        if self._state["guard"] != "off":
            self.set_guard(t)

    def set_guard(self, t: int) -> None:
        """Gives the stream a guard as it is set, of this model's rate and number of voices."""
        if self.engine is None:
            return
        how = self._state["guard"]
        guard = None
        if how != "off":
            place = COMMANDS["guard"].arguments[0].choices.index(how) - 1
            still = self.engine.model.stillness or ()
            guard = _native.Guard(place, self.engine.config.sample_rate, self.engine.voices, *still)
        self._stream.post("guard", t, guard)

    def listen(self, t: int, meanwhile: str) -> None:
        """The model hears what comes in from now on."""
        assert self.engine is not None
        source = self._both(self._fresh(self.engine), None)
        listener = self._stream.listener(source, edges(self.engine.model))
        place = COMMANDS["listen"].arguments[1].choices.index(meanwhile) + 1
        self._stream.post("listen", t, listener, index=place)
        self._state.listening = meanwhile

    def answer(self, t: int) -> None:
        """The model goes on from what it has heard."""
        self._stream.post("listened", t)
        self._state.listening = ""

    def end_listening(self) -> None:
        """What comes next ends it, without an answer. That is told."""
        if self._state.listening:
            self._state.listening = ""
            self._teller.tell("listen", 0, "silence")

    def forget(self, t: int) -> None:
        """Plays no model any more, and keeps none."""
        self._stream.post("second", t)
        self._stream.post("swap", t, None, CROSSFADE)
        self._set_own({}, t)
        self.engine = self.second = None
        self._state.model = self._state.model2 = None
        self._state.sample_rate = 0
        self._teller.setting_changed("model")

    def _from_now(self, t: int) -> int:
        """The same moment for all that one message does."""
        if self.took_effect is None:
            self.took_effect = t if self._stream.freewheel else int(self._stream.now)
        return self.took_effect

    def _fresh(self, engine: Engine) -> Engine:
        fresh = engine.clone()
        fresh.reset(self._state.seed)
        return fresh

    def _of_voices(self, engine: Engine) -> Engine:
        """For as many as there are now: that may have changed while it was made."""
        return engine if engine.voices == self._state.voices else engine.clone(self._state.voices)

    def _both(self, engine: Engine, second: Engine | None) -> Any:
        """What the stream is to play: the engine, or the two models as one music."""
        self._paired = False
        if self._state["blend-mode"] != "logits" or self.second is None:
            return self._source(engine)
        try:
            pair = self._pair(engine, second or self._fresh(self.second))
        except SopiError as e:
            self._teller.tell("warning", str(e))
            self._state.set("blend-mode", "audio")
            self._teller.tell("blend-mode", "audio")
            self._stream.post("second", self._stream.now, self._player(self._source(self._fresh(self.second))))
            return self._source(engine)
        self._paired = True
        return pair

    def _pair(self, first: Engine, second: Engine) -> Any:
        """Two engines as one source. Raises SopiError if they don't go together."""
        try:
            return _native.Blend(first.source, second.source)
        except (ValueError, TypeError) as e:
            reason = str(e) if isinstance(e, ValueError) else "the torch backend can't"
            raise SopiError(
                f"blend-mode: logits of {first.model.name} and {second.model.name}: {reason}; use audio"
            ) from None

    def _source(self, engine: Engine) -> Any:
        return engine.source if self._backend == "native" else _native.PySource(engine)

    def _player(self, source: Any) -> Any:
        return self._stream.player(source)

    def _tell_assumed(self, opened: Opened) -> None:
        for text in opened.assumed:
            self._teller.tell("warning", text)
