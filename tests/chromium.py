"""A real Chromium without a window, for pages of ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

# as root it runs without its sandbox; and it talks to nobody
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--mute-audio"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@contextmanager
def chromium(downloads: Path, *flags: str) -> Iterator[webdriver.Chrome]:
    """A Chromium with these flags too, whose window is 1280 pixels wide. What it downloads lies in `downloads`."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert program and driver, "there is no Chromium here: make setup-test installs it"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, "--window-size=1280,900", *flags):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def until(browser: webdriver.Chrome, true: Callable[[], Any], what: str) -> Any:
    """Waits until `true` gives something, which it returns."""
    return WebDriverWait(browser, 60, 0.05).until(lambda _: true(), f"never: {what}")


def phone(browser: webdriver.Chrome, wide: int = 390) -> None:
    """Makes it a phone's screen, until `desk`."""
    screen = {"width": wide, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def desk(browser: webdriver.Chrome) -> None:
    """Makes it a window again."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
