"""Reads patches and finds what makes them hard to read or unfit to travel: boxes on boxes or on text, cords through
boxes, what lies outside the window, names that two copies of a patch would share, a missing [declare], paths of one
machine.

Sizes are Pd's own, at zoom 1: the grid of its fonts, and what its GUI objects make of their arguments.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FONT = {8: (5, 11), 10: (6, 13), 12: (7, 16), 16: (10, 19), 24: (14, 29), 36: (22, 44)}
"""Width and height of a letter by the font size of a window."""
NOT_OURS = {"pd", "pd-dsp-started", "pd-dsp-stopped", "#ctlin", "#notein", "-", "empty"}
"""Names that are Pd's own, or none."""
PUBLIC = {"samplernn", "samplernn-file", "samplernn-status", "render", "pd-samplernn.pd"}
"""Names by which other patches reach the instrument, as docs and `sopi play` do: global on purpose."""
WIDE, HIGH = 1024, 600
"""The smallest screen that a window has to fit on, its title bar too."""


# ---------------------------------------------------------------- reading


@dataclass
class Box:
    """Anything with a place in a window."""

    kind: str  # obj, msg, text, floatatom, symbolatom, listbox
    x: int
    y: int
    words: list[str]
    columns: int = 0
    inside: Window | None = None

    @property
    def name(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def shown(self) -> str:
        return re.sub(r"\\(.)", r"\1", " ".join(self.words)) if self.kind in ("obj", "msg", "text") else self.kind


@dataclass
class Window:
    """A patch, a subpatch or a graph."""

    path: Path
    name: str
    width: int
    height: int
    font: int
    boxes: list[Box] = field(default_factory=list)
    cords: list[tuple[int, int, int, int]] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    on_parent: tuple[int, int] | None = None
    arrays: list[str] = field(default_factory=list)

    def windows(self) -> Iterator[Window]:
        yield self
        for box in self.boxes:
            if box.inside:
                yield from box.inside.windows()


def read(path: Path) -> Window:
    """A patch file as windows within windows."""
    stack: list[Window] = []
    for record in re.findall(r"(#[NXA].*?(?<!\\));", path.read_text(), re.S):
        words = re.split(r"(?<!\\)\s+", record.strip())
        if words[1] == "canvas":
            font = stack[0].font if stack else int(words[6])
            name = words[6] if stack else path.name
            stack.append(Window(path, name, int(words[4]), int(words[5]), font))
        elif words[1] == "restore":
            inner = stack.pop()
            box = made_box("obj", words[2:])
            box.inside = inner
            stack[-1].boxes.append(box)
        elif words[1] == "connect":
            stack[-1].cords.append((int(words[2]), int(words[3]), int(words[4]), int(words[5])))
        elif words[1] == "declare":
            stack[-1].declared += words[2:]
        elif words[1] == "coords":
            stack[-1].on_parent = (int(words[6]), int(words[7])) if int(words[8]) else None
        elif words[1] == "array":
            stack[-1].arrays.append(words[2])
        elif words[1] in ("obj", "msg", "text", "floatatom", "symbolatom", "listbox"):
            stack[-1].boxes.append(made_box(words[1], words[2:]))
    return stack[0]


def made_box(kind: str, words: list[str]) -> Box:
    columns = 0
    if len(words) > 3 and words[-2] == "f" and words[-3].endswith(","):
        columns = int(words[-1])
        last = words[-3][:-1]
        words = words[:-3] + ([last] if last else [])
    return Box(kind, int(words[0]), int(words[1]), words[2:], columns)


# ---------------------------------------------------------------- sizes

Rect = tuple[float, float, float, float]
GUI = ("bng", "tgl", "hsl", "vsl", "hradio", "vradio", "nbx", "cnv", "vu")


def lines_of(box: Box) -> list[str]:
    """How Pd breaks the text of a box into lines."""
    limit, lines = box.columns or 60, [""]
    for part in re.split(r"(?<=;) ", box.shown) if box.kind != "obj" else [box.shown]:
        words = part.split(" ")
        lines.append("")
        for word in words:
            joined = f"{lines[-1]} {word}" if lines[-1] else word
            if len(joined) <= limit:
                lines[-1] = joined
            else:
                lines.append(word)
    return [line for line in lines if line] or [""]


def size(box: Box, font: int) -> tuple[float, float]:
    """Width and height on the screen, in pixels."""
    wide, high = FONT[font]
    if box.kind in ("floatatom", "symbolatom", "listbox"):
        return int(box.words[0]) * wide + 4, high + 5
    graph = box.inside and box.inside.on_parent
    if box.name in GUI and box.kind == "obj":
        return gui_size(box)
    found = abstraction(box) if box.kind == "obj" and not box.inside else None
    graph = graph or (found.on_parent if found else None)
    if graph:
        return graph
    lines = lines_of(box)
    columns = box.columns or max(len(line) for line in lines)
    if box.kind in ("obj", "msg"):
        columns = max(columns, 3)
    return columns * wide + 4 + (4 if box.kind == "msg" else 0), len(lines) * high + 5


def gui_size(box: Box) -> tuple[float, float]:
    a = box.words[1:]
    match box.name:
        case "bng" | "tgl":
            return int(a[0]), int(a[0])
        case "cnv":
            return int(a[1]), int(a[2])
        case "hradio":
            return int(a[0]) * int(a[3]), int(a[0])
        case "vradio":
            return int(a[0]), int(a[0]) * int(a[3])
        case "nbx":
            letters, height, points = int(a[0]), int(a[1]), int(a[12])
            return points * 31 * letters // 36 + height // 2 + 4, height
        case "vu":
            return int(a[0]) + (20 if int(a[10]) else 0), int(a[1])
        case "hsl":
            return int(a[0]) + 5, int(a[1])
    return int(a[0]), int(a[1]) + 5


LABEL = {"bng": 6, "tgl": 4, "hsl": 8, "vsl": 8, "hradio": 6, "vradio": 6, "nbx": 8, "cnv": 5, "vu": 3}
"""Where the label stands among the arguments."""


def label(box: Box) -> tuple[str, Rect] | None:
    """The label of a GUI object and where it lies."""
    if box.kind != "obj" or box.name not in LABEL:
        return None
    a, at = box.words[1:], LABEL[box.name]
    text = re.sub(r"\\(.)", r"\1", a[at])
    if text == "empty":
        return None
    x, y, points = box.x + int(a[at + 1]), box.y + int(a[at + 2]), int(a[at + 4])
    return text, (x, y - points * 0.6, x + len(text) * points * 0.61, y + points * 0.6)


def rect(box: Box, font: int) -> Rect:
    wide, high = size(box, font)
    return box.x, box.y, box.x + wide, box.y + high


def overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def crosses(x1: float, y1: float, x2: float, y2: float, r: Rect) -> bool:
    """Whether a line goes through a rectangle, its rim not counted (Liang and Barsky)."""
    left, top, right, bottom = r[0] + 1, r[1] + 1, r[2] - 1, r[3] - 1
    begin, end = 0.0, 1.0
    for p, q in ((x1 - x2, x1 - left), (x2 - x1, right - x1), (y1 - y2, y1 - top), (y2 - y1, bottom - y1)):
        if p == 0:
            if q <= 0:
                return False
        elif p < 0:
            begin = max(begin, q / p)
        else:
            end = min(end, q / p)
    return begin < end


# ---------------------------------------------------------------- inlets and outlets

IO = 7
"""How wide an inlet is drawn."""


@dataclass
class Ends:
    inlets: int
    outlets: int


def ends(box: Box) -> Ends | None:
    """How many inlets and outlets a box has, None if it isn't known here."""
    if box.kind == "text":
        return Ends(0, 0)
    if box.kind != "obj":
        return Ends(1, 1)
    if box.inside:
        return inner_ends(box.inside)
    args = box.words[1:]
    n = len(args)
    match box.name:
        case "cnv":
            return Ends(0, 0)
        case "t" | "trigger":
            return Ends(1, n or 2)
        case "sel" | "select":
            return Ends(1 if n > 1 else 2, max(n, 1) + 1)
        case "route":
            return Ends(1 if n > 1 else 2, max(n, 1) + 1)
        case "pack":
            return Ends(n or 2, 1)
        case "unpack":
            return Ends(1, n or 2)
        case "list":
            return {"split": Ends(2, 3), "length": Ends(1, 1), "trim": Ends(1, 1), "fromsymbol": Ends(1, 1)}.get(
                args[0] if args else "", Ends(2, 1)
            )
        case "text" | "array":
            return {"get": Ends(4 if box.name == "array" else 3, 2), "set": Ends(3, 1), "define": Ends(1, 1),
                    "sequence": Ends(1, 3 if "-w" in args else 2)}.get(args[0], Ends(2, 1))  # fmt: skip
        case "file":
            return Ends(1, 2)
        case "adc~":
            return Ends(1, n or 2)
        case "dac~":
            return Ends(n or 2, 0)
        case "expr":
            return Ends(max([int(k) for k in re.findall(r"\\\$[fis](\d+)", " ".join(args))] or [1]), 1)
        case "expr~":
            return Ends(max([int(k) for k in re.findall(r"\\\$[fvis](\d+)", " ".join(args))] or [1]), 1)
        case "writesf~":
            return Ends(int(args[0]) if args else 1, 0)
        case "readsf~":
            return Ends(1, (int(args[0]) if args else 1) + 1)
        case "clone":
            child = find(box, args[1] if args[0].isdigit() else args[0])
            return inner_ends(read(child)) if child else None
        case "pyext" | "pyext~" | "sopi" | "sopi~" | "py" | "pym":
            return pyext_ends(box)
        case _ if box.name in CLASSES:
            return CLASSES[box.name]
    found = abstraction(box)
    return inner_ends(found) if found else None


CLASSES: dict[str, Ends] = {
    name: Ends(*pair)
    for pair, names in {
        (0, 0): "declare namecanvas",
        (0, 1): "loadbang r receive r~ receive~ inlet inlet~ catch~ delread~ key keyup bang~",
        (0, 2): "keyname pgmin",
        (0, 3): "notein ctlin",
        (1, 0): "s outlet outlet~ s~ send~ throw~ print tabwrite~ delwrite~ block~ output~",
        (1, 1): "bng tgl hsl vsl hradio vradio nbx mtof ftom dbtorms rmstodb abs sqrt change noise~ env~ snapshot~ "
        "random~ wrap~ sqrt~ abs~ cos~ sin cos oscparse oscformat makefilename pdcontrol openpanel savepanel bang b "
        "value sig~ tabread delread4~ vd~ tabosc4~ samplerate~ log exp fudiparse fudiformat",
        (1, 2): "netsend netreceive savestate soundfiler tabplay~ vu",
        (2, 0): "send tabwrite",
        (2, 1): "f i float int symbol delay del metro spigot + - * / == != > < >= <= && || % mod div max min pow +~ -~ "
        "until realtime *~ /~ max~ min~ osc~ phasor~ hip~ lop~ rzero~ rpole~ tabread4~ random timer line~ pipe "
        "samphold~",
        (2, 2): "moses swap stripnote",
        (2, 3): "poly",
        (3, 1): "line clip clip~ bp~ vline~",
        (3, 2): "makenote vcf~",
    }.items()
    for name in names.split()
}


def inner_ends(window: Window) -> Ends:
    names = [box.name for box in window.boxes if box.kind == "obj"]
    return Ends(sum(n in ("inlet", "inlet~") for n in names), sum(n in ("outlet", "outlet~") for n in names))


def pyext_ends(box: Box) -> Ends:
    if box.name in ("py", "pym"):
        return Ends(2, 2)
    numbers = [int(w) for w in itertools.takewhile(str.isdigit, box.words[1:5])]
    if box.name.endswith("~") and len(numbers) == 4:
        inlets, outlets, signals_in, signals_out = numbers
        return Ends(max(1, signals_in) + inlets, signals_out + outlets + 1)
    inlets, outlets = (numbers + [1, 1])[:2]
    return Ends(1 + inlets, outlets + 1)


HERE: list[Path] = []
"""Folders in which the patch that is being looked at finds abstractions."""


def find(box: Box, name: str) -> Path | None:
    for folder in HERE:
        if (folder / f"{name}.pd").is_file():
            return folder / f"{name}.pd"
    return None


def abstraction(box: Box) -> Window | None:
    found = find(box, box.name)
    return read(found) if found else None


# ---------------------------------------------------------------- faults

ROOT = Path(__file__).resolve().parents[1]
EXTERNAL = {"py", "pym", "pyext", "pyext~", "pyx", "pyx~", "sopi", "sopi~"}
NAMED = {"s", "send", "r", "receive", "s~", "send~", "r~", "receive~", "throw~", "catch~", "delwrite~", "delread~",
         "delread4~", "value", "v", "table", "tabread", "tabread4~", "tabwrite", "tabwrite~", "tabplay~", "tabsend~",
         "tabreceive~", "tabosc4~"}  # fmt: skip


def faults(path: Path) -> list[str]:
    """What is wrong with a patch of this repository, one line each."""
    patch = read(path)
    HERE[:] = [path.parent, *declared_folders(patch)]
    found = declare_faults(patch)
    for window in patch.windows():
        where = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}, {window.name}"
        if window.boxes and window.name != "(subpatch)":
            found += [f"{where}: {fault}" for fault in [*lying(window), *reaching(window), *sharing(window)]]
    return found


