"""The gestures: what messages do that more is to be done for than to hand the stream a value.

Each is a function with the name of its message. The first arguments are the performer and how the message arrived, the
others those of the command table. It is called with the performer's lock held, and raises SopiError with one clear line
if what is asked for can't be done. Where a message may be meant for one voice, `voice` is its number from 1, 0: all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sopilib import library
from sopilib.errors import SopiError
from sopilib.live.commands import COMMANDS
from sopilib.live.journal import Take
from sopilib.live.loader import Job
from sopilib.live.messages import Message
from sopilib.live.music import open_model, primed
from sopilib.live.recording import Recording
from sopilib.live.sound import heard_of, part_from, to_model_rate
from sopilib.native import _native

if TYPE_CHECKING:
    from sopilib.live.performer import Performer

__all__ = ["GESTURES", "Arrival", "tell_dropped"]

LAST_HEARD = 2000.0
"""Milliseconds that `seed live` takes where it doesn't say how many."""
RENDERED = "10"
"""Seconds that `render` makes where it doesn't say how many."""
SCORES = (".json", ".csv")
"""What the names of scores end in."""


@dataclass(frozen=True)
class Arrival:
    """How a message arrived.

    t         host frame
    confined  it came from a network: it reaches models by their names, and files in the folder of recordings
    array     the host's array that it names, float samples at the host's rate, or None if it names none
    """

    t: int
    confined: bool = False
    array: np.ndarray | None = None


def load(p: Performer, at: Arrival, model: str, then: Callable[[], None] | None = None) -> None:
    """Loads the first model in the background. `then` is called, with the lock held, when it plays."""
    model = p.places.name(model)
    path = p.places.model(model, at.confined)
    if not at.confined and isinstance(path, Path):
        p.found[model] = str(path.absolute())

    def work(job: Job) -> None:
        opened = open_model(path, p.state.voices, p.backend, p.precision, p.threads, lambda: job.dropped)
        with p.lock:
            if opened is not None and not job.dropped:
                p.loading = p.music.took_effect = None
                p.music.load(model, opened, at.t)
                p.journal.note(p.music.took_effect or at.t, "load", p.found.get(model, model))
                if then is not None:
                    then()

    def failed(job: Job, line: str) -> None:
        with p.lock:
            if not job.dropped:
                p.loading = None
                p.teller.setting_changed("model")
                p.teller.tell("error", line)

    dropped = p.background("load", f"load {model}", work, failed)
    tell_dropped(p, [*p.loader.drop("prime"), *dropped], f"load {model}")
    p.loading = model
    p.teller.setting_changed("model")
    p.teller.tell("loading", model)


def load2(p: Performer, at: Arrival, model: str) -> None:
    """Loads the second model in the background; off: there is none any more."""
    if model == "off":
        tell_dropped(p, p.loader.drop("load2"), "load2 off")
        p.music.forget_second(at.t)
        p.journal.note(p.music.took_effect or at.t, "load2", "off")
        return
    model = p.places.name(model)
    path = p.places.model(model, at.confined)
    if not at.confined and isinstance(path, Path):
        p.found[model] = str(path.absolute())

    def work(job: Job) -> None:
        opened = open_model(path, p.state.voices, p.backend, p.precision, p.threads, lambda: job.dropped)
        with p.lock:
            if opened is not None and not job.dropped:
                p.music.took_effect = None
                p.music.load_second(model, opened, at.t)
                p.journal.note(p.music.took_effect or at.t, "load2", p.found.get(model, model))

    tell_dropped(p, p.background("load2", f"load2 {model}", work), f"load2 {model}")
    p.teller.tell("loading", model)


def blend(p: Performer, at: Arrival, share: float, ms: float) -> None:
    """How much of the second model is heard. That there is none is told."""
    if p.music.second is None and p.loader.doing("load2") is None:
        p.teller.tell("warning", "no second model is loaded to blend with, send load2 <name or path>")
    p.turn(at, COMMANDS["blend"], [share, ms])


def blend_mode(p: Performer, at: Arrival, mode: str) -> None:
    """Whether two sounds are mixed, or two models write one music."""
    p.music.set_blend_mode(at.t, mode)
    p.teller.setting_changed("blend-mode")
    p.tell_setting("blend-mode")


