"""Layouts for controllers, made from the command table: a session of Open Stage Control, a document of TouchOSC, and a
patch for a Pd that has no external of ours.

All have a fader for each number, a toggle for each switch, a button for each command without arguments. They subscribe
to what changes by themselves, say so again every 20 seconds, so that a server that was started later is found too, and
send back the number by which a server in the network makes sure that they are there.
"""

from __future__ import annotations

import json
import math
import uuid
import zlib
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from sopilib.live import COMMANDS
from sopilib.live.commands import Argument, Command
from sopilib.osc.names import ROOT, controls
from sopilib.pd_patch import LOOKS, Canvas, escaped

__all__ = ["FEEDBACK_PORT", "open_stage_control", "touchosc", "vanilla_patch"]

PORT = 9000  # of `sopi serve`
FEEDBACK_PORT = 9001  # at which controllers are to receive
REPORT = 200  # ms between two levels that are shown
RENEW = 20_000  # ms between two subscriptions: three fit into a server's lease
AGAIN = 5000  # the same in Pd, which doesn't notice when a server starts anew
OFF_STAGE = {"freewheel", "tick", "report", "status", "models"}  # commands for patches rather than for hands
SHOWN = ("model", "level")  # events that are shown
ROW, GAP, LABEL, NUMBER = 60, 8, 130, 90  # pixels
WIDTH = 640
ACCENT, PAPER, INK = "#2f7f79", "#24323a", "#f4efe2"


def fader_range(argument: Argument) -> tuple[float, float] | None:
    """The least and the most that a fader for this argument sends; None if it has no ends."""
    if argument.knob is not None:
        return argument.knob
    if argument.kind in ("float", "level", "int") and math.isfinite(argument.least) and math.isfinite(argument.most):
        return argument.least, argument.most
    return None


def kind_of(command: Command) -> str:
    """What a hand plays the command with: a "button", a "toggle", a "choice", a "fader", or "text"."""
    arguments = controls(command)
    if len(arguments) == 1 and arguments[0].kind == "choice":
        return "choice"
    if not arguments:
        return "button"
    if len(arguments) == 1 and arguments[0].kind == "switch":
        return "toggle"
    return "fader" if len(arguments) == 1 and fader_range(arguments[0]) else "text"


def on_stage() -> list[tuple[Command, str]]:
    """The commands that the layouts show, each with what it is played with (`kind_of`)."""
    return [(c, kind_of(c)) for c in COMMANDS.values() if c.name not in OFF_STAGE]


# ---------------------------------------------------------------- Open Stage Control


