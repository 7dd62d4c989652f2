"""Writes pd/samplernn~-help.pd, the help of [samplernn~], from the command table, and pd/pyext/pyext-help.pd:

    python pd/write_help.py

What a command does, its range and its usual value come from sopilib/live/commands.py; which page it is on, and with
what example, is said here. A command that no page names is put on a last one, `more`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import sopilib
from sopilib.live.commands import COMMANDS, KEPT, STATUS, Argument
from sopilib.pd_patch import Canvas, escaped, lines

HERE = Path(__file__).resolve().parent
DECLARE = "-path . -path pyext -lib sopi"
PETROL, SAND = "#24323a", "#d9d2c3"
FILE, ARRAY = "FILE", "ARRAY"
"""In an example: a file, for which a dialog asks, so that nothing is written into the folder of the help; the array of
this patch."""

Row = tuple[str, ...]
"""An example, and what it does where that is not what the table says of its command. `$1`: a slider or a number."""
PAGES: dict[str, tuple[str, tuple[Row, ...]]] = {
    "play": (
        "start, stop, load, record",
        (
            ("load piano",),
            ("models",),
            ("generate",),
            ("stop",),
            ("gain $1 20",),
            ("fade $1",),
            (f"record start {FILE}", f"{COMMANDS['record'].help} With a name, into that one."),
            ("record stop", "Ends the recording; the status recorded says its file and length."),
        ),
    ),
    "shape": (
        "temperature and seed",
        (
            ("temperature $1 50",),
            ("temperature 1.4 8000", "There in eight seconds."),
            ("temperature env [0.7 1.1 0.8] [4 2] [-2 0]",
             "Levels, seconds between them, curves: 0 a line, above 0 late, below 0 early, or lin exp sin wel sqr cub "
             "step hold. Env(...) with commas, as the course writes it, can't be typed in a message box: Pd ends the "
             "message at each comma."),
            ("seed $1",),
            ("seed s18446744073709551615", "A seed that Pd's numbers can't hold, above 16777216, is a word that begins "
             "with s."),
            ("reset",),
            ("rate $1 200",),
        ),
    ),
    "sampling": (
        "how codes are drawn",
        (
            ("top-k $1",),
            ("top-p $1",),
            ("min-p $1",),
            ("rest $1",),
            ("rest-level $1",),
            ("kick $1",),
            ("guard nudge",),
            ("guard off", "It is left alone, as it is at the start."),
            ("feature 1 0.5 100",),
        ),
    ),
    "sounds": (
        "it hears a sound and goes on",
        (
            (f"seed {ARRAY} 0 500", "The model hears the first 500 ms of an array, and goes on from there. Write "
             "something into it first, with the button below."),
            (f"seed {FILE}", "The same from a sound file."),
            ("listen 1",),
            ("listen 1 input", "You are heard meanwhile."),
            ("listen 0", "It has heard all up to this moment, and answers."),
            ("seed live 2000", "The last 2000 ms of what came in, heard at once: the music goes on meanwhile."),
        ),
    ),
    "memory": (
        "snapshots and freeze",
        (
            ("snapshot store 1",),
            ("snapshot recall 1", "Goes on exactly as it went on then."),
            ("snapshot morph 1 3000", "Its memory goes over there in 3000 ms, without a break."),
            (f"snapshot save {FILE}", "All slots of this model, as a file."),
            (f"snapshot load {FILE}", "Slots from such a file, for the model that they are of."),
            ("freeze $1",),
            ("freeze 0", "The music goes on where it was."),
        ),
    ),
    "voices": (
        "several at once",
        (
            ("voices $1",),
            ("voice 2 temperature 1.3 500",),
            ("voice 2 seed 7", "Its own music, from its next large frame on."),
            ("mix $1",),
            ("voice 1 pan -1", "[samplernn2~], [samplernn4~] and [samplernn8~] have an outlet a voice, "
             "[samplernn.mc~] has a channel; this box has one outlet and mixes."),
            ("pan $1 200",),
        ),
    ),
    "two-models": (
        "one fader between two",
        (
            ("load2 tabla",),
            ("blend $1 50",),
            ("blend 0 2000", "The first alone again, in two seconds."),
            ("blend-mode logits",),
            ("blend-mode audio", "Two sounds are mixed."),
            ("load2 off", "No second model."),
        ),
    ),
    "time": (
        "tempo, grid, clock, latency",
        (
            ("tempo $1",),
            ("grid 1/4",),
            ("grid off", "At once again."),
            ("beat",),
            ("tick $1",),
            ("tick 1 line", "A bang at each line of the grid instead: a clock."),
            ("latency $1",),
            ("freewheel $1",),
        ),
    ),
    "scores": (
        "written down, rendered",
        (
            (f"score start {FILE}", COMMANDS["score"].help),
            ("score stop", "Writes it; the status scored says the file and the length."),
            (f"render {FILE} 10", COMMANDS["render"].help),
            ("render stop", "Gives up what is being rendered."),
        ),
    ),
    "asking": (
        "questions and answers",
        (
            ("status",),
            ("bang", "The same as status."),
            ("temperature?", "Any setting with ? is answered at the second outlet."),
            ("report $1",),
        ),
    ),
    "patch": (
        "for your own patch",
        (
            ("settings temperature 1.1 seed 5", "Names and values in turn: whatever is kept with a patch."),
            ("folder models", "Where relative paths of models and sounds are looked up first. At the start: beside "
             "your patch."),
            ("name left", "Its name in OSC, where it has a number too."),
            ("osc 9000", "OSC for all samplernn objects of this Pd: /samplernn/1/temperature 0.9, or "
             "/samplernn/left/..."),
            ("osc 0", "Closes it."),
            ("web open", "A page that plays all samplernn objects of this Pd, in this machine's browser."),
            ("web 9000 0.0.0.0", "The same page for the phones of your network. Its address comes out of the status "
             "outlet, and is in the console."),
            ("web 0", "Closes it."),
        ),
    ),
}  # fmt: skip


# ---------------------------------------------------------------- pages


def page_of_the_rest(pages: dict[str, tuple[str, tuple[Row, ...]]]) -> dict[str, tuple[str, tuple[Row, ...]]]:
    """The pages, and one more for the commands that are on none of them."""
    shown = {words_of(row)[0] for _, rows in pages.values() for row in rows}
    rest = tuple((example(name),) for name in COMMANDS if name not in shown)
    return {**pages, "more": ("the others", rest)} if rest else pages


def example(name: str) -> str:
    """A message of the command, with its usual arguments."""
    argument = next(iter(COMMANDS[name].arguments), None)
    if argument is None:
        return name
    if argument.kind == "choice":
        return f"{name} {argument.choices[0]}"
    return f"{name} $1" if ends(argument) else name


def words_of(row: Row) -> list[str]:
    return row[0].split(" ")


def ends(argument: Argument) -> tuple[float, float] | None:
    """Between what a slider of the help moves, None if it can't have one."""
    if argument.kind == "switch":
        return 0, 1
    if argument.name == "sound":
        return 0, 16_777_216
    if argument.kind not in ("float", "int", "level"):
        return None
    return argument.knob or (argument.least, argument.most)


