"""The command table: every message a performer understands, said once.

Pd methods, OSC addresses, the command line's help and the reference pages are made from it. Adding a control is one
entry here and one method `do_<name>` of `Performer`.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sopilib.errors import SopiError

__all__ = ["COMMANDS", "STATUS", "Argument", "Command", "Curve", "parse"]


@dataclass(frozen=True)
class Argument:
    """kind: "float", "int", "switch" (0 or 1), "choice" (one of `choices`), "text" (the rest of the message), "sound"
    (an integer, or the name of an array or a file), "slot" (an integer, or the name of a file), "level" (a number, or
    an envelope of numbers: `Curve`), "message" (the rest of the message, itself one). A range is inclusive. `default`
    None: the argument is required, unless `optional`. `usual`: the value of a knob before anyone has set it."""

    name: str
    kind: str
    least: float = -math.inf
    most: float = math.inf
    default: float | str | None = None
    optional: bool = False
    unit: str = ""
    usual: float | None = None
    knob: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """In words: what may stand here."""
        if self.kind == "switch":
            return "0 or 1"
        if self.kind == "text":
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
        what = {"float": "a number", "int": "a whole number"}[self.kind]
        unit = f" {self.unit}" if self.unit else ""
        if math.isinf(self.least) and math.isinf(self.most):
            return what + unit
        if math.isinf(self.most):
            return f"{what} from {self.least:g}{unit} up"
        return f"{what} from {self.least:g} to {self.most:g}{unit}"


@dataclass(frozen=True)
class Command:
    """One message. `query`: without arguments, or with `?` after its name, it answers with its present value.
    `told`: the status event that says its present state, where that has another name. `voice`: it may be meant for one
    voice, as `voice 2 gain 0.5`. `native`: the stream's commands that the message leads to; their range, ramp and usual
    value are those of the first message that names them, and the stream's own table is made of it when it is built."""

    name: str
    arguments: tuple[Argument, ...]
    help: str
    query: bool = False
    told: str = ""
    voice: bool = False
    native: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        words = [f"[{a.name}]" if a.optional or a.default is not None else f"<{a.name}>" for a in self.arguments]
        return " ".join([self.name, *words])

    @property
    def method(self) -> str:
        """Of `Performer`."""
        return "do_" + self.name.replace("-", "_")


