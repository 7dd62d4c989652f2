"""samplernn.pd as one plays it: a real Pd with its window on a virtual screen, and the mouse."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pd_lint
from pd_host import FLAGS, ROOT

WATCH = """#N canvas 700 640 400 260 12;
#X obj 10 10 r samplernn-status;
#X obj 10 40 print status;
#X obj 200 10 netreceive PORT;
#X obj 200 40 t a a;
#X obj 260 80 list split 1;
#X obj 260 120 symbol;
#X obj 200 160 list split 1;
#X obj 230 200 list trim;
#X obj 230 230 send;
#X connect 0 0 1 0;
#X connect 2 0 3 0;
#X connect 3 0 6 0;
#X connect 3 1 4 0;
#X connect 4 0 5 0;
#X connect 5 0 8 1;
#X connect 6 1 7 0;
#X connect 7 0 8 0;
"""
"""Prints what the status says, and sends what comes by TCP: the name of a receiver, then the message."""
TABS = ("hear", "hold", "voices", "two models", "shape", "out", "MIDI", "presets")
ROW = 20  # pixels, of a list of names
PATIENCE = 60  # s


def places() -> dict[str, tuple[int, int, int, int, int]]:
    """Each control by its name: its tab (-1: it is always seen), left, top, width and height in the instrument. Of two
    controls of one name, a slider and its number, the first counts."""
    face = pd_lint.read(ROOT / "pd" / "instrument.pd")
    pd_lint.HERE[:] = [ROOT / "pd"]
    panels = next(box for box in face.boxes if box.inside and box.inside.on_parent and box.inside.boxes)
    assert panels.inside is not None
    assert panels.inside.on_parent is not None
    wide = panels.inside.on_parent[0]
    seen = [(-1, box, 0) for box in face.boxes]
    seen += [(box.x // wide, box, panels.x - box.x // wide * wide) for box in panels.inside.boxes]
    found: dict[str, tuple[int, int, int, int, int]] = {}
    for tab, box, left in seen:
        name = next((w for w in box.words[1:] if re.match(r"\\\$0-.*(?<!-set)$", w)), "")
        if box.inside and box.inside.arrays:
            name = box.inside.arrays[0]
        if box.name == "window/names":
            name = rf"\$0-{box.words[2]}"
        if name:
            width, height = pd_lint.size(box, face.font)
            top = panels.y if tab >= 0 else 0
            found.setdefault(name[4:], (tab, box.x + left, box.y + top, int(width), int(height)))
    return found


class Window:
    """The instrument on a screen, while Pd runs."""

    def __init__(self, display: str, log: Path, title: str, port: int) -> None:
        self.environment = {**os.environ, "DISPLAY": display}
        self.log = log
        self.port = port
        self.patch = "samplernn.pd"  # as it was saved last
        self.read = 0  # of the log, what was waited for already
        self.places = places()
        self.tab = 0
        found = self.do("search", "--sync", "--onlyvisible", "--name", title)
        self.id = found.split()[0]

    def do(self, *words: str) -> str:
        done = subprocess.run(
            ["xdotool", *words], env=self.environment, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        return done.stdout

    def point(self, name: str, across: float = 0.5, down: float = 0.5) -> tuple[int, int]:
        """Where on the window a control is, after its tab was opened."""
        tab, left, top, wide, tall = self.places[name]
        if tab not in (-1, self.tab):
            self.click("tab", 0.5, (tab + 0.5) / len(TABS))
            self.tab = tab
        high = re.search(r"Geometry: \d+x(\d+)", self.do("getwindowgeometry", self.id))
        assert high
        head = int(high[1]) - HEIGHT  # the menu's height
        return 2 + left + round(wide * across), head + 2 + top + round(tall * down)

    def click(self, name: str, across: float = 0.5, down: float = 0.5) -> None:
        x, y = self.point(name, across, down)
        self.do("mousemove", "--window", self.id, str(x), str(y), "click", "1")

    def row(self, name: str, number: int) -> None:
        """A click on a row of a list, from 0."""
        self.click(name, 10 / 206, (1 + ROW * (number + 0.5)) / 122)

    def drag(self, name: str, *points: tuple[float, float]) -> None:
        x, y = self.point(name, *points[0])
        words = ["mousemove", "--window", self.id, str(x), str(y), "mousedown", "1"]
        for point in points[1:]:
            x, y = self.point(name, *point)
            words += ["mousemove", "--window", self.id, str(x), str(y)]
        self.do(*words, "mouseup", "1")

    def keys(self, *names: str) -> None:
        """Keys that are pressed over the window."""
        self.do("windowfocus", "--sync", self.id)
        self.do("key", "--delay", "30", *names)

    def in_dialog(self, title: str, path: str) -> None:
        """Types a path into a dialog for a file."""
        dialog = self.do("search", "--sync", "--onlyvisible", "--name", title).split()[-1]
        self.do("windowfocus", "--sync", dialog, "key", "--delay", "30", "End", "shift+Home", "BackSpace")
        self.do("type", "--delay", "30", path)
        self.do("key", "Return")

    def send(self, line: str) -> None:
        """A message to a receiver of that Pd."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as pd:
            pd.sendall(f"{line};\n".encode())

    def wait(self, pattern: str) -> str:
        """Until a line came that has this in it, after those that were waited for -> the line."""
        stop = time.monotonic() + PATIENCE
        while True:
            text = self.log.read_text(errors="replace")
            for found in re.finditer(r".*\n", text[self.read :]):
                line = re.sub(r"\\(.)", r"\1", found[0].strip())
                if re.search(pattern, line):
                    self.read += found.end()
                    return line
            assert time.monotonic() < stop, f"no line with {pattern!r} in\n{text[self.read :]}"
            time.sleep(0.05)


@contextmanager
def screen() -> Iterator[str]:
    """A virtual screen, for pictures."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.terminate()


HEIGHT = pd_lint.read(ROOT / "samplernn.pd").height


@contextmanager
def opened(display: str, folder: Path, patch: Path, *flags: str) -> Iterator[Window]:
    """The instrument in a Pd with a window, and a patch that prints what its status says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (folder / "watch.pd").write_text(WATCH.replace("PORT", str(port)))
    log = folder / "pd.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["pd", "-noprefs", "-noaudio", "-r", "48000", "-stderr", *flags, *FLAGS, "-open", str(folder / "watch.pd"),
             "-open", str(patch)],
            stdout=out, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, "DISPLAY": display},
        )  # fmt: skip
        try:
            window = Window(display, log, patch.name, port)
            window.wait("status: loaded")
            yield window
        finally:
            process.terminate()
            process.wait()