def knobs(rows: Iterable[Row]) -> list[str]:
    return [words_of(row)[0] for row in rows if "$1" in row[0]]


WIDTH, STEP, LETTER, LINE = 860, 12, 7, 16
MARGIN = 14  # so much wider than what lies in it a window never has scrollbars


def page(title: str, rows: tuple[Row, ...], to: str = "$0-help") -> Canvas:
    """Each message a step further right than the one above, so that its cord passes to the left of all below."""
    canvas = Canvas(WIDTH, 0, 120, 60)
    canvas.panel(3, 3, WIDTH - 6, 34, PETROL, title)
    right = max(20 + STEP * i + width_of(row) for i, row in enumerate(rows))
    column = right + 20
    columns = (WIDTH - column - 12) // LETTER
    y, messages = 50, []
    for i, row in enumerate(rows):
        x = 20 + STEP * i
        command = COMMANDS.get(words_of(row)[0].rstrip("?"))
        told = plain(row[1] if len(row) > 1 else command.help if command else "")
        canvas.text(column, y, told, columns)
        message, bottom = widget(canvas, row, x, y)
        messages.append(message)
        y = max(bottom, y + LINE * lines(told, columns) + 5) + 8
    target = canvas.obj(20, y + 8, f"s {to}")
    for message in messages:
        canvas.connect(message, 0, target)
    if knobs(rows):
        canvas.sub(120, y + 8, "show", show(knobs(rows)))
    if any(ARRAY in row[0] for row in rows):
        y = write_array(canvas, y + 4)
    canvas.place = f"120 60 {MARGIN + WIDTH} {y + 44}"
    return canvas


