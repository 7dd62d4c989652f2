"""The command table: every message a performer understands, said once.

Pd methods, OSC addresses, OSCQuery, layouts, the command line's help, the reference page, the state, the settings that
are kept with a patch, the status events and the stream's own commands are made from it. This file needs nothing but the
standard library, for the build of the native stream reads it too.

A knob is one entry with a `usual` value, a range and the name of one `native` command, and the line of the engine that
reads it: `sopilib.live.performer` posts it, remembers it, tells it, answers its query and restores it without knowing
which one it is. Whatever does more than that is a gesture: one entry, and one function in `sopilib.live.gestures`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["COMMANDS", "KEPT", "MOST_VOICES", "SHAPES", "STATUS", "Argument", "Command"]


@dataclass(frozen=True)
class Argument:
    """One argument of a message.

    kind      "float", "int", "switch" (0 or 1), "choice" (one of `choices`), "word" (a name of one word), "text" (the
              rest of the message), "sound" (an integer, or the name of an array or a file), "slot" (an integer, or the
              name of a file), "level" (a number, or an envelope of numbers), "message" (the rest of the message, itself
              one), "note" (a length as notes have it: 1/4, 3/8, 2, or off)
    least, most  the range of a number, inclusive
    default   what it is if the message ends before it; None: it is required, unless it is `optional`
    unit      of the number, as "ms"
    usual     what a knob is set to before anyone has set it; the argument that has one is the knob's value
    knob      the part of the range that a fader has, if that is not all of it
    choices   the words that a "choice" may be, in the order that the stream counts them in
    """

    name: str
    kind: str
    least: float = -math.inf
    most: float = math.inf
    default: float | str | None = None
    optional: bool = False
    unit: str = ""
    usual: float | str | None = None
    knob: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What may stand here, in words, as an error ends with it."""
        if self.kind == "switch":
            return "0 or 1"
        if self.kind in ("text", "word"):
            return "a name or a path"
        if self.kind == "choice":
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        if self.kind == "sound":
            return f"a whole number from {self.least:g} up, an array or a file"
        if self.kind == "slot":
            return f"a whole number from {self.least:g} to {self.most:g}, or a file"
        if self.kind == "message":
            return "a message such as temperature 0.8"
        if self.kind == "level":
            return f"a number from {self.least:g} to {self.most:g}, or env [levels] [times] [curves]"
        if self.kind == "note":
            return f"a length such as 1/4, 1/12 or 2, of {self.most:g} whole notes at most, or off"
        what = {"float": "a number", "int": "a whole number"}[self.kind]
        unit = f" {self.unit}" if self.unit else ""
        if math.isinf(self.least) and math.isinf(self.most):
            return what + unit
        if math.isinf(self.most):
            return f"{what} from {self.least:g}{unit} up"
        return f"{what} from {self.least:g} to {self.most:g}{unit}"


@dataclass(frozen=True)
class Command:
    """One message.

    help      one or two sentences for a musician
    query     without arguments, or with `?` after its name, it is answered with its present value
    told      the status event that says its present state, where that has another name
    says      the values of the status event that has its name, where they are not simply its arguments
    voice     it may be meant for one voice, as `voice 2 gain 0.5`
    apart     what it sets for all voices together is a thing of its own, and leaves what is set for single voices
    on_line   it waits for the next line of the grid, if there is one
    dsp       it is heard only while the host computes sound: if it doesn't, the player is told
    kept      from 1: it is kept with a patch, and restored in this order; 0: it isn't
    always    it is kept even if it is as it usually is
    native    the stream's commands that the message leads to; their range, ramp and usual value are those of the first
              message that names them, and the stream's own table is made of it when it is built
    """

    name: str
    arguments: tuple[Argument, ...]
    help: str
    query: bool = False
    told: str = ""
    says: str = ""
    voice: bool = False
    apart: bool = False
    on_line: bool = False
    dsp: bool = False
    kept: int = 0
    always: bool = False
    native: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """How it is written: <required> and [optional] arguments after its name."""
        words = [f"[{a.name}]" if a.optional or a.default is not None else f"<{a.name}>" for a in self.arguments]
        return " ".join([self.name, *words])

    @property
    def ramps(self) -> bool:
        """Whether its last argument is the length of a ramp."""
        return RAMP in self.arguments

    @property
    def usual(self) -> float | str | None:
        """What it is set to before anyone has set it; None if nothing is remembered of it."""
        for a in self.arguments:
            if a.usual is not None:
                return float(a.usual) if a.kind in ("float", "level") else a.usual
        return None

    @property
    def values(self) -> str:
        """The values of its status event, in words."""
        return self.says or ", ".join("milliseconds of its ramp" if a == RAMP else _shown(a) for a in self.arguments)