def generate(p: Performer, at: Arrival, on: int) -> None:
    """Starts or stops the sound."""
    if on and p.music.engine is None and p.loading is None:
        p.teller.tell("warning", "no model is loaded: the sound starts when one is, send load <name or path>")
    p.stream.post("play", at.t, bool(on), on_line=True)
    p.state.playing = bool(on)
    p.teller.tell("playing", on)
    if not on:
        p.stop_making()


def stop(p: Performer, at: Arrival) -> None:
    """Stops the sound."""
    generate(p, at, 0)


def seed(
    p: Performer, at: Arrival, sound: int | str, offset: float = 0, length: float | None = None, voice: int = 0
) -> None:
    """The music of a number from its beginning, or what the model makes of a sound that it hears."""
    if isinstance(sound, str):
        if voice:
            raise SopiError("voice: a sound is heard by all voices, expected seed <number>")
        _prime(p, at, sound, offset, length)
        return
    p.stream.post("seed", at.t, sound, voice=voice - 1, on_line=True)
    if not voice:
        tell_dropped(p, p.loader.drop("prime"), f"seed {sound}")
    p.remember("seed", sound, voice)
    s = p.state
    if (
        not voice
        and not s.freeze
        and not s.listening
        and s.guard == "off"
        and s.grid == "off"
        and not p.snapshots.slots
        and p.loading is None
        and p.loader.doing("load2") is None
    ):
        p.journal.fresh(at.t, p.score_settings(), s.playing)


def reset(p: Performer, at: Arrival) -> None:
    """The music of the present seed from its beginning."""
    seed(p, at, p.state.seed)


def _prime(p: Performer, at: Arrival, name: str, offset: float, length: float | None) -> None:
    """Has the model hear an array, a file, or the last of what came in, in the background."""
    samples, path, rate, said = at.array, None, p.host_rate, name
    if name == "live":
        name, length = f"live {offset:g}", None
        samples = p.stream.heard(at.t, round((offset or LAST_HEARD) / 1000 * rate))
        offset = 0
    if samples is None:
        path = p.places.sound(name, at.confined)
    if p.music.engine is None and p.loading is None:
        raise SopiError(f"seed {name}: no model is loaded, load one first")

    def work(job: Job) -> None:
        with p.lock:
            engine, number = p.music.engine, p.state.seed
            second = p.music.second if p.state["blend-mode"] == "logits" else None
        if job.dropped or engine is None:
            return
        part, model_rate = part_from(offset, length), engine.config.sample_rate
        if path is not None:
            sound = heard_of(path, part, model_rate)
        else:
            sound = to_model_rate(np.array(samples, np.float32).reshape(-1), rate, part, model_rate)
        codes = engine.model.encode(sound)
        first, other = primed(engine, number, codes), None if second is None else primed(second, number, codes)
        with p.lock:
            if not job.dropped:
                p.music.took_effect = None
                p.music.swap(first, at.t, second=other, on_line=True)
                t = p.music.took_effect or at.t
                if path is None:
                    p.journal.doubt(f"seed {name} was a sound that no score has", t)
                else:
                    p.journal.note(t, "seed", str(path.absolute()), offset, *([] if length is None else [length]))
                p.teller.tell("primed", said, round(1000 * len(sound) / model_rate))

    tell_dropped(p, p.background("prime", f"seed {name}", work), f"seed {name}")


def rest(p: Performer, at: Arrival, temperature: float, level: float | None, voice: int = 0) -> None:
    """The temperature where a voice has been quiet, and what is quiet."""
    p.turn(at, COMMANDS["rest"], [temperature], voice)
    if level is not None:
        p.turn(at, COMMANDS["rest-level"], [level], voice)


def listen(p: Performer, at: Arrival, on: int, meanwhile: str) -> None:
    """The model hears what comes in until listen 0; then it answers."""
    if not on and not p.state.listening:
        return
    if p.music.engine is None:
        raise SopiError("listen: no model is loaded, load one first")
    p.journal.doubt("what the model listened to is in no score", at.t)
    if on:
        p.music.listen(at.t, meanwhile)
    else:
        p.music.answer(at.t)
        p.state.playing = True
        p.teller.tell("playing", 1)
    p.tell_setting("listen")


