"""Patches as Pd writes them into files, made object by object: for the patches that come from the command table."""

from __future__ import annotations

import re

__all__ = ["LOOKS", "Canvas", "escaped", "lines"]


def escaped(text: str) -> str:
    """Text as it stands in a file: what Pd would take for a separator or an argument has a backslash."""
    return re.sub(r" *([,;])", r" \\\1", text.replace("$", "\\$")).strip()


def lines(text: str, columns: int) -> int:
    """Into how many lines Pd breaks a comment that is so many letters wide."""
    count, column = 1, 0
    for word in escaped(text).replace("\\", "").split(" "):
        if column and column + 1 + len(word) > columns:
            count, column = count + 1, len(word)
        else:
            column += len(word) + (1 if column else 0)
    return count


class Canvas:
    """A window: its objects in their order, its cords, and windows within. Positions are pixels from the left top."""

    def __init__(self, width: int, height: int, left: int = 60, top: int = 40) -> None:
        self.width, self.height = width, height
        self.place = f"{left} {top} {width} {height}"
        self.objects: list[str] = []
        self.cords: list[str] = []

    def add(self, text: str) -> int:
        """An object as a file has it, escaped, such as `obj 20 40 f` -> its number."""
        self.objects.append(f"#X {text};")
        return len(self.objects) - 1

    def obj(self, x: int, y: int, text: str) -> int:
        """An object -> its number."""
        return self.add(f"obj {x} {y} {escaped(text)}")

    def msg(self, x: int, y: int, text: str) -> int:
        """A message box -> its number."""
        return self.add(f"msg {x} {y} {escaped(text)}")

    def text(self, x: int, y: int, text: str, columns: int) -> int:
        """A comment, so many letters wide."""
        return self.add(f"text {x} {y} {escaped(text)}, f {columns}")

    def slider(self, x: int, y: int, ends: tuple[float, float], names: str, width: int = 128) -> int:
        """A horizontal one. names: what it sends to and receives from."""
        return self.add(
            f"obj {x} {y} hsl {width} 15 {ends[0]:g} {ends[1]:g} 0 0 {escaped(names)} empty -2 -8 {LOOKS} 0 0"
        )

    def number(self, x: int, y: int, ends: tuple[float, float], names: str, digits: int = 6) -> int:
        """A number box. names: what it sends to and receives from."""
        return self.add(
            f"obj {x} {y} nbx {digits} 18 {ends[0]:.15g} {ends[1]:.15g} 0 0 {escaped(names)} empty 0 -8 {LOOKS} 0 256"
        )

    def toggle(self, x: int, y: int, names: str, size: int = 18) -> int:
        """names: what it sends to and receives from."""
        return self.add(f"obj {x} {y} tgl {size} 0 {escaped(names)} empty 17 7 {LOOKS} 0 1")

    def button(self, x: int, y: int, names: str, size: int = 18) -> int:
        """names: what it sends to and receives from."""
        return self.add(f"obj {x} {y} bng {size} 250 50 0 {escaped(names)} empty 17 7 {LOOKS}")

    def panel(self, x: int, y: int, width: int, height: int, colour: str, label: str = "", size: int = 14) -> int:
        """A coloured rectangle behind what is added after it, with a title."""
        name = re.sub(r"([ ,;$])", r"\\\1", label) or "empty"
        return self.add(
            f"obj {x} {y} cnv 1 {width} {height} empty empty {name} 10 {height // 2} 0 {size} {colour} #f4efe2 0"
        )

    def connect(self, source: int, outlet: int, target: int, inlet: int = 0) -> None:
        """A cord, between objects by their numbers."""
        self.cords.append(f"#X connect {source} {outlet} {target} {inlet};")

    def after(self, source: int, made: int, outlet: int = 0) -> int:
        """A cord from one object to the first inlet of another -> the other."""
        self.connect(source, outlet, made)
        return made

    def sub(self, x: int, y: int, name: str, inside: Canvas) -> int:
        """A box with a window of its own."""
        head = f"#N canvas {inside.place} {name} 0;"
        self.objects.append(inside.written(head) + f"#X restore {x} {y} pd {name};")
        return len(self.objects) - 1

    def written(self, head: str) -> str:
        """The canvas as lines, under its first one."""
        return "".join(line + "\n" for line in [head, *self.objects, *self.cords])

    def file(self, declare: str = "") -> str:
        """The whole patch as a file. declare: the words of its [declare]; a box that keeps them is added by hand."""
        head = f"#N canvas {self.place} 12;" + (f"\n#X declare {declare};" if declare else "")
        return self.written(head)


LOOKS = "0 10 #fcfcfc #2f7f79 #000000"
"""Font and colours of what one touches."""
