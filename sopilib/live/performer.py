"""`Performer`: messages in, sound out, and what happens told as status events. Knows no Pd and no OSC."""

from __future__ import annotations

import math
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from sopilib.errors import TROUBLES, SopiError, print_fault, sentence
from sopilib.live import course
from sopilib.live.commands import COMMANDS, KEPT, Command
from sopilib.live.gestures import GESTURES, Arrival
from sopilib.live.journal import Journal, Take
from sopilib.live.loader import Job, Loader
from sopilib.live.messages import Curve, parse
from sopilib.live.music import Music
from sopilib.live.places import Places
from sopilib.live.recording import Recording
from sopilib.live.snapshots import Snapshots
from sopilib.live.state import State
from sopilib.live.teller import Status, Teller
from sopilib.names import shown
from sopilib.native import _native
from sopilib.threads import ordinary_priority

__all__ = ["Performer", "is_part"]

Arrays = Callable[[str], "np.ndarray | None"]

LATER = ("load", "load2", "snapshot")  # messages whose gesture itself says when they took effect
LOOK = 64  # frames of the temperature signal that are looked at
POLLS = 15  # a second
OF_TWO = ("blend", "blend-mode")  # settings that need the second model


def going_on(command: Command, values: Sequence[Any], state: State) -> float:
    """For how many seconds after a message what is heard depends on when it came."""
    if isinstance(values[0] if values else None, Curve):
        return sum(values[0].times) + state.latency / 1000
    if command.name == "latency":  # what comes after a shorter one waits for what came before it
        return state.latency / 1000
    if command.name in ("generate", "stop"):
        return float(state.fade + state.latency) / 1000
    if command.name == "snapshot":
        return math.inf
    return float(values[-1] + state.latency) / 1000 if command.ramps else 0.0


def is_part(name: Any) -> bool:
    """Whether a setting is that of a single voice or a conditioning value: voice-2-gain, feature-1."""
    return re.fullmatch(r"voice-[0-9]+-[a-z0-9-]+|feature-[0-9]+", str(name)) is not None