def guard(p: Performer, at: Arrival, how: str) -> None:
    """What is done about a voice that is caught in silence, a tone, a loop or a drone."""
    p.state.set("guard", how)
    p.music.set_guard(at.t)
    p.remember("guard", how)


def voices(p: Performer, at: Arrival, voices: int) -> None:
    """How many voices play at once."""
    if voices == p.state.voices:
        p.tell_setting("voices")
        return
    tell_dropped(p, p.loader.drop("prime"), f"voices {voices}")
    p.state.voice = {number: own for number, own in p.state.voice.items() if number <= voices}
    p.state.set("voices", voices)
    p.music.set_voices(at.t, voices)
    p.remember("voices", voices)


def voice(p: Performer, at: Arrival, voice: int, message: Message) -> None:
    """A message for one voice, or what that voice is set to."""
    command, values = message
    if voice > p.state.voices:
        raise SopiError(f"voice: voice is {voice}, but there are {p.state.voices}; send voices <number> first")
    if values is not None:
        p.act(at, command, values, voice)
        return
    name, present = command.name, p.setting(command.name)
    own = p.state.voice.get(voice, {}).get(name)
    p.teller.tell("voice", voice, name, *(present if own is None else (own, *present[1:])))


def feature(p: Performer, at: Arrival, number: int, value: float, ms: float, voice: int = 0) -> None:
    """A conditioning value of the model."""
    known = p.music.engine.config.features if p.music.engine is not None else None
    if known is not None and number > known:
        has = f"{known} conditioning values" if known else "no conditioning values"
        p.teller.tell("warning", f"feature {number} is not heard: {p.state.model} has {has}")
    p.stream.post("feature", at.t, value, ms, voice - 1, number - 1)
    if voice:
        p.teller.tell("voice", voice, "feature", number, value, ms)
        return
    p.state.features[number] = value
    p.teller.setting_changed("feature")
    p.teller.tell("feature", number, value, ms)


def snapshot(p: Performer, at: Arrival, do: str, slot: int | str, ms: float) -> None:
    """Keeps the model's memory in a slot or goes back to it; keeps all slots in a file or reads them from it."""
    if do == "save":
        _save_snapshots(p, p.places.snapshots_to_save(str(slot), at.confined), str(slot))
    elif do == "load":
        _load_snapshots(p, p.places.snapshots_to_load(str(slot), at.confined), str(slot))
    elif isinstance(slot, str):
        raise SopiError(f"snapshot {do}: slot is {slot!r}, expected a whole number from 1 to 99")
    elif p.music.engine is None:
        raise SopiError(f"snapshot {do}: no model is loaded, load one first")
    elif do == "store":
        empty = _native.Snapshot()
        p.stream.post("store", at.t, empty, on_line=True)
        p.snapshots.put(slot, empty, p.music.engine.model)
        p.journal.note(at.t, "snapshot", do, slot)
        p.teller.tell("snapshot", do, slot)
    else:
        kept = p.snapshots.get(slot, p.music.engine.model, p.state.voices)
        if do == "recall":
            p.music.end_listening()
        p.stream.post(do, at.t, kept, ms if do == "morph" else 0.0, on_line=True)
        p.journal.note(at.t, "snapshot", do, slot, ms)
        p.teller.tell("snapshot", do, slot)


def _save_snapshots(p: Performer, path: Path, name: str) -> None:
    kept = p.snapshots.copy()  # those of now, whatever is stored while they are written

    def work(job: Job) -> None:
        for slot, model in kept.save(path):
            p.teller.tell("warning", f"snapshot save {name} leaves out slot {slot}, which is of the model {model.name}")
        p.teller.tell("snapshot", "save", p.places.shown(path))

    p.background("snapshot save", f"snapshot save {name}", work, every=True)


def _load_snapshots(p: Performer, path: Path, name: str) -> None:
    def work(job: Job) -> None:
        with p.lock:
            engine = p.music.engine
        if engine is None:
            raise SopiError("no model is loaded, load the one that they are of first")
        loaded = p.snapshots.read(path, engine.model)
        with p.lock:
            p.snapshots.add(loaded)
            p.journal.note(p.now, "snapshot", "load", str(path.absolute()))
            p.teller.tell("snapshot", "load", p.places.shown(path))

    p.background("snapshot load", f"snapshot load {name}", work, every=True)