RAMP = Argument("ms", "float", 0, 3_600_000, default=0, unit="ms")
MOST_VOICES = 16

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
            native=("play",),
        ),
        Command("stop", (), "Stops the sound, as generate 0 does.", native=("play",)),
        Command(
            "temperature",
            (Argument("temperature", "level", 0.01, 5, usual=1, knob=(0.2, 2)), RAMP),
            "How far the model strays from the likeliest: 1 as it learned, less is tamer. Ramp in ms, or an envelope.",
            query=True,
            voice=True,
            native=("temperature",),
        ),
        Command(
            "seed",
            (
                Argument("sound", "sound", 0, 2**64 - 1, knob=(0, 127)),
                Argument("offset", "float", 0, default=0, unit="ms"),
                Argument("length", "float", 1, 600_000, optional=True, unit="ms"),
            ),
            "A number: its music from the beginning. An array or file: the model hears it, then goes on. "
            "live <ms>: the last ms of what came in.",
            query=True,
            voice=True,
            native=("seed",),
        ),
        Command("reset", (), "The music of the present seed from its beginning.", native=("seed",)),
        Command(
            "listen",
            (
                Argument("on", "switch", default=1),
                Argument("meanwhile", "choice", default="silence", choices=("silence", "input", "old")),
            ),
            "The model hears what comes in, all of it, until listen 0: then it answers. Meanwhile silence, the input "
            "or the old music sounds.",
            query=True,
            native=("listen", "listened"),
        ),
        Command(
            "top-k",
            (Argument("codes", "int", 0, 4096, usual=0, knob=(0, 256)),),
            "Only the k likeliest codes are drawn; 0: all.",
            query=True,
            voice=True,
            native=("top-k",),
        ),
        Command(
            "top-p",
            (Argument("share", "float", 0.001, 1, usual=1, knob=(0.5, 1)),),
            "Only the likeliest codes that together have this share; 1: all.",
            query=True,
            voice=True,
            native=("top-p",),
        ),
        Command(
            "min-p",
            (Argument("share", "float", 0, 1, usual=0, knob=(0, 0.2)),),
            "Only codes at least this times as likely as the likeliest; 0: all.",
            query=True,
            voice=True,
            native=("min-p",),
        ),
        Command(
            "kick",
            (Argument("strength", "float", 0, 1, default=0.5),),
            "Noise takes the place of this share of the model's memory: a way out of a rut.",
            native=("kick",),
        ),
        Command(
            "guard",
            (Argument("how", "choice", choices=("off", "warn", "nudge", "reprime")),),
            "When a voice is caught in silence, a tone or a loop for two seconds: tells it, raises its temperature, "
            "or goes back to where it was well.",
            query=True,
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
            native=("store", "recall", "morph"),
        ),
        Command(
            "freeze",
            (Argument("ms", "float", 0, 2000, unit="ms"),),
            "Loops the last ms of sound; the model waits. 0: it goes on.",
            query=True,
            native=("freeze",),
        ),
        Command(
            "voices",
            (Argument("voices", "int", 1, MOST_VOICES),),
            "How many play at once, each its own music: one at each signal outlet, or mixed if there are fewer.",
            query=True,
            native=("swap-keeping",),
        ),
        Command(
            "voice",
            (Argument("voice", "int", 1, MOST_VOICES), Argument("message", "message")),
            "A message for one voice: temperature, seed, gain, pan, top-k, top-p, min-p or feature.",
        ),
        Command(
            "mix",
            (Argument("on", "switch"),),
            "1: voices are mixed over the signal outlets, as pan says.",
            query=True,
            native=("mix",),
        ),
        Command(
            "pan",
            (Argument("pan", "float", -1, 1, usual=0), RAMP),
            "Where a mixed voice is: -1 at the first outlet, 1 at the last. Ramp in ms.",
            query=True,
            voice=True,
            native=("pan",),
        ),
        Command(
            "gain",
            (Argument("gain", "float", 0, 4, usual=1, knob=(0, 1)), RAMP),
            "Volume: 1 as the model has it. Ramp in ms.",
            query=True,
            voice=True,
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
            native=("blend",),
        ),
        Command(
            "blend-mode",
            (Argument("mode", "choice", choices=("audio", "logits")),),
            "audio: two sounds are mixed. logits: two models of one rate and quantiser write one music.",
            query=True,
        ),
        Command(
            "fade",
            (Argument("ms", "float", 1, 60_000, unit="ms", usual=5, knob=(1, 5000)),),
            "How long start and stop take; a new seed fades in as long.",
            query=True,
            native=("fade",),
        ),
        Command(
            "rate",
            (Argument("rate", "float", 0.25, 4, usual=1, knob=(0.5, 2)), RAMP),
            "Playback rate, and with it pitch: 1 as the model has it, 2 an octave up. Ramp in ms.",
            query=True,
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
            "record",
            (
                Argument("do", "choice", choices=("start", "stop")),
                Argument("file", "text", optional=True),
            ),
            "Records what is heard into a new WAV file in the folder recordings.",
            query=True,
        ),
        Command(
            "latency",
            (Argument("ms", "float", 2, 500, unit="ms", knob=(5, 100)),),
            "Time from a message to the sound it changes. Must be longer than what the host computes at once.",
            query=True,
            native=("latency",),
        ),
        Command(
            "freewheel",
            (Argument("on", "switch"),),
            "1: the host waits for the sound, for rendering faster or slower than real time.",
            query=True,
        ),
        Command("tick", (Argument("on", "switch", default=1),), "Asks for a tick at each smallest frame."),
        Command("status", (), "Answers with everything at once."),
        Command("models", (), "Answers with the names of the models that load finds."),
    )
}