def show(names: list[str]) -> Canvas:
    """Sliders and numbers show what is really set, whoever set it."""
    canvas = Canvas(max(390, 30 + 160 * len(names)), 200, 160, 100)
    canvas.text(20, 8, "what is set is shown, and not sent again", 50)
    for i, name in enumerate(names):
        x = 20 + 160 * i
        event = COMMANDS[name].told or name
        put = canvas.msg(x, 96, "set $1")
        canvas.after(canvas.after(canvas.obj(x, 40, "r $0-status"), canvas.obj(x, 68, f"route {event}")), put)
        canvas.connect(put, 0, canvas.obj(x + 20, 128, f"s $0-{name}-set"))
        canvas.connect(put, 0, canvas.obj(x, 158, f"s $0-{name}-show"))
    return canvas


def write_array(canvas: Canvas, y: int) -> int:
    """An array and what writes half a second of the music into it -> where it ends below."""
    writes = canvas.obj(300, y + 32, "tabwrite~ $0-sound")
    canvas.connect(canvas.obj(300, y, "r~ $0-out"), 0, writes)
    canvas.connect(canvas.button(400, y + 2, "empty empty"), 0, writes)
    canvas.text(426, y + 2, "writes half a second of what plays into the array", 50)
    canvas.obj(480, y + 32, "array define $0-sound 24000")
    return y + 24


def plain(text: str) -> str:
    """At a semicolon Pd would begin a line."""
    return text.replace(";", " -")


def width_of(row: Row) -> int:
    shown = len(row[0].replace(FILE, "$1").replace(ARRAY, "$1")) * LETTER + 8
    return max(shown, 190 if "$1" in row[0] else 0)


def widget(canvas: Canvas, row: Row, x: int, y: int) -> tuple[int, int]:
    """What one touches and the message that it fills in -> the message, and where it ends below."""
    words = words_of(row)
    if FILE in words:
        asks = canvas.button(x, y, "empty empty")
        writes = bool({"start", "save", "render"} & set(words))  # where one likes: nothing is left in the project
        dialog = canvas.obj(x, y + 24, "savepanel" if writes else "openpanel")
        message = canvas.msg(x, y + 52, row[0].replace(FILE, "$1"))
        canvas.connect(asks, 0, dialog)
        canvas.connect(dialog, 0, message)
        return message, y + 74
    if ARRAY in words:
        asks, name = canvas.button(x, y, "empty empty"), canvas.obj(x, y + 24, "symbol $0-sound")
        message = canvas.msg(x, y + 52, row[0].replace(ARRAY, "$1"))
        canvas.connect(asks, 0, name)
        canvas.connect(name, 0, message)
        return message, y + 74
    if "$1" not in words:
        return canvas.msg(x, y, row[0]), y + 22
    names, argument = f"$0-{words[0]}-show $0-{words[0]}-set", COMMANDS[words[0]].arguments[0]
    between = ends(argument)
    assert between is not None, row
    if argument.kind == "switch":
        made = canvas.toggle(x, y, names)
    elif argument.kind in ("int", "sound"):
        made = canvas.number(x, y + 1, between, names, 8)
    else:
        made = canvas.slider(x, y + 2, between, names)
        canvas.add(f"floatatom {x + 142} {y - 1} 6 0 0 0 - {escaped(names.split()[0])} -")
    message = canvas.msg(x, y + 26, row[0])
    canvas.connect(made, 0, message)
    return message, y + 48