def record(p: Performer, at: Arrival, do: str, file: str | None) -> None:
    """Begins or ends a recording."""
    if do == "start":
        if p.recording is not None:
            raise SopiError(f"record: {p.recording.path.name} is being recorded, send record stop first")
        p.teller.check_dsp("record")
        name = p.places.recording(file, at.confined) if file else None
        p.recording = Recording(p.stream, p.places.recordings, name, at.t, at.confined)
        p.tell_setting("record")
    elif p.recording is not None:
        p.recording.end(at.t)


def score(p: Performer, at: Arrival, do: str, file: str | None) -> None:
    """Begins to write down what is played, or writes it into the score."""
    if do == "start":
        _begin_score(p, at, file)
    elif p.take is not None:
        _end_score(p, at, p.take)


def _begin_score(p: Performer, at: Arrival, file: str | None) -> None:
    if p.take is not None:
        raise SopiError(f"score: {p.take.path.name} is being written, send score stop first")
    if not p.stream.sample_rate:
        raise SopiError("score: the host's audio is off, switch it on first")
    path = _claim(p, at, file)
    if p.state.grid == "off":  # the lines are counted from the beginning
        p.journal.forget(at.t, p.state.latency / 1000, p.host_rate)
    p.take = Take(path, p.places.told(path), at.t)
    p.tell_setting("score")