def _shown(argument: Argument) -> str:
    if argument.kind in ("switch", "choice"):
        return argument.expected
    return "milliseconds" if argument.name == "ms" else argument.name


RAMP = Argument("ms", "float", 0, 3_600_000, default=0, unit="ms")
"""The last argument of whatever may move to its new value in some time."""

MOST_VOICES = 16
SHAPES = (
    *("lin", "linear", "exp", "exponential", "sin", "sine", "wel", "welch"),
    *("sqr", "squared", "cub", "cubed", "step", "hold"),
)
"""The curves of an envelope that have names, as SuperCollider's Env has them."""

COMMANDS: dict[str, Command] = {
    c.name: c
    for c in (
        Command(
            "load",
            (Argument("model", "text"),),
            "Loads a model, ours or an older SampleRNN's, in the background and crossfades to it.",
            native=("swap",),
        ),
        Command(
            "generate",
            (Argument("on", "switch", default=1),),
            "Starts the sound where it was; with 0, stops it.",
            told="playing",
            on_line=True,
            dsp=True,
            native=("play",),
        ),
        Command("stop", (), "Stops the sound, as generate 0 does.", on_line=True, native=("play",)),
        Command(
            "temperature",
            (Argument("temperature", "level", 0.01, 5, usual=1, knob=(0.2, 2)), RAMP),
            "How far the model strays from the likeliest: 1 as it learned, less is tamer. Ramp in ms, or an envelope.",
            query=True,
            voice=True,
            dsp=True,
            kept=7,
            always=True,
            native=("temperature",),
        ),
        Command(
            "seed",
            (
                Argument("sound", "sound", 0, 2**64 - 1, usual=0, knob=(0, 127)),
                Argument("offset", "float", 0, default=0, unit="ms"),
                Argument("length", "float", 1, 600_000, optional=True, unit="ms"),
            ),
            "A number: its music from the beginning. An array or file: the model hears it, then goes on. "
            "live <ms>: the last ms of what came in.",
            query=True,
            voice=True,
            says="number",
            on_line=True,
            dsp=True,
            kept=12,
            always=True,
            native=("seed",),
        ),
        Command("reset", (), "The music of the present seed from its beginning.", on_line=True, native=("seed",)),
        Command(
            "listen",
            (
                Argument("on", "switch", default=1),
                Argument("meanwhile", "choice", default="silence", choices=("silence", "input", "old")),
            ),
            "The model hears what comes in, all of it, until listen 0: then it answers. Meanwhile silence, the input "
            "or the old music sounds.",
            query=True,
            says="0 or 1; silence, input or old",
            dsp=True,
            native=("listen", "listened"),
        ),
        Command(
            "top-k",
            (Argument("codes", "int", 0, 4096, usual=0, knob=(0, 256)),),
            "Only the k likeliest codes are drawn; 0: all.",
            query=True,
            voice=True,
            kept=8,
            native=("top-k",),
        ),
        Command(
            "top-p",
            (Argument("share", "float", 0.001, 1, usual=1, knob=(0.5, 1)),),
            "Only the likeliest codes that together have this share; 1: all.",
            query=True,
            voice=True,
            kept=9,
            native=("top-p",),
        ),
        Command(
            "min-p",
            (Argument("share", "float", 0, 1, usual=0, knob=(0, 0.2)),),
            "Only codes at least this times as likely as the likeliest; 0: all.",
            query=True,
            voice=True,
            kept=10,
            native=("min-p",),
        ),
        Command(
            "rest",
            (
                Argument("temperature", "float", 0, 5, usual=0, knob=(0, 2)),
                Argument("dB", "float", -90, 0, optional=True, unit="dB"),
            ),
            "The temperature where a voice has been quiet, so that it begins again though its own is low; 0: its own. "
            "dB: what is quiet, as rest-level.",
            query=True,
            voice=True,
            says="temperature",
            kept=13,
            native=("rest",),
        ),
        Command(
            "rest-level",
            (Argument("dB", "float", -90, 0, usual=-30, unit="dB", knob=(-60, 0)),),
            "Below this level of its last 512 samples a voice is quiet, for rest.",
            query=True,
            voice=True,
            kept=14,
            native=("rest-level",),
        ),
        Command(
            "kick",
            (Argument("strength", "float", 0, 1, default=0.5),),
            "Noise takes the place of this share of the model's memory: a way out of a rut.",
            says="strength",
            native=("kick",),
        ),
        Command(
            "guard",
            (Argument("how", "choice", usual="off", choices=("off", "warn", "nudge", "reprime")),),
            "When a voice is caught in silence, a tone, a loop or a drone: tells it, raises its temperature, or goes "
            "back to where it was well.",
            query=True,
            kept=11,
            native=("guard",),
        ),
        Command(
            "snapshot",
            (
                Argument("do", "choice", choices=("store", "recall", "morph", "save", "load")),
                Argument("slot", "slot", 1, 99),
                Argument("ms", "float", 0, 3_600_000, default=1000, unit="ms"),
            ),
            "store, recall: the model's whole memory in a numbered slot. morph: the memory goes over to it in ms. "
            "save, load: all slots, a file.",
            says="store, recall, morph, save or load, and the slot or the file",
            on_line=True,
            native=("store", "recall", "morph"),
        ),
        Command(
            "freeze",
            (Argument("ms", "float", 0, 2000, unit="ms", usual=0),),
            "Loops the last ms of sound; the model waits. 0: it goes on.",
            query=True,
            says="milliseconds of the loop, 0: none",
            on_line=True,
            dsp=True,
            native=("freeze",),
        ),
        Command(
            "voices",
            (Argument("voices", "int", 1, MOST_VOICES, usual=1),),
            "How many play at once, each its own music: one at each signal outlet, or mixed if there are fewer.",
            query=True,
            says="how many",
            kept=2,
            native=("swap-keeping",),
        ),
        Command(
            "voice",
            (Argument("voice", "int", 1, MOST_VOICES), Argument("message", "message")),
            "A message for one voice alone, as voice 2 gain 0.5, if it is one that can be meant for one.",
            says="number, then what is set for it alone: name, value, milliseconds of its ramp",
        ),
        Command(
            "mix",
            (Argument("on", "switch", usual=0),),
            "1: voices are mixed over the signal outlets, as pan says.",
            query=True,
            kept=3,
            native=("mix",),
        ),
        Command(
            "pan",
            (Argument("pan", "float", -1, 1, usual=0), RAMP),
            "Where a mixed voice is: -1 at the first outlet, 1 at the last. Ramp in ms.",
            query=True,
            voice=True,
            kept=15,
            native=("pan",),
        ),
        Command(
            "gain",
            (Argument("gain", "float", 0, 4, usual=1, knob=(0, 1)), RAMP),
            "Volume: 1 as the model has it. Ramp in ms.",
            query=True,
            voice=True,
            apart=True,
            dsp=True,
            kept=4,
            always=True,
            native=("gain",),
        ),
        Command(
            "load2",
            (Argument("model", "text"),),
            "A second model to blend with, loaded in the background; off: none.",
            native=("second",),
        ),
        Command(
            "blend",
            (Argument("share", "float", 0, 1, usual=0), RAMP),
            "0: the first model alone, 1: the second, between them both. Ramp in ms.",
            query=True,
            says="share of the second model, milliseconds of its ramp",
            on_line=True,
            kept=16,
            native=("blend",),
        ),
        Command(
            "blend-mode",
            (Argument("mode", "choice", usual="audio", choices=("audio", "logits")),),
            "audio: two sounds are mixed. logits: two models of one rate and quantiser write one music.",
            query=True,
            kept=17,
        ),
        Command(
            "fade",
            (Argument("ms", "float", 1, 60_000, unit="ms", usual=5, knob=(1, 5000)),),
            "How long start and stop take; a new seed fades in as long.",
            query=True,
            kept=5,
            native=("fade",),
        ),
        Command(
            "rate",
            (Argument("rate", "float", 0.25, 4, usual=1, knob=(0.5, 2)), RAMP),
            "Playback rate, and with it pitch: 1 as the model has it, 2 an octave up. Ramp in ms.",
            query=True,
            kept=6,
            native=("rate",),
        ),
        Command(
            "feature",
            (Argument("number", "int", 1, 1024), Argument("value", "float", -1e6, 1e6), RAMP),
            "A conditioning value of a model that has some. Ramp in ms.",
            voice=True,
            native=("feature",),
        ),
        Command(
            "tempo",
            (Argument("bpm", "float", 10, 999, usual=120, unit="beats a minute", knob=(40, 240)),),
            "Beats a minute, of the grid; the beat that has begun stays where it was.",
            query=True,
            kept=18,
            native=("tempo",),
        ),
        Command(
            "grid",
            (Argument("line", "note", 0, 16, usual="off"),),
            "Generate, stop, seed, reset, snapshot, freeze and blend begin at the next line, each 1/4, 1/16 or 2 whole "
            "notes; off: at once.",
            query=True,
            says="the length from line to line, or off",
            kept=19,
            native=("grid",),
        ),
        Command(
            "beat",
            (Argument("bpm", "float", 10, 999, optional=True, unit="beats a minute"),),
            "Here is a beat of the grid, which goes on from it at the tempo of the last two. With bpm: here a bar "
            "begins, at this tempo.",
            says="beats a minute",
            native=("beat",),
        ),
        Command(
            "record",
            (
                Argument("do", "choice", choices=("start", "stop")),
                Argument("file", "text", optional=True),
            ),
            "Records what is heard into a new WAV file in the folder recordings.",
            query=True,
            says="start and the file; stop",
        ),
        Command(
            "score",
            (
                Argument("do", "choice", choices=("start", "stop")),
                Argument("file", "text", optional=True),
            ),
            "Writes what is played from start to stop into a score in the folder recordings, which renders to the same "
            "samples.",
            query=True,
            says="start and the file; stop",
        ),
        Command(
            "render",
            (Argument("file", "word"), Argument("score", "text", optional=True)),
            "Renders a score, or so many seconds of the present settings (else 10), into a new file in the folder "
            "recordings, while the sound goes on. render 60 and render score-001.json take the first free name. "
            "render stop gives it up.",
        ),
        Command(
            "latency",
            (Argument("ms", "float", 2, 500, unit="ms", usual=20, knob=(5, 100)),),
            "Time from a message to the sound it changes. Must be longer than what the host computes at once.",
            query=True,
            says="milliseconds, frames of the host",
            kept=1,
            always=True,
            native=("latency",),
        ),
        Command(
            "freewheel",
            (Argument("on", "switch"),),
            "1: the host waits for the sound, for rendering faster or slower than real time.",
            query=True,
        ),
        Command(
            "tick",
            (
                Argument("on", "switch", default=1),
                Argument("at", "choice", default="frame", choices=("frame", "line")),
            ),
            "Asks for a tick at each smallest frame of the model, or at each line of the grid: a clock.",
            says="0 or 1; frame or line",
        ),
        Command(
            "report",
            (Argument("ms", "float", 0, 60_000, unit="ms", usual=0, knob=(0, 1000)),),
            "How often level and rtf are told; 0: only when status asks.",
            query=True,
            says="milliseconds, 0: only when status asks",
        ),
        Command("status", (), "Answers with everything at once."),
        Command("models", (), "Answers with the names of the models that load finds."),
    )
}