def declared_folders(patch: Window) -> list[Path]:
    words = patch.declared
    return [(patch.path.parent / words[i + 1]).resolve() for i, w in enumerate(words[:-1]) if w == "-path"]


def declare_faults(patch: Window) -> list[str]:
    """The external is found without flags, and saving the patch doesn't lose how."""
    where = patch.path.name
    names = {box.name for window in patch.windows() for box in window.boxes if box.kind == "obj" and not box.inside}
    names |= {w for window in patch.windows() for b in window.boxes if b.name == "clone" for w in b.words[1:3]}
    folders = declared_folders(patch)
    found = []
    if names & EXTERNAL and (
        "sopi" not in patch.declared or ROOT / "pd" / "pyext" not in [*folders, patch.path.parent]
    ):
        found.append(
            f"{where}: {', '.join(sorted(names & EXTERNAL))} without a declare -path to pd/pyext and -lib sopi"
        )
    ours = {f.stem for f in (ROOT / "pd").glob("*.pd")}
    for name in sorted(names & ours):
        if not any((folder / f"{name}.pd").is_file() for folder in [patch.path.parent, *folders]):
            found.append(f"{where}: {name} without a declare -path to pd")
    boxes = [box for box in patch.boxes if box.kind == "obj" and box.name == "declare"]
    if patch.declared and sorted(w for b in boxes for w in b.words[1:]) != sorted(patch.declared):
        found.append(f"{where}: no [declare] box says what its declare line says, and saving the patch loses the line")
    return found