STATUS: dict[str, str] = {
    "loading": "name: a model is being loaded",
    "loaded": "name, sample rate in Hz: it is ready and sounds from now on",
    "primed": "name, milliseconds: the model has heard this sound and goes on from it",
    "playing": "0 or 1",
    "temperature": "value, milliseconds of its ramp",
    "gain": "value, milliseconds of its ramp",
    "seed": "number",
    "voices": "how many",
    "voice": "number, then what is set for it alone: name, value, milliseconds of its ramp",
    "mix": "0 or 1",
    "pan": "value, milliseconds of its ramp",
    "top-k": "codes",
    "top-p": "share",
    "min-p": "share",
    "feature": "number, value, milliseconds of its ramp",
    "rate": "value, milliseconds of its ramp",
    "fade": "milliseconds",
    "loaded2": "name, sample rate in Hz: the second model is ready",
    "blend": "share of the second model, milliseconds of its ramp",
    "blend-mode": "audio or logits",
    "freeze": "milliseconds of the loop, 0: none",
    "listen": "0 or 1; silence, input or old",
    "kick": "strength",
    "guard": "off, warn, nudge or reprime",
    "trap": "voice; silence, tone or loop: it is caught in it",
    "snapshot": "store, recall, morph, save or load, and the slot or the file",
    "record": "start and the file; stop",
    "recorded": "file, seconds: it is closed",
    "latency": "milliseconds, frames of the host",
    "freewheel": "0 or 1",
    "tick": "0 or 1",
    "level": "peak in dB (0: full scale)",
    "rtf": "seconds of sound made in one second of work",
    "underruns": "times the sound ran out",
    "late": "messages that came too late for their time, the worst lateness in milliseconds",
    "burst": "frames that the host takes at once",
    "model": "name, sample rate in Hz",
    "models": "names",
    "worker": "on, after the course's load",
    "generated": "array, sample rate in Hz, frames: after the course's generate",
    "warning": "one line",
    "error": "one line: what was found, what was expected, what to do",
}


@dataclass(frozen=True)
class Curve:
    """levels[0] at once, and after each of the times, in seconds, the next level; by curves, numbers (0 is a line) or
    names, as SuperCollider's Env has them."""

    levels: tuple[float, ...]
    times: tuple[float, ...]
    curves: tuple[float | str, ...]


Message = tuple[Command, "list[Any] | None"]


def parse(selector: str, atoms: Sequence[Any]) -> Message:
    """-> the command and its arguments, checked, with defaults; None in their place if the message is a query. The
    argument of kind "message" is again such a pair.

    Numbers must be numbers: text is an error even if it looks like one. Raises SopiError.
    """
    name = selector.removesuffix("?")
    command = COMMANDS.get(name)
    if command is None or (name != selector and not command.query):
        raise SopiError(f"no message {selector!r}, expected one of {', '.join(COMMANDS)}")
    if command.query and (name != selector or not atoms):
        return command, None
    arguments = command.arguments
    values: list[Any] = []
    for i, argument in enumerate(arguments):
        if i < len(atoms) and argument.kind in ("text", "message"):
            rest, atoms = atoms[i:], atoms[: i + 1]
            values.append(
                _message(name, argument, rest) if argument.kind == "message" else _text_of(name, argument, rest)
            )
        elif i < len(atoms) and argument.kind == "level" and not isinstance(atoms[i], numbers.Real):
            rest, atoms = atoms[i:], atoms[: i + 1]
            values.append(_curve(name, argument, rest))
        elif i < len(atoms):
            values.append(_value(name, argument, atoms[i]))
        elif argument.default is not None or argument.optional:
            values.append(argument.default)
        else:
            raise SopiError(f"{name}: {argument.name} is missing, expected {argument.expected}")
    if len(atoms) > len(arguments):
        raise SopiError(f"{name}: {len(atoms)} arguments, expected {command.usage}")
    return command, values


def _text_of(name: str, argument: Argument, atoms: Sequence[Any]) -> str:
    text = " ".join(_text(a) for a in atoms).strip()
    if not text:
        raise _wrong(name, argument, text)
    return text