def answers() -> Canvas:
    """The status events that have names of their own."""
    events = {name: plain(told) for name, told in STATUS.items() if name not in COMMANDS}
    canvas = Canvas(WIDTH, 0, 120, 60)
    canvas.panel(3, 3, WIDTH - 6, 34, PETROL, "what comes out of the second outlet")
    text = "A setting is told by its own name when it changes: temperature 0.9 500. Besides, there are:"
    canvas.text(20, 46, text, 110)
    y = 74
    for name, told in events.items():
        canvas.text(20, y, name, 14)
        canvas.text(130, y, told, 100)
        y += LINE * lines(told, 100) + 6
    canvas.place = f"120 60 {MARGIN + WIDTH} {y + 14}"
    return canvas


Sections = list[tuple[str, list[tuple[str, str]]]]


def reference() -> Canvas:
    names = ", ".join([*COMMANDS, "bang", "settings", "folder", "osc", "web", "name"])
    sections: Sections = [
        ("INLETS", [("1st", f"signal: what listen and seed live hear. Messages: {names}. With ? a setting is told."),
                    ("2nd", "signal: the temperature, one value a sample, wherever it is above 0")]),
        ("OUTLETS", [("1st", "signal: the sound"),
                     ("2nd", "status: settings that change and events, see the page answers"),
                     ("3rd", "bang: a model is loaded, or a sound has been heard"),
                     ("4th", "bang: at each smallest frame of the model, after tick 1")]),
        ("ARGUMENTS", [("1)", "the model: a name that models lists, or a file"),
                       ("2)", f"names and values of settings: {', '.join(KEPT)}"),
                       ("clone", "the number that [clone] puts first is the seed, if no seed is given")]),
    ]  # fmt: skip
    text = "A message is heard latency ms after it came, to the sample. Settings are saved with the patch; in [clone] "
    return laid_out(sections, text + "only Pd 0.54 and later do so.")


def laid_out(sections: Sections, last: str) -> Canvas:
    """A reference in the manner of Pd's own."""
    canvas = Canvas(720, 0, 160, 60)
    y = 12
    for title, entries in sections:
        canvas.panel(8, y, 704, 22, PETROL, title, 12)
        y += 30
        for name, told in entries:
            canvas.text(20, y, name, 8)
            canvas.text(90, y, plain(told), 86)
            y += LINE * lines(told, 86) + 8
        y += 6
    canvas.text(20, y, plain(last), 96)
    canvas.place = f"160 60 {MARGIN + 720} {y + LINE * lines(last, 96) + 16}"
    return canvas


# ---------------------------------------------------------------- the front


def front() -> str:
    """The whole patch."""
    canvas = Canvas(MARGIN + 800, 545)
    pages = page_of_the_rest(PAGES)
    canvas.panel(3, 3, 794, 42, PETROL, "samplernn~", 20)
    canvas.add("obj 170 25 cnv 1 1 1 empty empty a\\ trained\\ SampleRNN\\ plays\\ live 0 0 0 12 #24323a #a9c9c4 0")
    canvas.sub(690, 98, "reference", reference())
    canvas.text(16, 49, "Switch play on, turn the temperature. Each message is heard 20 ms after it came, to the "
                "sample; the same seed is the same music.", 108)  # fmt: skip
    instrument(canvas)
    y = 98
    canvas.text(450, y, "every message, page by page:", 30)
    for name, (title, rows) in pages.items():
        y += 26
        canvas.sub(450, y, name, page(f"{name}: {title}", rows))
        canvas.text(560, y, title, 30)
    y += 26
    canvas.sub(450, y, "answers", answers())
    canvas.text(560, y, "what the status outlet says", 30)
    footer(canvas)
    return canvas.file(DECLARE)