def lying(window: Window) -> Iterator[str]:
    """Boxes on boxes, on text, outside of the window."""
    places = [(box.shown[:40], rect(box, window.font), box) for box in window.boxes if box.name != "cnv"]
    labels = [
        (f"label {text[:40]}", place, box) for box in window.boxes if (made := label(box)) for text, place in [made]
    ]
    things = places + labels
    for i, (name, place, owner) in enumerate(things):
        for other, there, its in things[i + 1 :]:
            if its is not owner and overlap(place, there):
                yield f"[{name}] lies on [{other}]"
    for i, cover in enumerate(window.boxes):
        if cover.name == "cnv":
            for box in window.boxes[:i]:
                if box.name != "cnv" and overlap(rect(cover, window.font), rect(box, window.font)):
                    yield f"[{box.shown[:40]}] is under a canvas"
    for box in window.boxes:
        if box.name in ("hsl", "vsl") and box.words[-1] != "0":
            yield f"[{box.shown[:40]}] doesn't jump to where it is clicked"
    if window.on_parent:
        return
    if any(box.name == "cnv" and (box.x < 1 or box.y < 1) for box in window.boxes):
        yield "a canvas at the very edge of the window gives it scrollbars"
    if window.height >= HIGH or window.width > WIDE:
        yield f"its window of {window.width} x {window.height} doesn't fit on a screen of {WIDE} x {HIGH}"
    for name, (left, top, right, bottom), _ in things:
        if left < 0 or top < 0 or right > window.width or bottom > window.height:
            yield f"[{name}] reaches out of the window: to {right:.0f}, {bottom:.0f} of {window.width}, {window.height}"


