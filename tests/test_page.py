"""The page that plays the instruments, in a real Chromium and over real connections: every control does what its
message does, all pages show what is, and whoever has no token, another origin or no patience costs nothing."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import stat
import time

import aiohttp
import numpy as np
import pytest
from chromium import chromium, desk, phone, until
from osc_stage import Stage, wait_for
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from sopilib.osc import Invitation, kept_token

TOKEN = "a-token-for-the-tests-"
RATE = 48000


@pytest.fixture(scope="module")
def models(pd_models_folder):
    """Performers of the whole module find the small models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOPI_MODELS", str(pd_models_folder))
        yield pd_models_folder


@pytest.fixture(scope="module")
def stage(models):
    made = Stage(page=TOKEN, keep=4 * RATE)
    made.left.handle("load", "small")
    wait_for(lambda: made.left.state.model == "small")
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("downloads")) as made:
        yield made


@pytest.fixture
def page(browser, stage):
    """The page, open and connected, and the instrument as it is at first."""
    stage.left.handle("stop")
    for words in (("gain", 1), ("temperature", 1), ("seed", 0), ("freeze", 0), ("voices", 1), ("guard", "off")):
        stage.left.handle(*words)
    browser.get_log("browser")
    browser.get(stage.server.web.invitation.here)
    until(browser, lambda: is_up(browser), "the page is connected")
    yield browser
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    assert foreign(browser, stage) == []


def is_up(browser):
    return "lost" not in browser.find_element(By.TAG_NAME, "body").get_attribute("class").split()


def foreign(browser, stage):
    """What the page loaded from elsewhere."""
    names = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    own = f"//127.0.0.1:{stage.server.query_port}/{TOKEN}/"
    return [name for name in names if own not in name]


def by_id(browser, name):
    return browser.find_element(By.ID, name)


def press(browser, name):
    by_id(browser, name).click()


def shows(browser, name, value):
    until(browser, lambda: by_id(browser, name).get_attribute("value") == value, f"{name} shows {value}")


def pressed(browser, name, on):
    wanted = "true" if on else "false"
    until(browser, lambda: by_id(browser, name).get_attribute("aria-pressed") == wanted, f"{name} pressed is {wanted}")


def sounds(stage, seconds=0.2):
    """Whether there is sound in what comes from now on."""
    return bool(np.abs(heard(stage, round(seconds * RATE))).max() > 0)


def heard(stage, frames):
    """The next frames that sound, (2, n)."""
    stage.sound()
    found = [stage.sound()]
    while sum(part.shape[1] for part in found) < frames:
        time.sleep(0.005)
        found.append(stage.sound())
    return np.concatenate(found, axis=1)


def ask(stage, path, host="localhost", **headers):
    """-> status, headers, body"""
    connection = http.client.HTTPConnection("127.0.0.1", stage.server.query_port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host, **headers})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def talk(stage, *conversations, token=TOKEN, **options):
    """Runs a coroutine for each, with a control socket of its own."""

    async def one(session, conversation):
        url = f"ws://127.0.0.1:{stage.server.query_port}/{token}/control"
        async with session.ws_connect(url, **options) as ws:
            return await conversation(ws)

    async def all_of_them():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            return await asyncio.gather(*(one(session, c) for c in conversations))

    return asyncio.run(asyncio.wait_for(all_of_them(), 60))


async def told(ws, kind, values, number="1"):
    """Until an instance tells this."""
    while True:
        message = await ws.receive(timeout=30)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        if message.type is aiohttp.WSMsgType.TEXT:
            said = json.loads(message.data)
            for instance in said.get("instances", []):
                said.setdefault("told", {})[str(instance["number"])] = instance["told"]
            if said.get("told", {}).get(number, {}).get(kind) == values:
                return


async def refused(ws):
    while True:
        message = await ws.receive(timeout=30)
        if message.type is aiohttp.WSMsgType.TEXT and "error" in (said := json.loads(message.data)):
            return said["error"]


def say(*words, **more):
    return json.dumps({"to": 1, "say": words, **more})


# ---------------------------------------------------------------- who may


def test_without_its_token_there_is_no_page(stage):
    for path in ("/page.js", "/control", f"/{TOKEN[:-1]}/", f"/{TOKEN}x/", f"/{TOKEN.upper()}/page.js", "/é/"):
        status, _, body = ask(stage, path.encode().decode("latin-1") if path.isascii() else "/%C3%A9/")
        assert status == 404
        assert not body
    for token in ("", "wrong", TOKEN[:-1]):
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            talk(stage, refused, token=token or "none")
        assert error.value.status == 404
    assert ask(stage, f"/{TOKEN}/")[0] == 200
    assert ask(stage, f"/{TOKEN}")[1]["location"] == f"/{TOKEN}/"
    assert ask(stage, f"/{TOKEN}/../web.py")[0] == ask(stage, f"/{TOKEN}/__init__.py")[0] == 404
    assert json.loads(ask(stage, "/?HOST_INFO")[2])["OSC_PORT"] == stage.server.port  # the root is OSCQuery's