def instrument(canvas: Canvas) -> None:
    """[samplernn~], what one turns first, and where its outlets go."""
    canvas.text(16, 88, "play", 5)
    play = canvas.after(canvas.toggle(20, 112, "empty $0-generate-set", 30), canvas.obj(20, 150, "t f f"))
    canvas.text(136, 88, "temperature", 12)
    temperature = canvas.slider(140, 114, (0.2, 2), "$0-temperature-show $0-temperature-set", 130)
    canvas.add("floatatom 286 110 5 0 0 0 - \\$0-temperature-show -")
    canvas.text(340, 88, "seed", 6)
    seed = canvas.number(344, 112, (0, 16_777_216), "$0-seed-show $0-seed-set", 8)
    canvas.connect(play, 1, canvas.sub(48, 176, "audio", audio()))
    box = canvas.obj(20, 256, "samplernn~ tabla")
    canvas.connect(canvas.after(play, canvas.msg(20, 208, "generate $1")), 0, box)
    canvas.connect(canvas.after(temperature, canvas.msg(115, 208, "temperature $1 50")), 0, box)
    canvas.connect(canvas.after(seed, canvas.msg(252, 208, "seed $1")), 0, box)
    canvas.connect(canvas.obj(324, 208, "r $0-help"), 0, box)
    tick, loaded = canvas.button(300, 286, "empty empty"), canvas.button(200, 310, "empty empty")
    canvas.text(324, 286, "tick", 6)
    canvas.text(224, 310, "loaded, or a sound heard", 25)
    canvas.connect(box, 3, tick)
    canvas.connect(box, 2, loaded)
    canvas.connect(box, 1, canvas.obj(240, 350, "print samplernn"))
    canvas.connect(box, 1, canvas.obj(100, 350, "s $0-status"))
    canvas.connect(box, 0, canvas.obj(52, 376, "s~ $0-out"))
    speakers = canvas.obj(20, 400, "dac~")
    canvas.connect(box, 0, speakers, 0)
    canvas.connect(box, 0, speakers, 1)
    canvas.sub(240, 380, "at-the-start", at_the_start())
    answer = canvas.sub(130, 400, "answer", last_answer())
    canvas.objects.append(f"#X msg 130 426 {escaped('what it answers is shown here')}, f 40;")
    canvas.connect(answer, 0, len(canvas.objects) - 1)


def audio() -> Canvas:
    canvas = Canvas(260, 180, 200, 160)
    canvas.text(20, 10, "play switches the audio on, too", 32)
    canvas.after(
        canvas.after(canvas.obj(20, 40, "inlet"), canvas.obj(20, 70, "sel 1")), canvas.msg(20, 100, "; pd dsp 1")
    )
    return canvas


def at_the_start() -> Canvas:
    """When the model is there, all is asked for once, so that sliders show it."""
    canvas = Canvas(420, 220, 200, 160)
    canvas.text(20, 10, "once the model is there everything is asked for, so that all sliders show what is set", 54)
    last = canvas.obj(20, 56, "r $0-status")
    for i, made in enumerate(("route loaded", "t b")):
        last = canvas.after(last, canvas.obj(20, 86 + 30 * i, made))
    canvas.after(canvas.after(last, canvas.msg(20, 146, "status")), canvas.obj(20, 176, "s $0-help"))
    playing = canvas.after(canvas.obj(200, 56, "r $0-status"), canvas.obj(200, 86, "route playing"))
    canvas.after(canvas.after(playing, canvas.msg(200, 116, "set $1")), canvas.obj(200, 146, "s $0-generate-set"))
    return canvas


def last_answer() -> Canvas:
    canvas = Canvas(260, 190, 200, 160)
    last = canvas.obj(20, 20, "r $0-status")
    for i, made in enumerate(("list prepend set", "list trim", "outlet")):
        last = canvas.after(last, canvas.obj(20, 60 + 40 * i, made))
    return canvas


def footer(canvas: Canvas) -> None:
    canvas.panel(8, 470, 780, 1, SAND)
    canvas.text(16, 480, "see also:", 10)
    opens = canvas.sub(100, 509, "open", open_beside())
    canvas.connect(canvas.msg(100, 480, "list 01.a-knob.pd examples"), 0, opens)
    canvas.connect(canvas.msg(320, 480, "list pyext-help.pd pyext"), 0, opens)
    canvas.text(680, 508, f"sopilib {sopilib.__version__}", 15)
    canvas.obj(530, 480, f"declare {DECLARE}")