KEPT: tuple[str, ...] = tuple(c.name for c in sorted(COMMANDS.values(), key=lambda c: c.kept) if c.kept)
"""The settings that are kept with a patch, in the order in which they are restored."""

STATUS: dict[str, str] = {
    "loading": "name: a model is being loaded",
    "loaded": "name, sample rate in Hz: it is ready and sounds from now on",
    "loaded2": "name, sample rate in Hz: the second model is ready",
    "model": "name, sample rate in Hz",
    "model2": "name, sample rate in Hz, of the second model; off: there is none any more",
    "models": "names",
    "primed": "name, milliseconds: the model has heard this sound and goes on from it",
    "playing": "0 or 1",
    **{c.name: c.values for c in COMMANDS.values() if c.query or c.voice or c.says},
    "trap": "voice; silence, tone, loop or drone: it is caught in it",
    "recorded": "file, seconds: it is closed",
    "scored": "file, seconds: the score is written",
    "rendered": "file, seconds: it is written",
    "level": "peak in dB (0: full scale)",
    "rtf": "seconds of sound made in one second of work",
    "underruns": "times the sound ran out",
    "late": "messages that came too late for their time, the worst lateness in milliseconds",
    "burst": "frames that the host takes at once",
    "worker": "on: the model of the course's load is ready; off: after the course's unload",
    "progress": "per cent of what render or the course's generate makes, if that takes long",
    "generated": "array, sample rate in Hz, frames, seed: after the course's generate",
    "warning": "one line",
    "error": "one line: what was found, what was expected, what to do",
}
"""The status events, and their values in words. What a message sets is told by an event of its own name."""