def test_the_page_of_another_server_and_a_name_that_points_here_get_nothing(stage):
    own = f"localhost:{stage.server.query_port}"
    for origin in ("http://evil.example", "null", f"https://{own}", "http://localhost:1"):
        assert ask(stage, f"/{TOKEN}/", own, Origin=origin)[0] == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            talk(stage, refused, origin=origin)
        assert error.value.status == 403
    assert ask(stage, f"/{TOKEN}/", "evil.example")[0] == 421
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        talk(stage, refused, headers={"Host": "evil.example"})
    assert error.value.status == 421
    assert ask(stage, f"/{TOKEN}/", own, Origin=f"http://{own}")[0] == 200


def test_the_address_stays_with_the_page(stage):
    for path in ("", "page.js", "page.json", "wake.mp4", "nothing"):
        _, headers, _ = ask(stage, f"/{TOKEN}/{path}")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
    assert ask(stage, f"/{TOKEN}/page.js")[1]["content-type"].startswith("text/javascript")


def test_a_token_is_kept_for_its_user_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    token = kept_token()
    assert len(token) == 22
    assert kept_token() == token
    kept = tmp_path / "sopilib" / "web-token"
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    kept.write_text("short\n")
    assert len(kept_token()) == 22
    again = kept_token()
    assert kept_token(new=True) != again
    assert Invitation(token, "0.0.0.0", 9000).there.startswith("http://")
    assert Invitation(token, "127.0.0.1", 9000).url == f"http://127.0.0.1:9000/{token}/"
    assert b"<svg" in Invitation(token, "192.168.1.20", 9000).as_svg()
    assert "█" in Invitation(token, "192.168.1.20", 9000).for_terminal()


def test_a_page_reaches_names_alone_and_is_told_no_paths(stage, tmp_path):
    async def conversation(ws):
        for words in (("load", "/etc/passwd"), ("record", "start", "../../x.wav"), ("freewheel", 1), ("nonsense",)):
            await ws.send_str(say(*words))
            assert "/etc" not in await refused(ws)
        for text in (
            "[]",
            "{",
            '"x"',
            say(),
            say("gain", None),
            say("gain", float("nan")),
            '{"to": 9, "say": ["stop"]}',
        ):
            await ws.send_str(text)
            assert await refused(ws)
        stage.left.teller.tell("warning", f"{tmp_path}/secret/x.wav is odd")
        await told(ws, "warning", ["x.wav is odd"])
        await ws.send_str(say("gain", 0.5))
        await told(ws, "gain", [0.5, 0.0])

    talk(stage, conversation)
    stage.left.handle("gain", 1)


# ---------------------------------------------------------------- what its controls do


def test_play_starts_the_sound_and_stop_ends_it(page, stage):
    press(page, "play")
    pressed(page, "play", True)
    assert stage.left.state.playing
    wait_for(lambda: sounds(stage))
    press(page, "play")
    pressed(page, "play", False)
    wait_for(lambda: not sounds(stage))