def open_beside() -> Canvas:
    """Opens a patch by its name and its folder, as seen from here: with the folder in the name Pd wouldn't find what
    the patch needs."""
    canvas = Canvas(320, 260, 200, 160)
    asked = canvas.after(canvas.obj(20, 20, "inlet"), canvas.obj(20, 50, "t a b"))
    both = canvas.obj(20, 160, "list append")
    canvas.connect(asked, 0, both)
    here = canvas.msg(60, 84, "dir")
    canvas.connect(asked, 1, here)
    canvas.connect(canvas.after(here, canvas.obj(60, 116, "pdcontrol")), 0, both, 1)
    canvas.after(both, canvas.msg(20, 192, "; pd open $1 $3/$2"))
    return canvas


# ---------------------------------------------------------------- more outlets, and where to begin


def front_of_outlets(count: int) -> str:
    """The help of [samplernn2~], [samplernn4~] or [samplernn8~]: what differs from [samplernn~]."""
    return front_of_voices(
        f"samplernn{count}~", f"{count} voices and a signal outlet for each: its messages, its other outlets and its "
        "arguments are the same.", "", "the first voice at the left, the second at the right")  # fmt: skip


def front_of_channels() -> str:
    """The help of [samplernn.mc~]."""
    return front_of_voices(
        "samplernn.mc~",
        "one cord that has a channel for each voice, from Pd 0.54 on. An older Pd mixes them. The rest is the same.",
        " voices 4",
        "a channel a speaker, or [snake~ out 4]",
    )


def front_of_voices(name: str, differs: str, more: str, heard: str) -> str:
    """The help of an object that differs from [samplernn~] in this, with more arguments, and what one hears of it."""
    canvas = Canvas(MARGIN + 600, 348)
    canvas.panel(3, 3, 594, 34, PETROL, name, 16)
    canvas.text(16, 46, f"[samplernn~] with {differs}", 80)
    audible = canvas.after(canvas.toggle(20, 100, "empty empty", 24), canvas.obj(20, 132, "t f f"))
    canvas.text(50, 102, "play", 5)
    canvas.connect(audible, 1, canvas.sub(48, 160, "audio", audio()))
    box = canvas.obj(20, 220, f"{name} tabla{more}")
    canvas.connect(canvas.after(audible, canvas.msg(20, 188, "generate $1")), 0, box)
    canvas.connect(canvas.msg(260, 188, "voice 2 temperature 1.4 500"), 0, box)
    canvas.connect(canvas.msg(140, 188, "temperature 1"), 0, box)
    speakers = canvas.obj(20, 270, "dac~")
    canvas.connect(box, 0, speakers, 0)
    if not more:
        canvas.connect(box, 1, speakers, 1)
    canvas.text(70, 270, heard, 60)
    canvas.text(136, 164, "for all", 8)
    canvas.text(256, 164, "for one voice", 14)
    opens = canvas.sub(400, 132, "open", open_beside())
    canvas.text(316, 102, "all else:", 10)
    canvas.connect(canvas.msg(400, 102, "list samplernn~-help.pd ."), 0, opens)
    canvas.obj(320, 298, f"declare {DECLARE}")
    return canvas.file(DECLARE)


def front_of_all() -> str:
    """Where to begin, for Pd's help browser."""
    canvas = Canvas(MARGIN + 560, 400)
    canvas.panel(3, 3, 554, 40, PETROL, "samplernn", 20)
    canvas.text(16, 52, "A trained SampleRNN as an instrument. Each of these opens with a click:", 74)
    opened = [("samplernn~-help.pd ..", "the object and all its messages"),
              *((f"{p.name} ../examples", "") for p in sorted((HERE / "examples").glob("[0-9]*.pd"))),
              ("pyext-help.pd ../pyext", "your own objects")]  # fmt: skip
    target = canvas.obj(20, 84 + 24 * len(opened), "s $0-open")
    for i, (path, told) in enumerate(opened):
        canvas.connect(canvas.msg(20 + 10 * i, 80 + 24 * i, f"list {path}"), 0, target)
        if told:
            canvas.text(260 + 10 * i, 80 + 24 * i, told, 34 if i == 0 else 20)
    bottom = 84 + 24 * len(opened)
    canvas.connect(canvas.obj(180, bottom, "r $0-open"), 0, canvas.sub(180, bottom + 28, "open", open_beside()))
    canvas.place = f"60 40 {MARGIN + 560} {bottom + 66}"
    return canvas.file()