def _claim(p: Performer, at: Arrival, file: str | None) -> Path:
    """Makes the empty file of a new score: so it is known now that it can be written, and no other object takes it."""
    while True:
        path = p.places.new_file(file, at.confined, "score-{:03}.json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # somebody has taken the name just now
            path.open("x").close()
            return path


def _end_score(p: Performer, at: Arrival, take: Take) -> None:
    from sopilib.live.score import Line, Score, write

    p.look_for_doubts()
    end = take.end = at.t if take.end is None else take.end
    settings, notes, begin, doubt = p.journal.written(take.t, end)
    lines = tuple(Line(n.frame, n.selector, n.atoms) for n in sorted(notes, key=lambda n: n.frame))
    made = Score(lines, settings, p.host_rate, p.outputs, begin, end - take.t, p.precision, doubt)
    p.take = None
    p.tell_setting("score")
    if end == take.t:
        p.teller.tell("warning", f"score {take.shown} is empty: no sound was made from start to stop, is DSP on?")
    if doubt:
        p.teller.tell("warning", f"score {take.shown}: another performance of it may sound otherwise: {doubt}")

    def work(job: Job) -> None:
        take.path.parent.mkdir(parents=True, exist_ok=True)
        write(made, take.path)
        p.teller.tell("scored", take.shown, round(made.frames / p.host_rate, 3) if made.frames else 0.0)

    def failed(job: Job, line: str) -> None:
        with p.lock:
            if p.take is None:
                p.take = take
        p.teller.tell("error", f"{line}; what was played is kept: send score stop again when it can be written")

    p.background("score", f"score {take.shown}", work, failed, every=True)


def render(p: Performer, at: Arrival, file: str, what: str | None) -> None:
    """Renders the present settings, or a score, into a sound file, in the background."""
    if file == "stop":
        for job in p.maker.drop("render"):
            p.teller.tell("warning", f"{job.what} was stopped, nothing was written")
        return
    if at.confined and p.maker.doing("render") is not None:
        raise SopiError("render: a sound is being rendered, expected render stop, or to wait until it is done")
    into: str | None = file
    if _is_number(file) or Path(file).suffix.lower() in SCORES:  # render 60, render score-001.json
        into, what = None, file if what is None else f"{file} {what}"
    given = None if into is None else _new_rendering(p, at, into)
    name, seconds = _score_and_seconds(what or RENDERED)
    source = None if name is None else p.places.score(name, at.confined)
    settings, shown = p.score_settings(), what if given is None else p.places.told(given)
    rate, outputs, folder = p.host_rate, p.outputs, p.places.folder

    def work(job: Job) -> None:
        from sopilib.live import score as scores

        wanted = scores.Score(outputs=outputs, folder=folder) if source is None else scores.read(source)
        if "model" not in wanted.settings:  # a score that names its model stands for itself
            wanted = scores.with_settings(wanted, {**settings, **wanted.settings})
        path = given or _new_rendering(p, at, None)  # only now: what was asked for before has taken its name
        length = scores.render(
            wanted, path, seconds, rate, goes_on=lambda share: _goes_on(p, job, share), precision=p.precision
        )
        if length is not None:
            p.teller.tell("rendered", p.places.told(path), round(length, 3))

    p.make(f"render {shown}", work, kind="render")


def _new_rendering(p: Performer, at: Arrival, name: str | None) -> Path:
    return p.places.new_file(name, at.confined, "render-{:03}.wav", ".wav")


def _goes_on(p: Performer, job: Job, share: float) -> bool:
    if not job.dropped:
        p.teller.tell_changed("progress", round(100 * share))
    return not job.dropped


def _score_and_seconds(what: str) -> tuple[str | None, float | None]:
    """[score] [seconds], one of which may be missing."""
    before, _, last = what.rpartition(" ")
    return (before or None, float(last)) if _is_number(last) else (what, None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def latency(p: Performer, at: Arrival, ms: float) -> None:
    """How long a message takes to its sound."""
    p.stream.post("latency", at.t, ms)
    p.remember("latency", ms)
    p.teller.check_latency(p.stream.stats())


def freewheel(p: Performer, at: Arrival, on: int) -> None:
    """Whether the host waits for the sound. Nobody on a network decides that: its callback would then wait."""
    if at.confined and bool(on) != p.freewheel:
        raise SopiError("freewheel: it is the host that decides this, send it there")
    p.stream.freewheel = bool(on)
    p.tell_setting("freewheel")


def tempo(p: Performer, at: Arrival, bpm: float) -> None:
    """Beats a minute."""
    p.stream.post("tempo", at.t, bpm)
    p.remember("tempo", bpm)


def grid(p: Performer, at: Arrival, line: str) -> None:
    """The length from line to line."""
    p.stream.post("grid", at.t, 0.0 if line == "off" else float(Fraction(line)))
    p.remember("grid", line)


def beat(p: Performer, at: Arrival, bpm: float | None) -> None:
    """A beat is at the very moment of this message: the first of a bar, or one more, at the tempo of the last two."""
    before, p.state.beat = p.state.beat, at.t
    first = bpm is not None or before is None
    if bpm is None:
        since = (at.t - before) / p.host_rate if before is not None else 0.0
        least, most = COMMANDS["tempo"].arguments[0].least, COMMANDS["tempo"].arguments[0].most
        bpm = 60 / since if since and least <= 60 / since <= most else p.state.tempo
    p.stream.post("beat", at.t, bpm, index=int(first))
    p.remember("tempo", bpm)


def tick(p: Performer, at: Arrival, on: int, where: str) -> None:
    """Whether the host asks for ticks: that is the host's affair, who hears it from the event."""
    p.stream.tick_at_lines(where == "line")
    p.teller.tell("tick", on, where)


def report(p: Performer, at: Arrival, ms: float) -> None:
    """How often the level and the speed are told."""
    p.remember("report", ms)


def models(p: Performer, at: Arrival) -> None:
    """Tells the names of the models that `load` finds."""
    p.teller.tell("models", *library.available())


def status(p: Performer, at: Arrival) -> None:
    """Tells everything."""
    if p.state.model is not None:
        p.teller.tell("model", p.state.model, p.state.sample_rate)
    if p.state.model2 is not None and p.music.second is not None:
        p.teller.tell("model2", p.state.model2, p.music.second.config.sample_rate)
    p.teller.tell("playing", int(p.state.playing))
    for command in COMMANDS.values():
        if command.query:
            p.tell_setting(command.name)
    p.teller.tell_everything()


def tell_dropped(p: Performer, dropped: list[Job], by: str) -> None:
    """Tells what is not done any more, because of the message `by`."""
    for job in dropped:
        p.teller.tell("warning", f"{job.what} was dropped for {by}")


GESTURES: dict[str, Callable[..., Any]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(load, load2, blend, blend_mode, generate, stop, seed, reset, rest, listen, guard, voices, voice, feature),
        *(snapshot, record, score, render, latency, freewheel, tempo, grid, beat, tick, report, models, status),
    )
}
"""By the name of their message. A message that has none is a knob."""