def open_stage_control(instance: str = "1") -> str:
    """A session file, JSON, for `sopi serve`'s instance of this name or number."""
    address = f"/{ROOT}/{instance}/"
    widgets: list[dict[str, Any]] = []
    top = GAP
    for command, kind in on_stage():
        place = {"left": LABEL + GAP, "top": top, "width": WIDTH - LABEL - 2 * GAP, "height": ROW - GAP}
        widget = {"id": command.name, "address": address + command.name, "comments": command.help, **place}
        arguments = controls(command)
        if kind == "button":
            widget |= {"type": "button", "mode": "tap", "label": command.name, "on": 1, "typeTags": "i"}
        elif kind == "toggle":
            widget |= {"type": "button", "mode": "toggle", "label": command.name, "on": 1, "off": 0, "typeTags": "i"}
        elif kind == "fader" and (ends := fader_range(arguments[0])):
            tags = "f" if arguments[0].kind in ("float", "level") else "i"
            steps = {} if tags == "f" else {"steps": int(ends[1] - ends[0]) + 1, "decimals": 0}
            widget |= {"type": "fader", "horizontal": True, "design": "compact", "typeTags": tags, **steps}
            widget["range"] = {"min": ends[0], "max": ends[1]}
        elif kind == "choice":
            widget |= {"type": "switch", "values": list(arguments[0].choices), "mode": "tap", "layout": "horizontal"}
        else:
            widget |= {"type": "input"}
        name = {"type": "text", "id": f"{command.name} name", "value": command.name, "default": command.name}
        widgets += [name | {"left": GAP, "top": top, "width": LABEL - GAP, "height": ROW - GAP}, widget]
        top += ROW
    for i, kind in enumerate(SHOWN):
        place = {"left": GAP + i * WIDTH // 2, "top": top, "width": WIDTH // 2 - 2 * GAP, "height": ROW - GAP}
        widgets.append({"type": "text", "id": kind, "address": address + kind, **place})
    place = {"left": GAP, "top": top + ROW, "width": WIDTH - 2 * GAP, "height": ROW - GAP}
    refresh = {"address": f"/{ROOT}/refresh", "mode": "tap", "label": "refresh", "on": 1, "typeTags": "i"}
    widgets.append({"type": "button", "id": "refresh", **refresh, **place})
    confirm = f"send('/{ROOT}/confirm', {{type: 'i', value: value}})"
    widgets.append({"type": "variable", "id": "confirm", "address": f"/{ROOT}/confirm", "onValue": confirm})
    for widget in widgets:
        widget.setdefault("address", "auto")
        widget["target"] = ""
    root = {
        "type": "root",
        "id": "root",
        "colorBg": PAPER,
        "colorText": INK,
        "colorWidget": ACCENT,
        "onCreate": (
            f"send('/{ROOT}/subscribe'); send('/{ROOT}/refresh'); send('{address}report', {REPORT}); "
            f"setInterval('subscription', () => send('/{ROOT}/subscribe'), {RENEW})"
        ),
        "widgets": widgets,
        "tabs": [],
    }
    session = {"createdWith": "Open Stage Control", "version": "1.26.0", "type": "session", "content": root}
    return json.dumps(session, indent=1) + "\n"


# ---------------------------------------------------------------- TouchOSC


TOUCHOSC_SCRIPT = f"""\
local subscribed = -{RENEW}
function update()
  if getMillis() - subscribed >= {RENEW} then
    subscribed = getMillis()
    sendOSC('/{ROOT}/subscribe', {FEEDBACK_PORT})
    sendOSC('/{ROOT}/INSTANCE/report', {REPORT})
  end
end
function onReceiveOSC(message, connections)
  if message[1] == '/{ROOT}/confirm' then
    sendOSC('/{ROOT}/confirm', message[2][1].value)
  end
end
"""


def touchosc(instance: str = "1") -> bytes:
    """A .tosc file, XML, compressed, for the instance of this name or number: what starts the sound first, then the
    models, faders with their numbers, snapshots, and the rest."""
    address, stage = f"/{ROOT}/{instance}/", on_stage()
    nodes: list[str] = []
    first = [_pressed(command, kind, address) for command, kind in stage if command.name in FIRST]
    top = _row(nodes, [*first, _dice(address)], GAP, 2 * ROW)
    top = _row(nodes, [_sends(f"load {m}", f"{address}load", [("STRING", m)]) for m in MODELS], top)
    for command, kind in stage:
        if kind == "fader":
            top = _fader(nodes, command, address, top)
    for do in ("store", "recall"):
        slots = range(1, SLOTS + 1)
        where = f"{address}snapshot"
        buttons = [_sends(f"{do} {i}", where, [("STRING", do), ("INTEGER", str(i))]) for i in slots]
        top = _row(nodes, buttons, top)
    others: list[_Button] = []
    for command, kind in stage:
        if kind == "choice":
            where = address + command.name
            words = controls(command)[0].choices
            others += [_sends(f"{command.name} {word}", where, [("STRING", word)]) for word in words]
        elif kind in ("button", "toggle") and command.name not in FIRST:
            others.append(_pressed(command, kind, address))
    others.append(
        _Button("refresh", _message(f"/{ROOT}/refresh", [_partial("VALUE", "INTEGER", "x")], condition="RISE"))
    )
    for i in range(0, len(others), 4):
        top = _row(nodes, others[i : i + 4], top, share=4)
    for shown in (*SHOWN, "error"):
        message = _message(address + shown, [_partial("VALUE", "STRING", "text")], send=False, receive=True)
        nodes.append(_label(shown, shown, (GAP, top, WIDTH - 2 * GAP, ROW), message))
        top += ROW
    properties = [_property("color", PAPER), _property("script", TOUCHOSC_SCRIPT)]
    root = _node("GROUP", ROOT, (0, 0, WIDTH, top + GAP), properties, ["touch"], children="".join(nodes))
    document = f"<?xml version='1.0' encoding='UTF-8'?><lexml version='3'>{root}</lexml>"
    return zlib.compress(document.encode())


FIRST = ("generate", "reset")
"""What is at the top, large."""
MODELS = ("tabla", "drums", "piano", "voice")
"""The models that come along. TouchOSC has nothing to type a name with."""
SLOTS = 8


@dataclass(frozen=True)
class _Button:
    """name is written on it. toggle: it stays on; else it is on while it is pressed."""

    name: str
    message: str = ""
    toggle: bool = False
    script: str = ""


def _pressed(command: Command, kind: str, address: str) -> _Button:
    """A command's own button, with its 1, or its 1 and 0."""
    toggle = kind == "toggle"
    value = [_partial("VALUE", "INTEGER", "x")]
    condition = "ANY" if toggle else "RISE"
    return _Button(command.name, _message(address + command.name, value, receive=toggle, condition=condition), toggle)


def _sends(name: str, address: str, words: list[tuple[str, str]]) -> _Button:
    """A button that sends words and numbers, each with its type."""
    return _Button(
        name, _message(address, [_partial("CONSTANT", kind, word) for kind, word in words], condition="RISE")
    )


def _dice(address: str) -> _Button:
    """Another seed: TouchOSC's script throws it."""
    throw = f"sendOSC('{address}seed', math.random(0, 16777215))"
    return _Button(
        "dice", script=f"function onValueChanged(key)\n  if key == 'x' and self.values.x == 1 then {throw} end\nend\n"
    )


def _row(nodes: list[str], buttons: list[_Button], top: int, height: int = ROW, share: int = 0) -> int:
    """Buttons beside each other, each as wide as if there were `share` of them -> where the next row begins."""
    width = (WIDTH - GAP) // (share or len(buttons))
    for i, button in enumerate(buttons):
        frame = (GAP + i * width, top, width - GAP, height)
        behaviour = [_property("buttonType", 2 if button.toggle else 0)]
        behaviour += [_property("script", button.script)] if button.script else []
        nodes.append(_node("BUTTON", button.name, frame, behaviour, ["x", "touch"], button.message))
        nodes.append(_label(f"{button.name} name", button.name, frame))
    return top + height + GAP


def _fader(nodes: list[str], command: Command, address: str, top: int) -> int:
    """A name, a fader, and the number that it stands at -> where the next row begins."""
    argument = controls(command)[0]
    ends = fader_range(argument)
    assert ends is not None
    conversion = "FLOAT" if argument.kind in ("float", "level") else "INTEGER"
    nodes.append(_label(command.name, command.name, (GAP, top, LABEL - GAP, ROW - GAP)))
    frame = (LABEL + GAP, top, WIDTH - LABEL - NUMBER - 2 * GAP, ROW - GAP)
    message = _message(address + command.name, [_partial("VALUE", conversion, "x", ends)], receive=True)
    nodes.append(_node("FADER", command.name, frame, [_property("orientation", 1)], ["x", "touch"], message))
    number = _message(address + command.name, [_partial("VALUE", "STRING", "text")], send=False, receive=True)
    nodes.append(_label(f"{command.name} number", "", (WIDTH - NUMBER, top, NUMBER - GAP, ROW - GAP), number))
    return top + ROW


def _node(
    kind: str,
    name: str,
    frame: tuple[int, int, int, int],
    properties: list[str],
    values: list[str],
    message: str = "",
    children: str = "",
    text: str = "",
) -> str:
    key = uuid.uuid5(uuid.NAMESPACE_URL, f"{ROOT} {kind} {name}")  # the same each time
    x, y, w, h = frame
    place = f"<x>{x}</x><y>{y}</y><w>{w}</w><h>{h}</h>"
    mine = [
        f"<property type='r'><key>frame</key><value>{place}</value></property>",
        _property("name", name),
        *properties,
    ]
    if not any("<key>color</key>" in p for p in properties):
        mine.append(_property("color", ACCENT))
    defaults = {"x": "0", "touch": "false", "text": escape(text)}
    state = "".join(
        f"<value><key>{v}</key><locked>0</locked><lockedDefaultCurrent>0</lockedDefaultCurrent>"
        f"<default>{defaults[v]}</default><defaultPull>0</defaultPull></value>"
        for v in values
    )
    inside = f"<properties>{''.join(mine)}</properties><values>{state}</values>"
    inside += f"<messages>{message}</messages>" if message else ""
    inside += f"<children>{children}</children>" if children else ""
    return f"<node ID='{key}' type='{kind}'>{inside}</node>"


def _label(name: str, text: str, frame: tuple[int, int, int, int], message: str = "") -> str:
    looks = [_property("background", False), _property("interactive", False), _property("textColor", INK)]
    return _node("LABEL", f"{name} label", frame, looks, ["text", "touch"], message, text=text)


def _property(key: str, value: bool | int | str) -> str:
    if isinstance(value, str) and value.startswith("#"):
        parts = [int(value[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        colour = "".join(f"<{c}>{p:.4f}</{c}>" for c, p in zip("rgba", [*parts, 1.0]))
        return f"<property type='c'><key>{key}</key><value>{colour}</value></property>"
    letter = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "s"
    shown = int(value) if isinstance(value, bool) else escape(str(value))
    return f"<property type='{letter}'><key>{key}</key><value>{shown}</value></property>"


def _partial(kind: str, conversion: str, value: str, ends: tuple[float, float] = (0, 1)) -> str:
    scale = f"<scaleMin>{ends[0]:g}</scaleMin><scaleMax>{ends[1]:g}</scaleMax>"
    inside = f"<type>{kind}</type><conversion>{conversion}</conversion><value>{escape(value)}</value>"
    return f"<partial>{inside}{scale}</partial>"


def _message(
    address: str, arguments: list[str], send: bool = True, receive: bool = False, condition: str = "ANY"
) -> str:
    trigger = f"<triggers><trigger><var>x</var><condition>{condition}</condition></trigger></triggers>" if send else ""
    return (
        f"<osc><enabled>1</enabled><send>{int(send)}</send><receive>{int(receive)}</receive><feedback>0</feedback>"
        f"<connections>00001</connections>{trigger}<path>{_partial('CONSTANT', 'STRING', address)}</path>"
        f"<arguments>{''.join(arguments)}</arguments></osc>"
    )


# ---------------------------------------------------------------- Pd


LEFT, COLUMN, LINE, CONTROL = 20, 470, 27, 100  # pixels of the patch: two columns of lines, where a control begins


def vanilla_patch(instance: str = "1") -> str:
    """A patch of Pd's own objects: what a hand touches, and in [pd osc] how it speaks by [netsend] and [oscformat] and
    hears by [netreceive] and [oscparse]. What is sent to the name $0-gain moves the slider; what the hand does comes
    from $0-gain-out."""
    stage = on_stage()
    rows = math.ceil(len(stage) / 2)
    front, osc = Canvas(2 * COLUMN + 40, 90 + LINE * rows), Canvas(720, 120 + 30 * math.ceil(len(stage) / 5))
    front.text(LEFT - 4, 10, "plays sopi serve on this machine, without any external", 56)
    front.text(LEFT + COLUMN - 4, 10, "model", 6)
    front.add(f"symbolatom {LEFT + COLUMN + CONTROL} 10 20 0 0 0 - \\$0-model - 0")
    osc.text(16, 10, "how it speaks and hears, and a box for each thing on the front", 80)
    osc.sub(20, 40, "connection", _connection())
    osc.sub(160, 40, "hearing", _hearing(instance))
    osc.sub(270, 40, "lines", _lines())
    for i, (command, kind) in enumerate(stage):
        _touched(front, command, kind, LEFT + i // rows * COLUMN, 44 + LINE * (i % rows))
        osc.sub(20 + i % 5 * 135, 84 + 30 * (i // 5), command.name, _spoken(command, kind, instance))
    bottom = 52 + LINE * rows
    front.sub(LEFT, bottom, "osc", osc)
    front.text(LEFT + 80, bottom, "what it says:", 14)
    front.add(f"symbolatom {LEFT + 190} {bottom} 100 0 0 0 - \\$0-line - 0")
    return front.file()


def _touched(front: Canvas, command: Command, kind: str, x: int, y: int) -> None:
    """A line of the front: the name, what a hand touches, and the number that it stands at."""
    names, arguments = f"$0-{command.name}-out $0-{command.name}", controls(command)
    front.text(x - 4, y, command.name, 12)
    x += CONTROL
    if kind == "choice":
        front.add(f"obj {x} {y} hradio 18 1 0 {len(arguments[0].choices)} {escaped(names)} empty 0 -8 {LOOKS} 0")
        front.text(x + 18 * len(arguments[0].choices) + 8, y, "  ".join(arguments[0].choices), 32)
    elif kind == "fader" and (ends := fader_range(arguments[0])):
        front.slider(x, y, ends, names, 200)
        front.add(f"floatatom {x + 216} {y - 2} 8 0 0 0 - {escaped(names.split()[1])}-number -")
    elif kind == "toggle":
        front.toggle(x, y, names)
    elif kind == "button":
        front.button(x, y, names)
    else:
        front.add(f"listbox {x} {y - 2} 36 0 0 0 - {escaped(names.split()[1])} {escaped(names.split()[0])} 0")


def _spoken(command: Command, kind: str, instance: str) -> Canvas:
    """How one thing on the front becomes a message, and how it shows what it is set to, whoever set it."""
    name, canvas, arguments = command.name, Canvas(620, 420 if kind == "choice" else 250, 160, 100), controls(command)
    touched = canvas.obj(20, 20, f"r $0-{name}-out")
    message = canvas.obj(20, 170, f"oscformat {ROOT} {instance} {name}")
    canvas.connect(message, 0, canvas.obj(20, 200, "s $0-osc"))
    if kind == "choice":
        _choose(canvas, command, touched, message)
        return canvas
    if kind == "fader":
        both = canvas.after(touched, canvas.obj(20, 60, "t a a"))
        canvas.connect(
            canvas.after(both, canvas.msg(200, 100, "set $1"), 1), 0, canvas.obj(200, 140, f"s $0-{name}-number")
        )
        whole = arguments[0].kind not in ("float", "level")
        touched = canvas.after(both, canvas.obj(20, 100, "i")) if whole else both
    canvas.connect(touched, 0, message)
    if kind in ("fader", "toggle"):  # what comes back is shown, not sent again
        shown = canvas.after(canvas.obj(400, 20, "r $0-heard"), canvas.obj(400, 60, f"route {command.told or name}"))
        put = canvas.after(shown, canvas.msg(400, 100, "set $1"))
        canvas.connect(put, 0, canvas.obj(430, 140, f"s $0-{name}"))
        if kind == "fader":
            canvas.connect(put, 0, canvas.obj(400, 170, f"s $0-{name}-number"))
    return canvas


def _choose(canvas: Canvas, command: Command, touched: int, message: int) -> None:
    """A row of buttons stands for words."""
    words = controls(command)[0].choices
    which = canvas.after(touched, canvas.obj(20, 50, f"sel {' '.join(map(str, range(len(words))))}"))
    heard = canvas.after(
        canvas.obj(20, 240, "r $0-heard"), canvas.obj(20, 270, f"route {command.told or command.name}")
    )
    word = canvas.after(heard, canvas.obj(20, 300, f"route {' '.join(words)}"))
    back = canvas.obj(20, 380, f"s $0-{command.name}")
    for i, choice in enumerate(words):
        canvas.connect(canvas.after(which, canvas.msg(20 + 125 * i, 90, f"symbol {choice}"), i), 0, message)
        canvas.connect(canvas.after(word, canvas.msg(20 + 80 * i, 340, f"set {i}"), i), 0, back)


def _connection() -> Canvas:
    """It subscribes every few seconds, and connects again when nobody is there: so a server that is started anew is
    found, and tells all that it is set to."""
    canvas = Canvas(600, 400, 160, 100)
    canvas.text(240, 150, "it subscribes every 5 seconds: a server that was started anew then tells everything", 45)
    connects = canvas.after(canvas.obj(20, 20, "loadbang"), canvas.msg(20, 60, f"connect 127.0.0.1 {PORT}"))
    canvas.connect(canvas.obj(120, 20, "r $0-connect"), 0, connects)
    sender = canvas.after(connects, canvas.obj(20, 130, "netsend -u -b"))
    message = canvas.after(canvas.obj(260, 20, "r $0-osc"), canvas.obj(260, 50, "list prepend send"))
    canvas.connect(canvas.after(message, canvas.obj(260, 80, "list trim")), 0, sender)
    canvas.connect(sender, 1, canvas.obj(140, 170, "s $0-bytes"))
    there = canvas.after(sender, canvas.obj(20, 170, "sel 1 0"))
    clock = canvas.after(there, canvas.obj(20, 266, f"metro {AGAIN}"))
    gone = canvas.after(there, canvas.obj(100, 204, "t b b b"), 1)
    canvas.connect(canvas.after(gone, canvas.msg(100, 236, "stop")), 0, clock)
    again = canvas.after(gone, canvas.obj(170, 236, "delay 2000"), 1)
    canvas.after(again, canvas.obj(170, 266, "s $0-connect"))
    silent = canvas.after(gone, canvas.msg(290, 236, "symbol nobody\\ answers:\\ is\\ sopi\\ serve\\ there?"), 2)
    canvas.after(silent, canvas.obj(290, 266, "s $0-line"))
    subscribes = canvas.after(clock, canvas.msg(20, 296, str(FEEDBACK_PORT)))
    subscribes = canvas.after(subscribes, canvas.obj(20, 326, f"oscformat {ROOT} subscribe"))
    canvas.after(subscribes, canvas.obj(20, 356, "s $0-osc"))
    return canvas


def _hearing(instance: str) -> Canvas:
    """What comes to this instance goes to $0-heard; a number to be confirmed is sent back; errors are shown."""
    canvas = Canvas(600, 480, 160, 100)
    heard = canvas.obj(20, 54, "oscparse")
    canvas.connect(canvas.obj(20, 20, f"netreceive -u -b {FEEDBACK_PORT}"), 0, heard)
    canvas.connect(canvas.obj(220, 20, "r $0-bytes"), 0, heard)
    for i, made in enumerate(("list trim", f"route {ROOT}", "list split 1")):
        heard = canvas.after(heard, canvas.obj(20, 84 + 30 * i, made))
    canvas.connect(heard, 1, canvas.obj(160, 172, "s $0-values"))
    # [route] takes 1 for a number, and in an address it is a word
    heard = canvas.after(heard, canvas.obj(20, 200, "makefilename i%s"))
    whose = canvas.after(heard, canvas.obj(20, 230, f"sel i{instance} iconfirm ierror"))
    rests = []
    for outlet, (x, y) in enumerate(((20, 380), (200, 330), (380, 280))):
        rests.append(canvas.after(whose, canvas.obj(x, y, "list append"), outlet))
        canvas.connect(canvas.obj(x + 84, y - 34, "r $0-values"), 0, rests[-1], 1)
    canvas.after(canvas.after(rests[0], canvas.obj(20, 410, "list trim")), canvas.obj(20, 440, "s $0-heard"))
    canvas.after(
        canvas.after(rests[1], canvas.obj(200, 360, f"oscformat {ROOT} confirm")), canvas.obj(200, 390, "s $0-osc")
    )
    canvas.after(rests[2], canvas.obj(380, 310, "s $0-complaint"))
    return canvas


def _lines() -> Canvas:
    """Errors and warnings, and the model's name."""
    canvas = Canvas(420, 220, 160, 100)
    told = canvas.after(canvas.obj(20, 20, "r $0-heard"), canvas.obj(20, 50, "route error warning"))
    shown = canvas.after(told, canvas.obj(20, 100, "list prepend set"))
    canvas.connect(told, 1, shown)
    canvas.connect(canvas.obj(170, 50, "r $0-complaint"), 0, shown)
    canvas.after(canvas.after(shown, canvas.obj(20, 130, "list trim")), canvas.obj(20, 160, "s $0-line"))
    model = canvas.after(canvas.obj(290, 20, "r $0-heard"), canvas.obj(290, 50, "route model"))
    model = canvas.after(model, canvas.obj(290, 80, "list prepend set"))
    canvas.after(canvas.after(model, canvas.obj(290, 110, "list trim")), canvas.obj(290, 140, "s $0-model"))
    return canvas