PATCHES: dict[str, Callable[[], str]] = {
    "samplernn~-help.pd": front,
    **{f"samplernn{n}~-help.pd": partial(front_of_outlets, n) for n in (2, 4, 8)},
    "samplernn.mc~-help.pd": front_of_channels,
    "samplernn/start-here.pd": front_of_all,
}
"""The patches that are made, by their paths from here; pyext/pyext-help.pd is added below."""


# ---------------------------------------------------------------- [pyext]


TO_THE_BOX: tuple[Row, ...] = (
    ("reload 3", "Runs the file again, after a change of the code, and makes the instance anew with these arguments."),
    ("reload.", "The same, with the old arguments."),
    ("doc", "The module's documentation, in the console."),
    ("doc+", "The class's."),
    ("dir", "Names in the module, at the last outlet."),
    ("dir+", "Names in the class."),
    ("get factor", "An attribute of the instance, at the last outlet."),
    ("set factor 3", "Sets one that is there, if its name doesn't begin with _."),
    ("edit", "Opens the file in the program that the environment variable EDITOR names."),
    ("getmethods", "The messages that this inlet understands, at the last outlet."),
    ("help", "Most of that in a few lines, in the console."),
)  # fmt: skip

ATTRIBUTES: tuple[Row, ...] = (
    ("getattributes", "What can be set here or by @ in the box: args, detach, py, respond."),
    ("args 4", "What __init__ gets from the next reload. on."),
    ("getargs", "What it got, at the last outlet."),
    ("detach 1", "0: methods run in Pd's thread. 1: in one thread for all boxes. 2: each call in a thread of its own."),
    ("getdetach", "Which it is."),
    ("stop", "Asks detached methods to end: _shouldexit is true in them."),
    ("py 1", "Values that Pd doesn't know go out as Python objects, for other boxes."),
    ("getpy", "Whether they do."),
    ("respond 1", "Each message is answered, at the last outlet: response 1 if a method took it, else 0."),
    ("getrespond", "Whether it is."),
)  # fmt: skip

TO_THE_CLASS: tuple[Row, ...] = (
    ("5", "float_1(5). A whole number also finds int_1."),
    ("bang", "bang_1()"),
    ("note 60 100", "note_1(60, 100): a method of the message's own name, then the number of the inlet."),
    ("symbol hello", "symbol_1, which this class hasn't: so _anything_1 gets it, which takes what is left."),
    ("list 1 2 3", "list_1, or else _anything_1(1, 2, 3)."),
    ("note", "An error in Python is a line in the console that names the box, and the box lives on."),
)

CODE = """class example(pyext._class):
    _inlets = 1
    _outlets = 1
    def __init__(self, factor=1):
        self.factor = factor
    def float_1(self, x):
        self._outlet(1, self.factor * x)"""


