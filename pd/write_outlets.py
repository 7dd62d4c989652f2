"""Writes the abstractions [samplernn~], [samplernn2~], [samplernn4~] and [samplernn8~], which differ in how many voices
and signal outlets they have, and [samplernn.mc~], whose one outlet has a channel for each voice:

    python pd/write_outlets.py

An abstraction can't grow outlets by an argument: they would be made after the cords of the patch that it is in.
"""

from __future__ import annotations

from pathlib import Path

from sopilib.pd_patch import Canvas

HERE = Path(__file__).resolve().parent
DECLARE = "-path pyext -lib sopi"
NAMES = {"samplernn~": 1, "samplernn2~": 2, "samplernn4~": 4, "samplernn8~": 8, "samplernn.mc~": 1}
"""How many signal outlets each has."""
MANY = "samplernn.mc~"
MOST_CHANNELS = 16  # as many voices as there can be
STEP = 60  # pixels between two outlets


def settings() -> Canvas:
    """What keeps the settings with the patch that the abstraction is in."""
    c = Canvas(640, 420, 60, 60)
    c.text(20, 20, "a new box: its arguments", 14)
    c.text(180, 20, "saved:", 8)
    c.text(500, 60, "the last that came is saved with the parent patch", 18)
    c.text(500, 140, "relative paths: beside the parent patch", 18)
    c.text(20, 345, "[clone] puts a voice number first", 18)
    start, first, new = c.obj(20, 60, "loadbang"), c.obj(20, 90, "t b b"), c.obj(20, 220, "f 0")
    args = c.after(c.after(c.after(start, first), new), c.obj(20, 250, "sel 0"))
    c.after(args, c.msg(20, 280, "args"))
    arguments = c.after(args + 1, c.obj(20, 310, "pdcontrol"))
    keep, saved, old = c.obj(280, 20, "r $0-keep"), c.obj(180, 60, "savestate"), c.obj(180, 110, "t a b b")
    c.after(c.after(keep, saved), old)
    restore = c.obj(180, 340, "list prepend settings")
    c.connect(arguments, 0, restore)
    c.connect(old, 0, restore)
    c.after(c.after(restore, c.obj(180, 365, "list trim")), c.obj(180, 390, "s $0-message"))
    one, folder = c.msg(100, 190, "1"), c.msg(400, 190, "dir 1")
    c.connect(old, 1, one)
    c.connect(one, 0, new, 1)
    c.connect(old, 2, folder)
    c.connect(first, 1, folder)
    beside = c.after(c.after(folder, c.obj(400, 215, "pdcontrol")), c.obj(400, 240, "list prepend folder"))
    c.after(c.after(beside, c.obj(400, 265, "list trim")), c.obj(400, 290, "s $0-message"))
    last = c.obj(400, 105, "list append")
    c.connect(saved, 1, last)
    c.connect(c.obj(400, 60, "r $0-settings"), 0, last, 1)
    c.after(last, c.obj(400, 135, "s $0-keep"))
    return c


def abstraction(name: str) -> str:
    """The file of this name."""
    outlets = NAMES[name]
    x = max(200, STEP * outlets + 20)
    c = Canvas(x + 520, 480, 60, 60)
    c.text(
        *(20, 10),
        "1st: sound to listen to, and messages, which go to the class and not to pyext's control inlet. 2nd: "
        "temperature, where above 0",
        80,
    )
    sound, warmth, messages = c.obj(20, 60, "inlet~ fwd"), c.obj(150, 60, "inlet~"), c.obj(300, 60, "r $0-message")
    c.obj(x + 300, 120, f"declare {DECLARE}")
    c.sub(x + 300, 60, "settings", settings())
    many = f"{MOST_CHANNELS} samplernn_pd samplernn @multichannel 1"
    box = c.obj(20, 140, f"sopi~ 1 1 2 {many if name == MANY else f'{outlets} samplernn_pd samplernn'}")
    c.connect(sound, 0, box)
    c.connect(sound, 1, box, 2)
    c.connect(warmth, 0, box, 1)
    c.connect(messages, 0, box, 2)
    for k in range(outlets):
        c.connect(box, k, c.obj(20 + STEP * k, 400, "outlet~"))
    kinds = c.obj(x, 200, "route settings tick changed")
    c.connect(box, outlets, kinds)
    c.connect(kinds, 0, c.obj(x - 60, 270, "s $0-settings"))
    c.connect(kinds, 1, c.obj(x + 60, 240, "s $0-tick"))
    soon = c.after(c.obj(x + 145, 270, "delay 20"), c.msg(x + 145, 300, "settings"))
    c.connect(kinds, 2, soon - 1)
    c.after(soon, c.obj(x + 145, 330, "s $0-message"))
    c.text(x + 100, 360, "asked for once, however many knobs move", 20)
    told = c.obj(x + 260, 240, "t a a")
    c.connect(kinds, 3, told)
    c.after(told, c.obj(x + 260, 400, "outlet"))
    done = c.obj(x + 330, 290, "route loaded primed")
    c.connect(told, 1, done)
    bang = c.after(done, c.obj(x + 330, 320, "t b"))
    c.connect(done, 1, bang)
    c.after(bang, c.obj(x + 330, 400, "outlet"))
    c.after(c.obj(x + 420, 360, "r $0-tick"), c.obj(x + 420, 400, "outlet"))
    c.text(20, 430, *(("a channel a voice", 18) if name == MANY else ("sound" if outlets == 1 else "a voice each", 14)))
    c.text(x + 260, 430, "status", 8)
    c.text(x + 330, 430, "ready", 8)
    c.text(x + 420, 430, "tick", 8)
    return c.file(DECLARE)


def path(name: str) -> Path:
    """Of the file of this name."""
    return HERE / f"{name}.pd"


if __name__ == "__main__":
    for each in NAMES:
        path(each).write_text(abstraction(each), encoding="utf-8")
