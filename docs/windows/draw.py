"""Makes the pictures of whole windows, beside this file: the instrument, the help, the exercises, a patch of one's own:

    python docs/windows/draw.py [--into FOLDER] [--only NAME ...]

It needs Pd, Xvfb, xdotool and ImageMagick. Each picture is what the real patch shows in Pd.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import pd_host  # noqa: E402
import window  # noqa: E402

PD = ROOT / "pd"
OWN = """#N canvas 60 40 480 300 12;
#X msg 130 20 generate 1;
#X msg 130 50 generate 0;
#X msg 130 80 seed 7;
#X msg 130 110 temperature 0.9;
#X msg 130 140 temperature 1.2 4000;
#X text 300 140 in four seconds;
#X obj 20 190 samplernn~ tabla;
#X obj 20 250 dac~;
#X obj 130 225 print status;
#X connect 0 0 6 0;
#X connect 1 0 6 0;
#X connect 2 0 6 0;
#X connect 3 0 6 0;
#X connect 4 0 6 0;
#X connect 6 0 7 0;
#X connect 6 0 7 1;
#X connect 6 1 8 0;
"""
"""What stands in the README under "In your own patch"."""
SETTLED = 2.0
"""Seconds after a window came until all of it is drawn."""


def shot(display: str, of: str, into: Path) -> None:
    """The window with this id."""
    command = ["import", "-window", of, "+dither", "-colors", "24", f"png8:{into}"]
    subprocess.run(command, env={**os.environ, "DISPLAY": display}, check=True)


def instrument(display: str, folder: Path, into: Path) -> None:
    """The instrument while the tabla plays."""
    patch = folder / "samplernn.pd"
    shutil.copy(ROOT / "samplernn.pd", patch)
    with window.opened(display, folder, patch) as of:
        of.send("pd dsp 1")
        of.send("samplernn generate 1")
        time.sleep(12)
        shot(display, of.id, into)


def still(display: str, patch: Path, into: Path) -> None:
    """A patch as it is when it has been opened."""
    command = ["pd", "-noprefs", "-noaudio", *pd_host.FLAGS, "-open", str(patch)]
    environment = {**os.environ, "DISPLAY": display}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            search = ["xdotool", "search", "--onlyvisible", "--name", f"^{patch.name}"]
            for _ in range(600):
                if found := subprocess.run(search, env=environment, capture_output=True, text=True).stdout:
                    break
                time.sleep(0.1)
            time.sleep(SETTLED)
            shot(display, found.split()[0], into)
        finally:
            process.terminate()


def draw(into: Path, only: list[str]) -> None:
    """A picture of each window, by its name."""
    patches = {path.name.partition(".")[0]: path for path in sorted((PD / "exercises").glob("*.pd"))}
    with window.screen() as display, tempfile.TemporaryDirectory() as made:
        own = Path(made, "my-patch.pd")
        own.write_text(OWN)
        patches |= {"help": PD / "samplernn~-help.pd", "own": own}
        for name in only or ["instrument", *patches]:
            file = into / f"{name}.png"
            instrument(display, Path(made), file) if name == "instrument" else still(display, patches[name], file)


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("--into", type=Path, default=Path(__file__).resolve().parent)
    reader.add_argument("--only", nargs="*", default=[], metavar="NAME")
    arguments = reader.parse_args()
    draw(arguments.into, arguments.only)