def front_of_pyext() -> str:
    """The help of [pyext] and [pyext~], with boxes of both."""
    canvas = Canvas(MARGIN + 800, 540)
    canvas.panel(3, 3, 794, 42, PETROL, "pyext", 20)
    canvas.add("obj 110 25 cnv 1 1 1 empty empty objects\\ written\\ in\\ Python 0 0 0 12 #24323a #a9c9c4 0")
    canvas.text(16, 52, "[pyext module class arguments] is an instance of a class. The module is a file beside your "
                "patch, or in Pd's path: this one is pyext_help.py.", 108)  # fmt: skip
    number = canvas.add("floatatom 200 100 5 0 0 0 - - -")
    box = canvas.obj(20, 156, "pyext pyext_help example 2")
    canvas.connect(canvas.obj(20, 126, "r $0-box"), 0, box)
    canvas.connect(canvas.obj(110, 126, "r $0-class"), 0, box, 1)
    canvas.connect(number, 0, box, 1)
    canvas.text(256, 100, "drag", 5)
    canvas.connect(box, 0, canvas.obj(20, 206, "print result"))
    canvas.connect(box, 1, canvas.obj(202, 190, "print answer"))
    canvas.text(16, 240, "Its file, in short:", 40)
    for i, line in enumerate(CODE.splitlines()):
        indent = len(line) - len(line.lstrip())
        canvas.text(20 + LETTER * indent, 264 + 22 * i, line.strip(), 50)
    x = 450
    canvas.sub(x, 100, "reference", reference_of_pyext())
    canvas.sub(x, 130, "to-the-box", page("to the box: its first inlet", TO_THE_BOX, "$0-box"))
    canvas.text(x + 120, 130, "reload, doc, get, set, ...", 30)
    canvas.sub(x, 160, "attributes", page("attributes of the box: its first inlet", ATTRIBUTES, "$0-box"))
    canvas.text(x + 120, 160, "threads, arguments", 30)
    canvas.sub(x, 190, "to-the-class", page("to the class: the inlets after it", TO_THE_CLASS, "$0-class"))
    canvas.text(x + 120, 190, "which method gets what", 30)
    signals(canvas, x, 224)
    functions(canvas, x, 350)
    canvas.panel(8, 462, 780, 1, SAND)
    canvas.text(16, 470, "see also:", 10)
    opens = canvas.sub(100, 497, "open", open_beside())
    canvas.connect(canvas.msg(100, 470, "list samplernn~-help.pd .."), 0, opens)
    canvas.obj(620, 430, "declare -path . -lib sopi")
    canvas.text(300, 497, "README.md beside this file has all about threads and rings", 60)
    return canvas.file("-path . -lib sopi")


def signals(canvas: Canvas, x: int, y: int) -> None:
    canvas.text(x - 4, y, "With sound: [pyext~ inlets outlets signals-in signals-out ...]", 44)
    tone = canvas.obj(x, y + 42, "osc~ 220")
    strength = canvas.slider(x + 120, y + 45, (0, 0.5), "empty empty", 100)
    sound = canvas.obj(x, y + 72, "pyext~ 1 1 1 1 pyext_help softer 0.1")
    canvas.connect(tone, 0, sound)
    canvas.connect(strength, 0, sound, 1)
    speakers = canvas.obj(x, y + 98, "dac~")
    canvas.connect(sound, 0, speakers, 0)
    canvas.connect(sound, 0, speakers, 1)


def functions(canvas: Canvas, x: int, y: int) -> None:
    canvas.text(x - 4, y, "A function: [py module function arguments]", 44)
    root = canvas.obj(x, y + 52, "py math sqrt")
    canvas.connect(canvas.msg(x + 80, y + 24, "16"), 0, root, 1)
    canvas.connect(root, 0, canvas.obj(x, y + 80, "print square-root"))


def reference_of_pyext() -> Canvas:
    sections: Sections = [
        ("INLETS", [("1st", "messages to the box: see the page to-the-box. In [pyext~] also its first signal."),
                    ("others", "signals, as many as the box says; then messages to the class, _inlets of them")]),
        ("OUTLETS", [("first", "signals of [pyext~]"),
                     ("others", "messages, _outlets of them: self._outlet(1, ...)"),
                     ("last", "answers of the box to get, dir, getattributes and so on")]),
        ("ARGUMENTS", [("numbers", "inlets and outlets, instead of _inlets and _outlets; in [pyext~] four numbers, the "
                        "last two of signals"),
                       ("module", "a file's name without .py"),
                       ("class", "in it; the module's own name if it is left out"),
                       ("others", "what __init__ gets"),
                       ("@detach", "0, 1 or 2: in which thread methods run")]),
    ]  # fmt: skip
    return laid_out(sections, "Without the external's folder in Pd's path a patch needs [declare -path ... -lib sopi].")


PATCHES["pyext/pyext-help.pd"] = front_of_pyext

if __name__ == "__main__":
    for path, made in PATCHES.items():
        (HERE / path).write_text(made())
