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
from typing import Any
from xml.sax.saxutils import escape

from sopilib.live import COMMANDS
from sopilib.live.commands import Argument, Command
from sopilib.osc.names import ROOT, controls

__all__ = ["FEEDBACK_PORT", "open_stage_control", "touchosc", "vanilla_patch"]

PORT = 9000  # of `sopi serve`
FEEDBACK_PORT = 9001  # at which controllers are to receive
REPORT = 200  # ms between two levels that are shown
RENEW = 20_000  # ms between two subscriptions: three fit into a server's lease
OFF_STAGE = {"freewheel", "tick", "report", "status", "models"}  # commands for patches rather than for hands
SHOWN = ("model", "level")  # events that are shown
ROW, GAP, LABEL = 60, 8, 130  # pixels
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
    """A .tosc file, XML, compressed, for the instance of this name or number."""
    address = f"/{ROOT}/{instance}/"
    nodes: list[str] = []
    buttons: list[tuple[str, str, str, str | None]] = []  # name, address, when it sends, what if not its state
    top = GAP
    for command, kind in on_stage():
        if kind == "fader" and (ends := fader_range(controls(command)[0])):
            conversion = "FLOAT" if controls(command)[0].kind in ("float", "level") else "INTEGER"
            nodes.append(_label(command.name, command.name, (GAP, top, LABEL - GAP, ROW - GAP)))
            frame = (LABEL + GAP, top, WIDTH - LABEL - 2 * GAP, ROW - GAP)
            message = _message(address + command.name, [_partial("VALUE", conversion, "x", ends)], receive=True)
            nodes.append(_node("FADER", command.name, frame, [_property("orientation", 1)], ["x", "touch"], message))
            top += ROW
        elif kind == "choice":
            for choice in controls(command)[0].choices:
                word = _partial("CONSTANT", "STRING", choice)
                buttons.append((f"{command.name} {choice}", address + command.name, "RISE", word))
        elif kind in ("button", "toggle"):
            buttons.append((command.name, address + command.name, "ANY" if kind == "toggle" else "RISE", None))
    buttons.append(("refresh", f"/{ROOT}/refresh", "RISE", None))
    column = (WIDTH - GAP) // 3
    for i, (name, where, condition, constant) in enumerate(buttons):
        frame = (GAP + i % 3 * column, top + i // 3 * (ROW + GAP), column - GAP, ROW)
        toggle = condition == "ANY"
        value = constant or _partial("VALUE", "INTEGER", "x")
        message = _message(where, [value], receive=toggle, condition=condition)
        behaviour = _property("buttonType", 2 if toggle else 0)  # toggles when pressed, or is on while pressed
        nodes.append(_node("BUTTON", name, frame, [behaviour], ["x", "touch"], message))
        nodes.append(_label(f"{name} name", name, frame))
    top += math.ceil(len(buttons) / 3) * (ROW + GAP)
    for i, shown in enumerate(SHOWN):
        frame = (GAP + i * WIDTH // 2, top, WIDTH // 2 - 2 * GAP, ROW)
        message = _message(address + shown, [_partial("VALUE", "STRING", "text")], send=False, receive=True)
        nodes.append(_label(shown, shown, frame, message))
    properties = [_property("color", PAPER), _property("script", TOUCHOSC_SCRIPT.replace("INSTANCE", instance))]
    root = _node("GROUP", ROOT, (0, 0, WIDTH, top + ROW + GAP), properties, ["touch"], children="".join(nodes))
    document = f"<?xml version='1.0' encoding='UTF-8'?><lexml version='3'>{root}</lexml>"
    return zlib.compress(document.encode())


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


def vanilla_patch(instance: str = "1") -> str:
    """A patch of Pd's own objects: what a hand touches, and in [pd osc] how it speaks by [netsend] and [oscformat] and
    hears by [netreceive] and [oscparse]. What is sent to the name $0-gain moves the slider; what the hand does comes
    from $0-gain-out."""
    front, osc = _Canvas(), _Canvas()
    front.add("text 20 10 plays sopi serve on this machine \\, without any external, f 60")
    router = _speak_and_hear(osc, instance, [command.name for command, _ in on_stage()])
    looks = "10 #fcfcfc #2f7f79 #000000"
    top = 45
    for i, (command, kind) in enumerate(on_stage()):
        name, arguments, y = command.name, controls(command), 320 + 27 * i
        names = f"\\$0-{name}-out \\$0-{name}"
        front.add(f"text 20 {top} {name}")
        formatted = osc.add(f"obj 300 {y} oscformat {ROOT} {instance} {name}")
        osc.after(formatted, f"obj 520 {y} s \\$0-osc")
        received = osc.add(f"obj 20 {y} r \\$0-{name}-out")
        if kind == "choice":
            left = 130
            shared = front.add(f"obj 640 {top} s \\$0-{name}-out")
            for choice in arguments[0].choices:
                front.connect(front.add(f"msg {left} {top} symbol {choice}"), 0, shared)
                left += 8 * len(choice) + 80
        elif kind == "fader" and (ends := fader_range(arguments[0])):
            front.add(f"obj 130 {top} hsl 300 18 {ends[0]:g} {ends[1]:g} 0 0 {names} empty -2 -8 0 {looks} 0 1")
            if arguments[0].kind not in ("float", "level"):
                received = osc.after(received, f"obj 200 {y} i")
        elif kind == "toggle":
            front.add(f"obj 130 {top} tgl 18 0 {names} empty 17 7 0 {looks} 0 1")
        elif kind == "button":
            front.add(f"obj 130 {top} bng 18 250 50 0 {names} empty 17 7 0 {looks}")
        else:
            front.add(f"listbox 130 {top} 36 0 0 0 - \\$0-{name} \\$0-{name}-out 0")
        osc.connect(received, 0, formatted)
        if kind in ("fader", "toggle"):  # what comes back is shown, not sent again
            setter = osc.add(f"msg 640 {y} set \\$1")
            osc.connect(router, i, setter)
            osc.after(setter, f"obj 720 {y} s \\$0-{name}")
        top += 27
    inside = osc.text(f"#N canvas 120 60 900 {340 + 27 * i} osc 0;")
    front.objects.append(f"{inside}#X restore 20 {top + 10} pd osc;")
    return front.text(f"#N canvas 60 60 820 {top + 60} 12;")


def _speak_and_hear(canvas: _Canvas, instance: str, names: list[str]) -> int:
    """Makes what speaks and hears -> the object at whose outlets the values of these names come."""
    start = canvas.add("obj 20 40 loadbang")
    sender = canvas.after(canvas.after(start, f"msg 20 65 connect 127.0.0.1 {PORT}"), "obj 20 165 netsend -u -b")
    again = canvas.after(canvas.after(sender, "obj 20 190 sel 1"), f"obj 80 190 metro {RENEW}")
    subscribe = canvas.after(again, f"msg 20 215 {FEEDBACK_PORT}")
    canvas.after(canvas.after(subscribe, f"obj 20 240 oscformat {ROOT} subscribe"), "obj 20 265 s \\$0-osc")
    message = canvas.after(canvas.add("obj 200 65 r \\$0-osc"), "obj 200 90 list prepend send")
    canvas.connect(canvas.after(message, "obj 200 115 list trim"), 0, sender)
    heard = canvas.add(f"obj 420 40 netreceive -u -b {FEEDBACK_PORT}")
    for k, text in enumerate(("oscparse", "list trim", f"route {ROOT}", "list split 1")):
        heard = canvas.after(heard, f"obj 420 {65 + 25 * k} {text}")
    # [route] takes 1 for a number, and in an address it is a word
    whose = canvas.after(canvas.after(heard, "obj 420 165 makefilename i%s"), f"obj 420 190 sel i{instance} iconfirm")
    rest = canvas.after(whose, "obj 560 190 list append")
    number = canvas.add("obj 700 190 list append")
    canvas.connect(whose, 1, number)
    for stored in (rest, number):
        canvas.connect(heard, 1, stored, 1)
    canvas.after(canvas.after(number, f"obj 700 215 oscformat {ROOT} confirm"), "obj 700 240 s \\$0-osc")
    return canvas.after(canvas.after(rest, "obj 560 215 list trim"), f"obj 420 250 route {' '.join(names)}")


class _Canvas:
    """Objects and cords as a patch file has them."""

    def __init__(self) -> None:
        self.objects: list[str] = []
        self.cords: list[str] = []

    def add(self, text: str) -> int:
        self.objects.append(f"#X {text};")
        return len(self.objects) - 1

    def connect(self, source: int, outlet: int, target: int, inlet: int = 0) -> None:
        self.cords.append(f"#X connect {source} {outlet} {target} {inlet};")

    def after(self, source: int, text: str) -> int:
        made = self.add(text)
        self.connect(source, 0, made)
        return made

    def text(self, head: str) -> str:
        return "".join(line + "\n" for line in [head, *self.objects, *self.cords])
