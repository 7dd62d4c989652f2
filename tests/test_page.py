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
from functools import partial
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from chromium import chromium, desk, phone, until
from osc_client import free_port
from osc_stage import Stage, wait_for
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from sopilib.errors import SopiError
from sopilib.live import COMMANDS, recording
from sopilib.osc import Invitation, PageServer, kept_token

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
    assert foreign(browser) == []


def is_up(browser):
    return "lost" not in browser.find_element(By.TAG_NAME, "body").get_attribute("class").split()


def foreign(browser):
    """What the page loaded from elsewhere."""
    names = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    own = browser.execute_script("return location.origin") + f"/{TOKEN}/"
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
        # the middle one: a machine that is busy leaves gaps
        return np.abs(left).max() > 0 and np.median(np.abs(left[:loop] - left[loop:])) < 1e-4

    try:
        wait_for(loops)
    finally:
        ActionChains(page).release().perform()
    wait_for(lambda: stage.left.state.freeze == 0)
    pressed(page, "freeze", False)
    seen = []
    stage.left.watch(lambda kind, *values: seen.append(values) if kind == "freeze" else None)
    freeze.send_keys(Keys.SPACE)  # down and up
    wait_for(lambda: seen == [(200,), (0,)])
    pressed(page, "freeze", False)
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


def test_a_snapshot_is_stored_by_holding_recalled_by_a_tap_and_morphed_to_by_sliding(page, stage):
    press(page, "play")
    wait_for(lambda: stage.left.state.playing)
    seen = []

    def note(kind, *values):
        if kind == "snapshot":
            seen.append(values)

    stage.left.watch(note)
    pad = by_id(page, "snapshot-2")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", pad)
    ActionChains(page).click_and_hold(pad).perform()
    until(page, lambda: "filled" in pad.get_attribute("class"), "it is stored while it is held")
    ActionChains(page).release().perform()
    pad.click()
    wait_for(lambda: seen == [("store", 2), ("recall", 2)])
    ActionChains(page).click_and_hold(pad).move_by_offset(60, 0).release().perform()
    wait_for(lambda: seen[2:] == [("morph", 2)])
    pad.send_keys("s", Keys.ENTER, "m")
    wait_for(lambda: seen[3:] == [("store", 2), ("recall", 2), ("morph", 2)])
    stage.left.unwatch(note)
    assert "filled" in pad.get_attribute("aria-label")
    press(page, "snapshot-7")  # nothing is there: the page says so, and the sound goes on
    until(page, lambda: "slot 7" in by_id(page, "line").text, "it says that nothing is stored")
    assert sounds(stage)


def test_voices_guard_blend_listening_and_recording(page, stage):
    press(page, "play")
    voices = by_id(page, "voices")
    voices.clear()
    voices.send_keys("2", Keys.TAB)
    wait_for(lambda: stage.left.state.voices == 2)
    Select(by_id(page, "guard")).select_by_value("warn")
    wait_for(lambda: stage.left.state.guard == "warn")
    Select(by_id(page, "model2")).select_by_value("other")
    wait_for(lambda: stage.left.state.model2 == "other")
    shows(page, "model2", "other")
    by_id(page, "blend").send_keys(Keys.PAGE_UP)
    wait_for(lambda: stage.left.state.blend == pytest.approx(0.1))
    Select(by_id(page, "blend-mode")).select_by_value("logits")
    wait_for(lambda: stage.left.state["blend-mode"] == "logits")
    stage.left.handle("blend-mode", "audio")
    stage.left.handle("load2", "off")
    shows(page, "model2", "")
    Select(by_id(page, "meanwhile")).select_by_value("old")
    press(page, "listen")
    wait_for(lambda: stage.left.state.listening == "old")
    pressed(page, "listen", True)
    press(page, "listen")
    pressed(page, "listen", False)
    assert not stage.left.state.listening
    press(page, "record")
    pressed(page, "record", True)
    assert stage.left.recording.path.parent.name == "recordings"
    press(page, "record")
    wait_for(lambda: stage.left.recording is None)
    pressed(page, "record", False)
    until(page, lambda: "recorded recordings/take-001.wav" in by_id(page, "line").text, "it says what was recorded")


def test_every_other_setting_has_a_control_that_turns_it_and_shows_it(page, stage):
    page.execute_script("document.querySelector('#knob-part details').open = true")
    rows = page.find_elements(By.CSS_SELECTOR, ".knob [id^=knob-]")
    names = {row.get_attribute("id").removeprefix("knob-") for row in rows}
    elsewhere = {"freeze", "voices", "guard", "blend", "blend-mode", "freewheel", "listen", "record", "score", "report"}
    assert names == {c.name for c in COMMANDS.values() if c.query} - elsewhere - {"seed"}
    for row in rows:
        name = row.get_attribute("id").removeprefix("knob-")
        before = stage.left.setting(name)
        turn_up(row, before[0])
        until(page, partial(differs, stage, name, before), f"{name} is turned")
        stage.left.handle(name, before[0])
        if row.get_attribute("type") == "range":
            until(page, partial(stands_at, row, before[0]), f"{name} is shown")


