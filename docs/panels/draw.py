"""Makes the pictures of the instrument's panels, beside this file:

    python docs/panels/draw.py [--into FOLDER] [--only TAB ...]

It needs Pd, Xvfb, xdotool and ImageMagick. Each picture is what the real patch shows in Pd.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import window  # noqa: E402


def take(of: window.Window, into: Path) -> None:
    """The panel that is open, with the list of panels beside it."""
    _, top = of.point("tab", 0, 0)
    _, bottom = of.point("tab", 0, 1)
    area = f"1000x{bottom - top + 10}+0+{top - 5}"
    command = ["import", "-window", of.id, "-crop", area, "+repage", "+dither", "-colors", "24", f"png8:{into}"]
    subprocess.run(command, env=of.environment, check=True)


def panels(into: Path, only: list[str]) -> None:
    """A picture of each tab while the tabla plays."""
    with window.screen() as display, tempfile.TemporaryDirectory() as folder:
        patch = Path(folder, "samplernn.pd")
        shutil.copy(ROOT / "samplernn.pd", patch)
        with window.opened(display, Path(folder), patch) as of:
            for number, tab in enumerate(window.TABS):
                of.click("tab", 0.5, (number + 0.5) / len(window.TABS))
                time.sleep(1.5)
                if not only or tab in only:
                    take(of, into / f"{tab.replace(' ', '-').lower()}.png")


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("--into", type=Path, default=Path(__file__).resolve().parent)
    reader.add_argument("--only", nargs="*", default=[], metavar="TAB")
    arguments = reader.parse_args()
    panels(arguments.into, arguments.only)