def test_the_pad_turns_temperature_and_another_knob(page, stage):
    press(page, "play")
    pad = by_id(page, "pad")
    wide, high = pad.size["width"], pad.size["height"]
    ActionChains(page).move_to_element_with_offset(pad, wide // 4, high // 2).click().perform()  # the lower right
    wait_for(lambda: stage.left.state.temperature > 1.4 and stage.left.state.gain == 0)
    wait_for(lambda: not sounds(stage))
    ActionChains(page).move_to_element_with_offset(pad, 2 - wide // 2, 0).click().perform()
    wait_for(lambda: stage.left.state.temperature == pytest.approx(0.2))
    wait_for(lambda: stage.left.state.gain == pytest.approx(0.5, abs=0.02))
    wait_for(lambda: sounds(stage))
    Select(by_id(page, "pad-choice")).select_by_value("rate")
    by_id(page, "pad-y").send_keys(Keys.ARROW_UP)
    wait_for(lambda: stage.left.state.rate == pytest.approx(1.015))
    by_id(page, "pad-x").send_keys(Keys.PAGE_UP)
    wait_for(lambda: stage.left.state.temperature == pytest.approx(0.38))
    stage.left.handle("temperature", 1.5)  # from elsewhere: the page shows it
    until(page, lambda: "1.5" in by_id(page, "pad-across").text, "the pad shows what is")
    stage.left.handle("rate", 1)
    Select(by_id(page, "pad-choice")).select_by_value("gain")


def test_a_seed_by_number_by_its_pad_and_by_the_dice(page, stage):
    field = by_id(page, "seed")
    field.clear()
    field.send_keys("17", Keys.ENTER)
    wait_for(lambda: stage.left.state.seed == 17)
    until(page, lambda: "16" in by_id(page, "seeds").text, "the pad has the seeds around it")
    page.find_elements(By.CSS_SELECTOR, "#seeds button")[3].click()
    wait_for(lambda: stage.left.state.seed == 19)
    shows(page, "seed", "19")
    press(page, "dice")
    wait_for(lambda: stage.left.state.seed != 19)
    stage.left.handle("seed", 2**64 - 1)
    shows(page, "seed", str(2**64 - 1))


def test_freeze_lasts_as_long_as_it_is_held(page, stage):
    press(page, "play")
    wait_for(lambda: sounds(stage))
    freeze = by_id(page, "freeze")
    ActionChains(page).click_and_hold(freeze).perform()
    wait_for(lambda: stage.left.state.freeze == 200)
    pressed(page, "freeze", True)

    def loops():
        loop = RATE // 5
        left = heard(stage, 3 * loop)[0, -2 * loop :]
        return np.abs(left).max() > 0 and np.abs(left[:loop] - left[loop:]).max() < 1e-4

    wait_for(loops)
    ActionChains(page).release().perform()
    wait_for(lambda: stage.left.state.freeze == 0)
    pressed(page, "freeze", False)
    freeze.send_keys(Keys.SPACE)  # down and up
    wait_for(lambda: stage.left.state.freeze == 0)
    page.execute_script("arguments[0].click()", freeze)  # as a screen reader presses
    wait_for(lambda: stage.left.state.freeze == 200)
    pressed(page, "freeze", True)
    page.execute_script("arguments[0].click()", freeze)
    wait_for(lambda: stage.left.state.freeze == 0)


def test_what_a_page_holds_is_let_go_a_second_after_it_went_silent(stage):
    async def hold(ws):
        await ws.send_str(say("freeze", 150, held=True))
        await told(ws, "freeze", [150])
        for _ in range(6):  # for longer than a second it says that it is there
            await asyncio.sleep(0.25)
            await ws.send_str("{}")
        assert stage.left.state.freeze == 150

    async def watch(ws):
        await told(ws, "freeze", [150])
        await told(ws, "freeze", [0])

    talk(stage, hold, watch)
    assert stage.left.state.freeze == 0


def test_the_menu_loads_a_model(page, stage):
    Select(by_id(page, "model")).select_by_value("other")
    wait_for(lambda: stage.left.state.model == "other")
    until(page, lambda: "other at 16000 Hz" in by_id(page, "figures").text, "the page says which model plays")
    stage.left.handle("load", "small")
    shows(page, "model", "small")


# ---------------------------------------------------------------- many, slow and lost ones


def test_three_pages_are_in_step(stage):
    async def one(ws):
        await ws.send_str(say("temperature", 0.61))
        await told(ws, "temperature", [0.62, 0.0])

    async def two(ws):
        await told(ws, "temperature", [0.61, 0.0])
        await ws.send_str(say("temperature", 0.62))
        await told(ws, "temperature", [0.62, 0.0])

    async def three(ws):
        await told(ws, "temperature", [0.62, 0.0])

    stage.left.handle("temperature", 1)
    talk(stage, one, two, three)
    assert stage.left.state.temperature == 0.62


def test_a_hundred_pages_and_one_that_never_reads_hold_nobody_up(stage):
    with socket.create_connection(("127.0.0.1", stage.server.query_port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        lines = [f"GET /{TOKEN}/control HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
        deaf.sendall("\r\n".join(lines).encode())
        ready = asyncio.Event()
        open_ones = []

        async def quiet(ws):
            open_ones.append(ws)
            if len(open_ones) == 100:
                ready.set()
            await told(ws, "temperature", [0.75, 0.0])

        async def busy(ws):
            await ready.wait()
            for i in range(200):
                await ws.send_str(say("temperature", 0.5 + i / 1000))
            await ws.send_str(say("temperature", 0.75))
            await told(ws, "temperature", [0.75, 0.0])

        talk(stage, *[quiet] * 100, busy)
    assert stage.left.state.temperature == 0.75
    assert ask(stage, f"/{TOKEN}/")[0] == 200


def test_the_page_fits_a_phone(page):
    try:
        phone(page)
        until(page, lambda: page.execute_script("return innerWidth") == 390, "it is a phone")
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
        sizes = page.execute_script(
            "return [...document.querySelectorAll('button, select')].filter((e) => e.offsetParent).map((e) =>"
            " [e.id || e.textContent, e.offsetWidth, e.offsetHeight])"
        )
        assert [size for size in sizes if size[2] < 40 or size[1] < 34] == []
    finally:
        desk(page)