class Performer:
    """One instrument: a stream, the models that it plays, and the messages that steer it.

    name         stands before its lines where the host prints them
    sample_rate  Hz, of the host, as long as it hasn't said it itself through the ring
    latency      seconds from a message to the sound it changes
    freewheel    the callback waits for the sound, and `load` and priming are done when `handle` returns
    voices       how many play at once
    outputs      channels of the stream; None: one for each voice
    threads      cores that the engine may use; None: one if a model plays on it at three times real time, else as many
                 as help, at most four, found out when it is loaded
    precision, backend  as `Engine` has them; with "torch" the stream's thread calls Python for each 2 ms
    status       called with a kind of `commands.STATUS` and its values, from several threads, one at a time. It may
                 send messages, but what these load is ready only later, in freewheel too
    arrays       gives the host's array of a name as float samples at the host's rate, or None if there is none
    write_array  puts float samples into the host's array of a name; False if there is none
    folder       where relative paths are looked up first, and where the folder of recordings is made

    The host takes the sound from `ring` (a capsule, for our external) or from `read`. `arrays` and `write_array` are
    never called while a lock is held, so they may wait for a thread of the host that itself sends a message.
    """

    def __init__(
        self,
        name: str = "samplernn",
        sample_rate: float = 48000.0,
        latency: float = 0.020,
        freewheel: bool = False,
        voices: int = 1,
        threads: int | None = 1,
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
        self.arrays, self.write_array = arrays, write_array
        self.lock = threading.RLock()
        """Held while a message is handled and while a status event is told."""
        self.loading: str | None = None
        """The name of the model that is being loaded, None if there is none."""
        self.state = State(latency=latency * 1000, voices=voices)
        """What it is set to."""
        self.stream = _native.Stream(voices if outputs is None else outputs, latency, freewheel)
        """The native stream that makes the sound."""
        self.places = Places(Path(folder) if folder is not None else None)
        """Where the files are that messages name."""
        self.snapshots = Snapshots()
        """What `snapshot store` has kept."""
        self.teller = Teller(name, self.lock, self.stream, self.state, status)
        """Tells what happens."""
        self.music = Music(self.stream, self.state, self.teller, backend)
        """The models that play."""
        self.found: dict[str, str] = {}
        """The paths of models that were found in folders that a score doesn't know of, by the names in messages."""
        self.loader = Loader(f"{name}-loader")
        """Loads, primes and saves in the background."""
        self.maker = Loader(f"{name}-maker")
        """Makes the sounds of the course's `generate` in the background."""
        self.outputs = voices if outputs is None else outputs
        """Channels of the stream."""
        stream = self.stream  # the journal keeps no performer
        self.journal = Journal(self.settings(), lambda: int(stream.stats()["slips"]))
        """What was sent to it."""
        self.take: Take | None = None
        """The take that is being written down as a score, None if there is none."""
        self.recording: Recording | None = None
        """The recording that is being made, None if there is none."""
        self._closed = False
        self._inside = threading.local()  # of a thread that is in the middle of a message: who has work left from it
        self._bounded = 0.0  # when a recording was last looked at, s of the monotonic clock
        self._rate = 0.0  # Hz, of the host when it was looked at last
        self._last_fault = ""
        self.stream.start()
        threading.Thread(target=_poll, args=(weakref.ref(self),), daemon=True, name=f"{name}-status").start()

    # ---------------------------------------------------------------- host side

    @property
    def ring(self) -> object:
        """A capsule of the stream's ring (native/ring.h), from which the host's callback takes the sound."""
        return self.stream.ring

    @property
    def input(self) -> object:
        """A capsule of the ring for what comes in: channel 0 to listen to, channel 1 a temperature signal."""
        return self.stream.input

    @property
    def now(self) -> int:
        """How many host frames have been handed out so far."""
        return int(self.stream.now)

    @property
    def freewheel(self) -> bool:
        """Whether the host waits for the sound."""
        return bool(self.stream.freewheel)

    @property
    def folder(self) -> Path | None:
        """Where relative paths are looked up first and the folder of recordings is made; None: the current one."""
        return self.places.folder

    @folder.setter
    def folder(self, folder: Path | None) -> None:
        self.places.folder = folder

    @property
    def host_rate(self) -> float:
        """The host's sample rate in Hz, or the one that is assumed as long as the host hasn't said it."""
        return float(self.stream.sample_rate) or self.sample_rate

    def host(self, sample_rate: float, block: int) -> None:
        """Says how the host runs, in Hz and frames: for hosts that use `read`, before they do."""
        self.stream.host(sample_rate, block)

    def read(self, n: int, incoming: np.ndarray | None = None) -> np.ndarray:
        """The callback of hosts without the rings: gives the next n frames, float32 (channels, n), and takes what came
        in meanwhile, float32 (1 or 2, n)."""
        return np.asarray(self.stream.read(n, incoming))

    # ---------------------------------------------------------------- messages

    def handle(self, selector: str, *atoms: Any, t: int | None = None) -> bool:
        """Runs one message that arrived at host frame t (None: now). False if it was wrong: that is told as a status
        event `error`, the sound goes on, and nothing is raised."""
        try:
            return self.perform(selector, *atoms, t=t)
        except Exception as e:  # a fault of ours must not stop the host either
            if not isinstance(e, (*TROUBLES, RuntimeError, ValueError)):
                print_fault()
            ours = isinstance(e, SopiError | RuntimeError | ValueError)
            self.teller.tell("error", sentence(e) if ours else f"{selector}: {sentence(e)}")
        return False

    def perform(self, selector: str, *atoms: Any, t: int | None = None, confined: bool = False) -> bool:
        """As `handle`, for hosts with a place of their own for what is wrong: raises it (SopiError, RuntimeError or
        ValueError). False if the performer is closed. A message that is `confined` reaches only models by their name,
        and files in the folder of recordings."""
        if self._closed:
            return False
        at = self.now if t is None else int(t)
        outermost = not hasattr(self._inside, "loaders") and not self.teller.calls_from_here
        if outermost:
            self._inside.loaders = []
        try:
            with _as_one_line(selector):
                self._perform(str(selector), atoms, at, confined)
            if outermost:
                for loader in self._inside.loaders:
                    loader.finish()
        finally:
            if outermost:
                del self._inside.loaders
        return True

    def _perform(self, selector: str, atoms: Sequence[Any], t: int, confined: bool) -> None:
        if not confined and course.is_course(selector, atoms):
            with self.lock:
                course.perform(self, Arrival(t), selector, atoms)
            return
        command, values = parse(selector, atoms)
        array = None
        if command.name == "seed" and values is not None and isinstance(values[0], str) and self.arrays is not None:
            array = self.arrays(values[0])
        with self.lock:
            if self._closed:
                return
            if values is None:
                self.tell_setting(command.name)
            else:
                self.act(Arrival(t, confined, array), command, values)
                if command.name not in LATER and not (command.name == "seed" and isinstance(values[0], str)):
                    self.journal.note(self.music.took_effect or t, selector, *atoms)

    def act(self, at: Arrival, command: Command, values: Sequence[Any], voice: int = 0) -> None:
        """Does what a message says, for one voice (from 1) or for all (0)."""
        self.music.took_effect = None
        if command.dsp:
            self.teller.check_dsp(command.name)
        self.journal.busy(at.t + going_on(command, values, self.state) * self.host_rate)
        gesture = GESTURES.get(command.name)
        if gesture is None:
            self.turn(at, command, values, voice)
        elif command.voice:
            gesture(self, at, *values, voice=voice)
        else:
            gesture(self, at, *values)

    def turn(self, at: Arrival, command: Command, values: Sequence[Any], voice: int = 0) -> None:
        """Turns a knob: posts its value to the stream, remembers it and tells it."""
        value: Any = values[0]
        ramp: float = values[-1] if command.ramps else 0.0
        posted: Any = bool(value) if command.arguments[0].kind == "switch" else value
        if isinstance(value, Curve):
            posted, ramp = _native.Envelope(value.levels, value.times, value.curves), 0.0
        self.stream.post(command.native[0], at.t, posted, ramp, voice - 1, on_line=command.on_line)
        if isinstance(value, Curve):
            value, ramp = value.levels[-1], round(1000 * sum(value.times), 3)
        self.remember(command.name, value, voice, *([ramp] if command.ramps else []))

    def remember(self, name: str, value: Any, voice: int = 0, *ramp: float) -> None:
        """Remembers what a message has set, for one voice (from 1) or for all (0), and tells it."""
        command = COMMANDS[name]
        if command.usual is None:
            self.teller.tell(name, value, *ramp)
            return
        self.state.set(name, value, voice)
        if voice:
            self.teller.setting_changed("voice")
            self.teller.tell("voice", voice, name, value, *ramp)
            return
        if command.kept:
            self.teller.setting_changed(name)
        self.teller.tell(name, *(ramp and (value, *ramp) or self.setting(name)))

    def setting(self, name: str) -> tuple[Any, ...]:
        """The present value of a command that answers queries, as its status event has it."""
        if name == "latency":
            return self.state.latency, round(self.state.latency / 1000 * self.host_rate)
        if name == "freewheel":
            return (int(self.freewheel),)
        if name == "listen":
            return int(bool(self.state.listening)), self.state.listening or "silence"
        if name == "record":
            return ("start", self.recording.shown) if self.recording is not None else ("stop",)
        if name == "score":
            return ("start", self.take.shown) if self.take is not None else ("stop",)
        return (self.state[name], 0.0) if COMMANDS[name].ramps else (self.state[name],)

    def tell_setting(self, name: str) -> None:
        """Tells the present value of a command that answers queries."""
        self.teller.tell(name, *self.setting(name))

    # ---------------------------------------------------------------- in the background

    def background(
        self,
        kind: str,
        what: str,
        work: Callable[[Job], None],
        failed: Callable[[Job, str], None] | None = None,
        every: bool = False,
    ) -> list[Job]:
        """Has something done by the loader (`Job` says what the arguments are), in freewheel before the message returns
        -> the jobs that were dropped for it. A failure is told as an error, if `failed` doesn't do it."""
        return self._put(self.loader, Job(kind, what, work, failed or self._tell_failure, every))

    def make(self, what: str, work: Callable[[Job], None], kind: str = "make") -> None:
        """Has sounds made that take long, beside what the loader does."""
        self._put(self.maker, Job(kind, what, work, self._tell_failure, every=True))

    def _put(self, loader: Loader, job: Job) -> list[Job]:
        loaders: list[Loader] | None = getattr(self._inside, "loaders", None) if self.freewheel else None
        if loaders is not None and loader not in loaders:
            loaders.append(loader)
        return loader.put(job, in_thread=loaders is None)

    def stop_making(self) -> None:
        """Gives up the sounds that are being made, and tells so."""
        for job in (*self.loader.drop("make"), *self.maker.drop("make")):
            self.teller.tell("warning", f"{job.what} was stopped, nothing was written")

    def _tell_failure(self, job: Job, line: str) -> None:
        self.teller.tell("error", line)

    # ---------------------------------------------------------------- settings

    def settings(self) -> dict[str, Any]:
        """What is to be remembered with a patch: the model, what is always remembered, and what is not as it usually
        is."""
        with self.lock:
            second = {"load2": self.state.model2} if self.state.model2 is not None else {}
            return {"model": self.loading or self.state.model, **second, **self.state.kept()}

    def score_settings(self) -> dict[str, Any]:
        """The same for a score, which may be performed elsewhere: models that are files by their paths."""
        settings = self.settings()
        return {k: self.found.get(v, v) if k in ("model", "load2") else v for k, v in settings.items()}

    def restore(self, settings: dict[str, Any]) -> None:
        """Sets what `settings` gave: what is not named there becomes what it was made with. Unknown names are left
        alone, wrong values are told like those of a message."""
        self._forget_others(settings)
        for name in KEPT:
            if settings.get(name) is not None and name not in OF_TWO:
                self.handle(name, settings[name])
        for name, value in settings.items():
            if is_part(name):  # voice-2-temperature: voice 2 temperature
                kind, number, *of = name.split("-", 2)
                self.handle(kind, int(number), *of, value)
        for message, name in (("load", "model"), ("load2", "load2"), *zip(OF_TWO, OF_TWO)):
            if settings.get(name) is not None:
                self.handle(message, settings[name])

    def _forget_others(self, settings: dict[str, Any]) -> None:
        """Sets to what it was made with whatever `settings` doesn't name, nor leaves to the model's file."""
        kept = {*settings, *str(settings.get("own", "")).split()}
        with self.lock:
            changed = [name for name in KEPT if name not in kept and self.state[name] != self.state.usual[name]]
            alone = [
                (v, name) for v, own in self.state.voice.items() for name in own if f"voice-{v}-{name}" not in kept
            ]
            second = self.state.model2 is not None and "load2" not in kept
        for number, name in alone:
            self.handle("voice", number, name, self.state.usual[name])
            with self.lock:
                self.state.voice[number].pop(name, None)
        for name in changed:
            self.handle(name, self.state.usual[name])
        if second:
            self.handle("load2", "off")

    def watch(self, status: Status) -> None:
        """Calls `status` too with every event from now on, as it does the one it was made with."""
        self.teller.watch(status)

    def unwatch(self, status: Status) -> None:
        """Calls `status` no more."""
        self.teller.unwatch(status)

    def watch_settings(self, changed: Callable[..., None]) -> None:
        """Calls `changed` with the name of each setting that gets another value, and with "model". Only then `settings`
        gives something else than before."""
        self.teller.watch_settings(changed)

    # ---------------------------------------------------------------- what happens

    def poll(self) -> None:
        """Tells what has changed since last time. A thread calls it some times a second."""
        with self.lock:
            self._tell_events()
            self._tell_recording()
            self.teller.look()
            self.look_for_doubts()

    def look_for_doubts(self) -> None:
        """Notes what the host has done since last time that no score can say."""
        if (self.stream.heard(self.now, LOOK, 1) > 0).any():
            self.journal.doubt("a signal set the temperature", self.now)
        before, self._rate = self._rate, float(self.stream.sample_rate)
        if before not in (0.0, self._rate):
            self.journal.doubt("the host's sample rate changed", self.now)

    def _tell_events(self) -> None:
        for _, kind, value in self.stream.events():
            if kind == "error":
                self.teller.tell("error", f"the engine stopped: {value}; send seed, or load a model")
            if kind == "trap":
                voice, trap = value
                self.teller.tell("trap", voice + 1, trap)
                if self.state["guard"] == "warn":
                    self.teller.tell(
                        "warning", f"voice {voice + 1} is caught in a {trap}: try kick, another seed or temperature"
                    )
            if kind == "refused":
                self.teller.tell("error", str(value))
            if kind == "ended" and value == "listen":
                self.music.end_listening()
            elif kind == "ended":
                self.remember(value, COMMANDS[value].usual)
            if kind == "lost":
                self.teller.tell("warning", f"{value} more events were lost: too many came at once")

    def _tell_recording(self) -> None:
        if self.recording is None:
            return
        for take, seconds in self.recording.closed():
            goes_on = f"the host runs at {self.recording.rate} Hz now: {take} ends"
            self.teller.tell("recorded", take, round(seconds, 3))
            self.tell_setting("record")
            self.teller.tell("warning", f"{goes_on}, and {self.recording.shown} goes on")
        if not self.recording.ended:
            self._bound_recording(self.recording)
            return
        ended, self.recording = self.recording, None
        if ended.failure:
            self.teller.tell("error", f"record {ended.shown}: {ended.failure}; it ends after {ended.seconds:.1f} s")
        elif ended.lost:
            self.teller.tell("warning", f"record {ended.shown}: {ended.lost} frames are missing, the disk is too slow")
        self.tell_setting("record")
        self.teller.tell("recorded", ended.shown, round(ended.seconds, 3))

    def _bound_recording(self, recording: Recording) -> None:
        """Ends one that a network asked for when it has become too much; looked at once a second."""
        if time.monotonic() - self._bounded < 1:
            return
        self._bounded = time.monotonic()
        if reason := recording.too_much:
            recording.end(self.now)
            self.teller.tell("warning", f"record {recording.shown} ends: {reason}")

    def _tell_fault(self, e: Exception) -> None:
        """A fault of ours while polling: printed and told once, however often it happens."""
        fault = f"{type(e).__name__}: {e}"
        if fault != self._last_fault:
            self._last_fault = fault
            print_fault()
            self.teller.tell("error", f"the status can't be told: {fault}")

    # ---------------------------------------------------------------- the end

    def close(self) -> None:
        """Stops the sound's thread, at once. What is done in the background is given up, but for a score that ended."""
        self._closed = self.teller.closed = True  # without the lock: whoever holds it may be busy
        for job in self.loader.drop("score"):
            with suppress(*TROUBLES):
                job.work(job)
        self.loader.close()
        self.maker.close()
        self.recording = None
        if (take := self.take) is not None:  # nothing was written yet
            self.take = None
            with suppress(OSError):
                take.path.unlink()
        self.stream.close(1.0)

    def __del__(self) -> None:
        if hasattr(self, "_last_fault"):
            self.close()

    def __repr__(self) -> str:
        s = self.state
        what = f"{s.model} at {s.sample_rate} Hz" if s.model else "no model"
        does = "plays" if s.playing else "is silent"
        return (
            f"<Performer {self.name}: {what}, {does}, temperature {s['temperature']:g}, gain {s['gain']:g}, "
            f"seed {s.seed}, latency {s.latency:g} ms>"
        )


@contextmanager
def _as_one_line(selector: str) -> Iterator[None]:
    """What the system refuses (a file, memory) becomes a SopiError that names the message."""
    try:
        yield
    except UnicodeError as e:
        raise SopiError(f"{selector}: a name that no file can have ({e})") from None
    except OSError as e:
        named = f" ({shown(e.filename)})" if isinstance(e.filename, str) else ""
        raise SopiError(f"{selector}: {e.strerror or e}{named}") from None
    except MemoryError as e:
        raise SopiError(f"{selector}: there is not enough memory ({e})".replace(" ()", "")) from None


def _poll(reference: weakref.ref[Performer]) -> None:
    ordinary_priority()
    while True:
        time.sleep(1 / POLLS)
        performer = reference()
        if performer is None or performer._closed:
            return
        try:
            performer.poll()
        except Exception as e:
            performer._tell_fault(e)
        del performer
