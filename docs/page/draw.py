"""Makes the pictures of the page that plays the instrument, and of the page in which a model plays, beside this file:

    python docs/page/draw.py [--into FOLDER]

It needs Chromium. Each picture is what the page shows while the tabla plays. Close what else computes, as the
page says how fast the model is.
"""

from __future__ import annotations

import argparse
import http.server
import io
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from chromium import chromium, until  # noqa: E402
from osc_stage import Stage, wait_for  # noqa: E402

SCREENS = {"phone": (390, 844, 0.92), "tablet": (820, 1180, 0.59), "desk": (1280, 760, 0.56)}
MODEL = {"model-desk": (1280, 520, 0.56), "model-phone": (390, 920, 0.92)}
"""Width and height of each, in pixels, and the size of its picture; of the page in which a model plays too."""
COLOURS = 64


def show(browser: Chrome, screen: tuple[int, int, float]) -> None:
    """Makes the window such a screen."""
    width, height, _ = screen
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 1000}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def keep(browser: Chrome, screen: tuple[int, int, float], file: Path) -> None:
    """Writes a picture of what is shown."""
    width, height, size = screen
    shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    shown = shown.resize((round(width * size), round(height * size)), Image.Resampling.LANCZOS)
    shown.quantize(COLOURS).save(file, optimize=True)


def draw_instrument(browser: Chrome, into: Path) -> None:
    """A picture of each screen, ten seconds after the page was opened."""
    stage = Stage(page="a" * 22)
    stage.left.handle("load", "tabla")
    wait_for(lambda: stage.left.state.model == "tabla")
    stage.left.handle("snapshot", "store", 3)
    for name, screen in SCREENS.items():
        show(browser, screen)
        stage.left.handle("stop")
        browser.get(stage.server.web.invitation.here)
        time.sleep(2)
        stage.left.handle("generate", 1)
        time.sleep(8)
        keep(browser, screen, into / f"{name}.png")
    stage.close()


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def draw_model(browser: Chrome, into: Path) -> None:
    """The page in which a model plays, stopped after some seconds."""
    files = partial(Files, directory=str(HERE.parents[1]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, screen in MODEL.items():
            show(browser, screen)
            browser.get(f"http://localhost:{server.server_port}/docs/play/?model=tabla&seed=1&latency=500")
            until(browser, lambda: "tabla" in browser.find_element(By.ID, "figures").text, "the model is there")
            for seconds in (8, 1):
                browser.find_element(By.ID, "play").click()
                time.sleep(seconds)
            keep(browser, screen, into / f"{name}.png")
        server.shutdown()


def draw(into: Path) -> None:
    """All of them."""
    with tempfile.TemporaryDirectory() as downloads, chromium(Path(downloads)) as browser:
        draw_instrument(browser, into)
        draw_model(browser, into)


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("--into", type=Path, default=HERE)
    draw(reader.parse_args().into)