def _message(name: str, argument: Argument, atoms: Sequence[Any]) -> Message:
    command, values = parse(_text(atoms[0]), atoms[1:])
    if not command.voice:
        known = ", ".join(c.name for c in COMMANDS.values() if c.voice)
        raise SopiError(f"{name}: {command.name} is for all voices together, expected one of {known}")
    return command, values


_ENVELOPE = re.compile(r"env\s*\(?\s*\[([^\]]*)\]\s*,?\s*\[([^\]]*)\]\s*(?:,?\s*\[([^\]]*)\])?\s*\)?", re.IGNORECASE)


def _curve(name: str, argument: Argument, atoms: Sequence[Any]) -> Curve:
    """env [levels] [times] [curves], with spaces or commas between numbers, and Env([levels],[times],[curves])."""
    text = " ".join(str(a) for a in atoms).replace("\\", "")  # Pd's escapes
    if not text.lower().startswith("env"):
        raise _wrong(name, argument, text)
    found = _ENVELOPE.fullmatch(text.strip())
    if found is None:
        raise SopiError(f"{name}: {text!r} is no envelope, expected env [levels] [times] [curves]")
    levels, times, curves = (_numbers(part or "") for part in found.groups())
    if len(curves) <= 1:
        curves = (curves or [0.0]) * len(times)
    if not levels or len(times) != len(levels) - 1 or len(curves) != len(times):
        raise SopiError(
            f"{name}: {len(levels)} levels, {len(times)} times and {len(curves)} curves in an envelope, expected one "
            "time less than levels, and as many curves as times, one curve or none"
        )
    for level in levels:
        if not isinstance(level, float) or not argument.least <= level <= argument.most:
            raise SopiError(f"{name}: level {level} in an envelope, expected {argument.least:g} to {argument.most:g}")
    for time in times:
        if not isinstance(time, float) or not 0 <= time <= 3600:
            raise SopiError(f"{name}: time {time} in an envelope, expected 0 to 3600 seconds")
    for curve in curves:
        if not (abs(curve) <= 100 if isinstance(curve, float) else curve in SHAPES):
            raise SopiError(f"{name}: curve {curve} in an envelope, expected -100 to 100 or one of {', '.join(SHAPES)}")
    return Curve(tuple(levels), tuple(times), tuple(curves))  # type: ignore[arg-type]  # just checked


SHAPES = (
    *("lin", "linear", "exp", "exponential", "sin", "sine", "wel", "welch"),
    *("sqr", "squared", "cub", "cubed", "step", "hold"),
)


def _numbers(text: str) -> list[float | str]:
    """The words of a list as numbers, where they are some."""
    words: list[float | str] = []
    for word in text.replace(",", " ").split():
        try:
            words.append(float(word))
        except ValueError:
            words.append(word)
    return words


def _text(atom: Any) -> str:
    return str(math.floor(atom)) if isinstance(atom, numbers.Real) and float(atom).is_integer() else str(atom)


def _wrong(name: str, argument: Argument, atom: Any) -> SopiError:
    found = _text(atom) if isinstance(atom, numbers.Real) else repr(_text(atom))
    return SopiError(f"{name}: {argument.name} is {found}, expected {argument.expected}")


def _value(name: str, argument: Argument, atom: Any) -> Any:
    is_number = isinstance(atom, numbers.Real)
    wrong = _wrong(name, argument, atom)
    if argument.kind == "choice":
        if _text(atom) not in argument.choices:
            raise wrong
        return _text(atom)
    if argument.kind in ("sound", "slot") and not is_number:
        if not _text(atom).strip():
            raise wrong
        return _text(atom).strip()
    if not is_number or not math.isfinite(atom) or not argument.least <= atom <= argument.most:
        raise wrong
    if argument.kind in ("float", "level"):
        return float(atom)
    if atom != math.floor(atom) or (argument.kind == "switch" and atom not in (0, 1)):
        raise wrong
    return math.floor(atom)
