"""Makes the pictures of the page that plays the instrument, beside this file:

    python docs/page/draw.py [--into FOLDER]

It needs Chromium. Each picture is what the page shows while the tabla plays. Close what else computes, as the
page says how fast the model is.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from chromium import chromium  # noqa: E402
from osc_stage import Stage, wait_for  # noqa: E402

SCREENS = {"phone": (390, 844, 0.92), "tablet": (820, 1180, 0.59), "desk": (1280, 760, 0.56)}
"""Width and height of each, in pixels, and the size of its picture."""
COLOURS = 64


def draw(into: Path) -> None:
    """A picture of each screen, ten seconds after the page was opened."""
    stage = Stage(page="a" * 22)
    stage.left.handle("load", "tabla")
    wait_for(lambda: stage.left.state.model == "tabla")
    stage.left.handle("snapshot", "store", 3)
    with tempfile.TemporaryDirectory() as downloads, chromium(Path(downloads)) as browser:
        for name, (width, height, size) in SCREENS.items():
            screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": name != "desk"}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            stage.left.handle("stop")
            browser.get(stage.server.web.invitation.here)
            time.sleep(2)
            stage.left.handle("generate", 1)
            time.sleep(8)
            shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
            shown = shown.resize((round(width * size), round(height * size)), Image.Resampling.LANCZOS)
            shown.quantize(COLOURS).save(into / f"{name}.png", optimize=True)
    stage.close()


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("--into", type=Path, default=HERE)
    draw(reader.parse_args().into)