def reaching(window: Window) -> Iterator[str]:
    """Cords through boxes."""
    for source, outlet, target, inlet in window.cords:
        a, b = window.boxes[source], window.boxes[target]
        out, into = ends(a), ends(b)
        if out is None or into is None:
            unknown = a if out is None else b
            yield f"tests/pd_lint.py doesn't know how many inlets and outlets [{unknown.shown}] has"
            continue
        x1, y1 = end_of(rect(a, window.font), outlet, out.outlets)[0], rect(a, window.font)[3]
        x2, y2 = end_of(rect(b, window.font), inlet, into.inlets)[0], rect(b, window.font)[1]
        for k, box in enumerate(window.boxes):
            if k not in (source, target) and box.name != "cnv" and crosses(x1, y1, x2, y2, rect(box, window.font)):
                yield f"the cord from [{a.shown[:30]}] to [{b.shown[:30]}] runs through [{box.shown[:30]}]"


def end_of(place: Rect, number: int, count: int) -> tuple[float]:
    """The middle of an inlet or outlet, from the left."""
    step = (place[2] - place[0] - IO) / (count - 1) if count > 1 else 0
    return (place[0] + step * number + IO / 2,)


def sharing(window: Window) -> Iterator[str]:
    """Names that two copies of the patch would share, and paths of one machine."""
    for box in window.boxes:
        if box.kind == "msg" and "$0" in box.shown:
            yield f"[{box.shown[:50]}] has $0, which in a message box is 0"
        for name in names_of(box):
            if not re.match(r"\\\$\d", name) and name not in NOT_OURS | PUBLIC:
                yield f"[{box.shown[:50]}] has the global name {name}"
        if box.kind in ("obj", "msg"):
            for word in box.words:
                if re.match(r"(/(home|root|tmp|usr|Users|work|opt|var|mnt)\b|[A-Za-z]:[/\\])", word):
                    yield f"[{box.shown[:50]}] has the path {word} of one machine"
    for array in window.arrays:
        if not array.startswith("\\$"):
            yield f"the array {array} has a global name"


def names_of(box: Box) -> Iterator[str]:
    """The names by which a box sends, receives, or is reached."""
    if box.kind == "msg":  # after each semicolon
        parts = re.split(r"\\;", " ".join(box.words))
        yield from (part.split()[0] for part in parts[1:] if part.split())
    elif box.kind in ("floatatom", "symbolatom", "listbox"):
        yield from (w for w in box.words[5:7] if w)
    elif box.kind == "obj" and not box.inside:
        a = box.words[1:]
        if box.name in NAMED:
            yield from a[:1]
        elif box.name in ("array", "text") and len(a) > 1:
            yield from (w for w in a[1:2] if w != "-s" and w != "-k")
        elif box.name in LABEL:
            at = LABEL[box.name]
            yield from a[at - (1 if box.name == "vu" else 2) : at]