def turn_up(row, value):
    """The next of a menu, the other state of a box, or a step of a slider, down if it can't go up."""
    if row.tag_name == "select":
        Select(row).select_by_index(1)
    elif row.get_attribute("type") == "checkbox":
        row.click()
    else:
        row.send_keys(Keys.ARROW_UP if value < float(row.get_attribute("max")) else Keys.ARROW_DOWN)


def differs(stage, name, before):
    return stage.left.setting(name) != before


def stands_at(row, value):
    return float(row.get_attribute("value")) == value


def test_the_picture_shows_what_sounds(page, stage):
    bright = """const c = document.getElementById('picture'), context = c.getContext('2d');
        const red = context.getImageData(c.width - 8, 0, 8, c.height).data.filter((_, i) => i % 4 === 0);
        return Math.max(...red)"""
    wait_for(lambda: not sounds(stage))
    until(page, lambda: page.execute_script(bright) < 40, "it is dark")
    press(page, "play")
    until(page, lambda: page.execute_script(bright) > 100, "it shows the sound")
    until(page, lambda: float(by_id(page, "level").get_attribute("value")) > -60, "the level moves")
    until(page, lambda: "real time" in by_id(page, "figures").text, "it says how fast the model is")
    Select(by_id(page, "instance")).select_by_visible_text("2")  # the other, which is silent and has no model
    until(page, lambda: "no model" in by_id(page, "figures").text, "it shows the other instance")
    pressed(page, "play", False)
    press(page, "play")
    wait_for(lambda: stage.performers[1].state.playing)
    stage.performers[1].handle("stop")


def test_a_server_that_dies_is_missed_and_found_again_and_nothing_changes(page, stage):
    port = free_port()
    first = PageServer(stage.instances, port, "127.0.0.1", TOKEN)
    page.get(first.invitation.here)
    until(page, lambda: is_up(page), "the page is connected")
    press(page, "play")
    wait_for(lambda: stage.left.state.playing)
    first.close()
    until(page, lambda: not is_up(page), "the page says that the connection is lost")
    page.get_log("browser")  # that it can't connect
    press(page, "play")  # goes nowhere
    stage.left.handle("temperature", 1.25)
    seen = []
    stage.left.watch(lambda kind, *values: seen.append(kind))
    again = PageServer(stage.instances, port, "127.0.0.1", TOKEN)
    try:
        until(page, lambda: is_up(page), "the page is back")
        page.get_log("browser")
        until(page, lambda: "1.25" in by_id(page, "pad-across").text, "it shows what is")
        pressed(page, "play", True)
        assert not set(seen) & set(COMMANDS)
        press(page, "play")
        wait_for(lambda: not stage.left.state.playing)
    finally:
        again.close()


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


def test_a_recording_that_a_network_asked_for_leaves_room_on_the_disk(stage, monkeypatch):
    lines = []
    stage.left.watch(lambda kind, *values: lines.append(str(values[0])) if kind == "warning" else None)
    stage.left.perform("record", "start", "bounded", confined=True)
    wait_for(lambda: stage.left.recording.seconds > 0)
    monkeypatch.setattr(recording, "LEAST_FREE", 1 << 62)
    wait_for(lambda: stage.left.recording is None)
    assert any("GB is free" in line for line in lines)
    with pytest.raises(SopiError, match="GB is free"):
        stage.left.perform("record", "start", "more", confined=True)
    stage.left.perform("record", "start", "mine")  # of whoever sits here
    monkeypatch.setattr(recording, "LEAST_FREE", 0)
    monkeypatch.setattr(recording, "LONGEST", 0.1)
    stage.left.perform("record", "stop")
    wait_for(lambda: stage.left.recording is None)
    stage.left.perform("record", "start", "long", confined=True)
    wait_for(lambda: stage.left.recording is None)
    assert any("minutes long" in line for line in lines)


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


@pytest.mark.long
def test_axe_finds_nothing_that_keeps_people_out(page):
    axe = Path(__file__).resolve().parents[1] / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    assert axe.exists(), "there is no axe-core here: make setup-long installs it"
    page.execute_script("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.execute_script(axe.read_text())
    try:
        for screen in (desk, phone):
            screen(page)
            found = page.execute_async_script("axe.run().then(arguments[0])")
            assert len(found["passes"]) > 20
            assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]] == []
    finally:
        desk(page)
