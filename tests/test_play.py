"""The page of the docs on which a model plays in the reader's own browser, in a real Chromium: it plays what a desk
plays, its knobs do what they say, and nothing leaves it."""

from __future__ import annotations

import base64
import http.server
import json
import math
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from chromium import chromium, desk, phone, until
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from sopilib import Config, Engine, Model, SopiError, load
from sopilib.checkpoint import save
from sopilib.live import COMMANDS
from sopilib.native import _native

ROOT = Path(__file__).resolve().parents[1]
MODELS = sorted(path.stem for path in (ROOT / "models").glob("*/*.safetensors"))
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")  # which beeps
LATENCY = 0.5  # s of sound that are there before it begins


class Files(http.server.SimpleHTTPRequestHandler):
    """A plain static host, or one with more headers, or with a small model in the place of tabla."""

    more: dict[str, str] = {}
    tabla: Path | None = None
    clock = 0  # ms of a step of the worker's clock: 0: as the browser has it

    def do_GET(self) -> None:
        if not (self.clock and self.path == "/docs/play/worker.mjs"):
            return super().do_GET()
        coarse = f"performance.now = () => Math.floor(Date.now() / {self.clock}) * {self.clock};"
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript")
        self.end_headers()
        self.wfile.write(f"{coarse}{(ROOT / 'docs' / 'play' / 'worker.mjs').read_text()}".encode())
        return None

    def translate_path(self, path: str) -> str:
        small = self.tabla is not None and path == "/models/tabla/tabla.safetensors"
        return str(self.tabla) if small else super().translate_path(path)

    def end_headers(self) -> None:
        for name, value in self.more.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(
    tabla: Path | None = None, more: Mapping[str, str] = {}, address: str = "127.0.0.1", clock: int = 0
) -> Iterator[int]:
    """This checkout at a port."""
    handler = type("Handler", (Files,), {"more": more, "tabla": tabla, "clock": clock})
    with http.server.ThreadingHTTPServer((address, 0), partial(handler, directory=str(ROOT))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with served() as port:
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def quick(pd_models_folder: Path) -> Iterator[str]:
    """A host whose tabla is small, so that it loads at once and plays in time on any machine."""
    with served(pd_models_folder / "small" / "small.safetensors") as port:
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[Chrome]:
    with chromium(downloads, *MICROPHONE) as made:
        made.set_script_timeout(120)
        yield made


def by_id(browser: Chrome, name: str) -> Any:
    return browser.find_element(By.ID, name)


def figures(browser: Chrome) -> str:
    return str(by_id(browser, "figures").text)


def opened(browser: Chrome, host: str, **settings: object) -> None:
    """The page, its model loaded."""
    browser.get_log("browser")
    browser.get(f"{host}/docs/play/?" + "&".join(f"{name.replace('_', '-')}={x}" for name, x in settings.items()))
    until(browser, lambda: f"{settings.get('model', 'tabla')} at 16000 Hz" in figures(browser), "the model is there")


@pytest.fixture
def small(pd_models_folder: Path) -> Path:
    return pd_models_folder / "small" / "small.safetensors"


@pytest.fixture
def page(browser: Chrome, quick: str) -> Iterator[Chrome]:
    """The page with a small model."""
    opened(browser, quick, latency=500)
    yield browser
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    names = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [name for name in names if not name.startswith((quick, f"blob:{quick}"))] == []


# ---------------------------------------------------------------- the same music as on a desk

CODES = """const [files, build, options, n, done] = given;
const { Engine, hasRelaxed } = await import('/sopilib/native/wasm/engine.mjs');
const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
const name = build ?? (hasRelaxed() ? 'relaxed' : 'plain');
const module = await WebAssembly.compile(await bytes(`/docs/play/${name}.wasm`)), played = [];
for (const file of files) {
  const engine = await Engine.make(module, await bytes(file));
  engine.seed(2n ** 64n - 3n);
  played.push([...engine.generate(n, options).codes]);
}
done([name, played])"""


def in_the_browser(browser: Chrome, names: list[str], build: str | None, n: int) -> tuple[str, list[list[int]]]:
    """Which build it chose, and the codes of each model."""
    files = [f"/models/{name}/{name}.safetensors" for name in names]
    options = {"temperature": 0.9, "topK": 40, "minP": 0.001}
    script = f"(async (...given) => {{ {CODES} }})(...arguments).catch((e) => arguments[4]([e.message, []]))"
    chosen, played = browser.execute_async_script(script, files, build, options, n)
    assert chosen in ("plain", "relaxed"), chosen
    return chosen, played


def on_a_desk(name: str, n: int) -> list[int]:
    engine = Engine(load(ROOT / "models" / name / f"{name}.safetensors"))
    engine.reset(2**64 - 3)
    codes: list[int] = engine.generate(n, temperature=0.9, top_k=40, min_p=0.001)[0].tolist()
    return codes


@pytest.mark.parametrize("build", [None, "plain"])
def test_a_shipped_model_gives_the_codes_of_a_desk_in_a_browser(browser: Chrome, host: str, build: str | None) -> None:
    browser.get(f"{host}/docs/play/play.css")
    name = "piano" if build else "tabla"
    assert in_the_browser(browser, [name], build, 400)[1] == [on_a_desk(name, 400)]


@pytest.mark.long
def test_every_shipped_model_gives_the_codes_of_a_desk_in_a_browser(browser: Chrome, host: str) -> None:
    browser.get(f"{host}/docs/play/play.css")
    want = [on_a_desk(name, 3000) for name in MODELS]
    for build in (None, "plain"):
        assert in_the_browser(browser, MODELS, build, 3000)[1] == want


def recorded(browser: Chrome, downloads: Path) -> tuple[np.ndarray, int]:
    """What the page's newest take has, and its rate."""
    links = "#takes a"
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, links), "there is a take")
    link = browser.find_elements(By.CSS_SELECTOR, links)[-1]
    path = downloads / str(link.get_attribute("download"))
    path.unlink(missing_ok=True)
    link.click()
    until(browser, path.exists, "the take is downloaded")
    audio, rate = soundfile.read(path, dtype="float32")
    return audio, rate


@pytest.mark.parametrize("isolated", [False, True])
def test_the_page_sounds_as_a_desk_does_with_the_same_seed_and_knobs(
    browser: Chrome, small: Path, downloads: Path, isolated: bool
) -> None:
    with served(small, ISOLATED if isolated else {}) as port:
        settings = {"temperature": 0.7, "top_k": 20, "min_p": 0.02, "gain": 0.5, "seed": 2**64 - 1, "latency": 500}
        opened(browser, f"http://localhost:{port}", **settings)
        assert browser.execute_script("return crossOriginIsolated") == isolated
        by_id(browser, "record").click()
        by_id(browser, "play").click()
        until(browser, lambda: float(by_id(browser, "level").get_attribute("value")) > -60, "it sounds")
        until(browser, lambda: "real time" in figures(browser), "it says how fast it is")
        recording = partial(lambda: float((re.search(r"([\d.]+) s", by_id(browser, "record").text) or [0, 0])[1]))
        sounds = recording()
        until(browser, lambda: recording() > sounds + LATENCY, "it records")
        by_id(browser, "record").click()
        heard, rate = recorded(browser, downloads)
        browser.get("about:blank")
    model = load(small)
    engine, resampler = Engine(model), _native.Resampler(model.config.sample_rate, rate)
    engine.reset(2**64 - 1)
    blocks = []
    for _ in range(round(LATENCY / 2 * rate / 1000)):
        codes = engine.generate(resampler.needed(1000), temperature=0.7, top_k=20, min_p=0.02)[0]
        blocks.append(resampler.process(model.decode(codes), 1000))
    want = 0.5 * np.concatenate(blocks)
    n = len(want)
    begins = int(np.flatnonzero(heard)[0])
    after = slice(3000, n)  # what was faded in
    gaps = [np.abs(heard[begins + shift : begins + shift + n][after] - want[after]).max() for shift in range(-3, 3)]
    assert min(gaps) < 1e-5
    assert np.abs(want[after]).max() > 1e-3


# ---------------------------------------------------------------- its controls


def test_play_stop_gain_dice_and_again(page: Chrome) -> None:
    level = partial(lambda: float(by_id(page, "level").get_attribute("value")))
    play = by_id(page, "play")
    play.click()
    assert play.get_attribute("aria-pressed") == "true"
    until(page, lambda: level() > -60, "it sounds")
    by_id(page, "gain").send_keys(*[Keys.PAGE_DOWN] * 10)
    until(page, lambda: level() == -60, "it is silent")
    by_id(page, "gain").send_keys(*[Keys.PAGE_UP] * 10)
    until(page, lambda: level() > -60, "it sounds again")
    before = by_id(page, "seed").get_attribute("value")
    by_id(page, "dice").click()
    assert by_id(page, "seed").get_attribute("value") != before
    by_id(page, "again").click()
    until(page, lambda: level() > -60, "it goes on")
    play.click()
    assert play.text == "Play"
    until(page, lambda: level() == -60, "it ends")


def test_a_seed_that_is_none_is_said_and_the_old_one_stays(page: Chrome) -> None:
    seed = by_id(page, "seed")
    for text, stays in ((str(2**64 - 1), True), (str(2**64), False), ("-1", False), ("x", False)):
        seed.send_keys(Keys.CONTROL, "a", Keys.NULL, text, Keys.ENTER)
        assert seed.get_attribute("value") == str(2**64 - 1)
        assert ("expected a whole number from 0 to 18446744073709551615" in by_id(page, "line").text) != stays


def test_what_is_no_model_is_said_and_the_old_one_plays_on(page: Chrome, tmp_path: Path, small: Path) -> None:
    by_id(page, "play").click()
    short = tmp_path / "short.safetensors"
    short.write_bytes(small.read_bytes()[:-100])
    by_id(page, "own").send_keys(str(short))
    until(page, lambda: "short.safetensors: cut short" in by_id(page, "line").text, "it says what is wrong")
    assert "tabla at 16000 Hz" in figures(page)
    until(page, lambda: float(by_id(page, "level").get_attribute("value")) > -60, "the old one plays")


def test_another_model_takes_over_while_one_plays(page: Chrome, pd_models_folder: Path) -> None:
    by_id(page, "play").click()
    until(page, lambda: "real time" in figures(page), "it plays")
    menu = Select(by_id(page, "model"))
    for name in ("drums", "tabla"):  # the newest wins
        menu.select_by_visible_text(name)
    by_id(page, "own").send_keys(str(pd_models_folder / "other" / "other.safetensors"))
    until(page, lambda: "other.safetensors" in figures(page) and "real time" in figures(page), "the other one plays")
    until(page, lambda: float(by_id(page, "level").get_attribute("value")) > -60, "it sounds")
    assert by_id(page, "play").text == "Stop"


def test_a_model_and_a_file_can_be_chosen_again(page: Chrome, pd_models_folder: Path, tmp_path: Path) -> None:
    shown = partial(lambda: str(Select(by_id(page, "model")).first_selected_option.text))
    own = pd_models_folder / "other" / "other.safetensors"
    names = partial(lambda: [option.text for option in Select(by_id(page, "model")).options])
    for _ in range(2):
        by_id(page, "own").send_keys(str(own))
        until(page, lambda: "other.safetensors at" in figures(page), "the file is there")
        assert shown() == "other.safetensors"
        Select(by_id(page, "model")).select_by_visible_text("tabla")
        until(page, lambda: "tabla at" in figures(page), "the model of the menu is there again")
        assert sorted(names()) == MODELS
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_text("no model")
    for _ in range(2):
        page.execute_script("document.getElementById('line').textContent = ''")
        by_id(page, "own").send_keys(str(wrong))
        until(page, lambda: "wrong.safetensors: no model" in by_id(page, "line").text, "it says so")
        assert shown() == "tabla"
        page.execute_script("document.getElementById('line').textContent = ''")
        by_id(page, "sound").send_keys(str(wrong))
        until(page, lambda: "it can't hear wrong.safetensors" in by_id(page, "line").text, "it says so")


def test_how_a_model_is_best_played_is_read_only_where_it_is_a_number(
    page: Chrome, small: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd.safetensors"
    for play, want in (
        ({"temperature": "hot"}, 1.0),
        ({"temperature": 9.0}, 2.0),
        ({"temperature": 0.5}, 0.5),
        (7, 0.5),
    ):
        about = json.dumps({"play": play, "data": 7, "licence": None})
        [change] = of_metadata(about=about).values()
        odd.write_bytes(with_header(small.read_bytes(), change))
        page.execute_script("document.getElementById('figures').textContent = ''")
        by_id(page, "own").send_keys(str(odd))
        until(page, lambda: "odd.safetensors at" in figures(page), "the model is there")
        assert float(by_id(page, "temperature").get_attribute("value")) == want
        assert by_id(page, "about").text == ""


def test_a_coarse_clock_gives_no_infinite_speed(browser: Chrome, small: Path) -> None:
    """Where a browser guards its user's privacy, its clock has steps of up to 100 ms."""
    with served(small, clock=100) as port:
        opened(browser, f"http://localhost:{port}", latency=500)
        browser.execute_script("""globalThis.said = [];
            const figures = document.getElementById('figures');
            new MutationObserver(() => said.push(figures.textContent)).observe(figures, { childList: true })""")
        by_id(browser, "play").click()
        until(browser, lambda: len(browser.execute_script("return said")) > 40, "it says many figures")
        said = browser.execute_script("return said")
        browser.get("about:blank")
    speeds = [float(found[1]) for text in said if (found := re.search(r"(\S+) × real time", text))]
    assert all(map(math.isfinite, speeds)) and min(speeds, default=1) > 0


def test_the_picture_shows_what_sounds(page: Chrome) -> None:
    bright = """const c = document.getElementById('picture'), context = c.getContext('2d');
        const red = context.getImageData(c.width - 8, 0, 8, c.height).data.filter((_, i) => i % 4 === 0);
        return Math.max(...red)"""
    assert page.execute_script(bright) < 40
    by_id(page, "play").click()
    until(page, lambda: page.execute_script(bright) > 100, "it shows the sound")


def test_the_bars_show_what_temperature_top_k_and_min_p_do_to_the_next_sample(page: Chrome) -> None:
    lit = """const c = document.getElementById('bars'), context = c.getContext('2d');
        const pixels = context.getImageData(0, 0, c.width, c.height).data;
        const bright = (x) => pixels[4 * ((c.height - 1) * c.width + x)] > 128;
        return Array.from({ length: c.width }, (_, x) => bright(x)).filter(Boolean).length"""
    by_id(page, "play").click()
    until(page, lambda: page.execute_script(lit) > 100, "there are bars")
    by_id(page, "play").click()  # it stays the same sample
    bits = partial(lambda: float(re.search(r"([\d.]+) bits", by_id(page, "bars-text").text)[1]))  # type: ignore[index]
    as_learnt = bits()
    by_id(page, "temperature").send_keys(Keys.HOME, *[Keys.PAGE_DOWN] * 5)
    assert bits() < as_learnt
    by_id(page, "temperature").send_keys(*[Keys.PAGE_UP] * 10)
    assert bits() >= as_learnt
    by_id(page, "top-k").send_keys(*[Keys.ARROW_UP] * 8)
    assert bits() <= 3
    assert 8 <= page.execute_script(lit) <= 24  # 8 bars of 2 pixels, and what they share
    by_id(page, "top-k").send_keys(*[Keys.ARROW_DOWN] * 8)
    by_id(page, "temperature").send_keys(Keys.HOME)
    by_id(page, "min-p").send_keys(*[Keys.PAGE_UP] * 10)
    assert page.execute_script(lit) < 400


def test_the_bars_are_the_shares_that_a_desk_draws_by(page: Chrome) -> None:
    script = """const [options, done] = arguments;
        import('/docs/play/bars.mjs').then(({ shares }) => done([...shares([0, 1, 2, 3, -1], options)]))"""
    for temperature, k, p in ((1, 0, 0), (0.5, 0, 0), (1, 2, 0), (1, 0, 0.2), (2, 3, 0.5)):
        made = page.execute_async_script(script, {"temperature": temperature, "topK": k, "minP": p})
        mass = np.exp((np.array([0, 1, 2, 3, -1]) - 3) / temperature)
        kept = mass * (mass >= np.sort(mass)[-k if k else 0]) * (mass >= p)
        np.testing.assert_allclose(made, kept / kept.sum())


@pytest.mark.parametrize("by", ["file", "microphone"])
def test_the_model_hears_a_sound_and_plays_on(page: Chrome, tmp_path: Path, by: str) -> None:
    said = partial(lambda: by_id(page, "line").text)
    for _ in range(2):
        by_id(page, "play").click()  # a browser lets nothing sound before a button is pressed
    if by == "file":
        sweep = tmp_path / "sweep.wav"
        soundfile.write(sweep, np.sin(np.cumsum(np.linspace(0, 0.5, 11025))), 22050)
        by_id(page, "sound").send_keys(str(sweep))
        until(page, lambda: "it heard 0.5 s, and plays on" in said(), "it heard the file")
    else:
        by_id(page, "listen").click()
        assert by_id(page, "listen").get_attribute("aria-pressed") == "true"
        until(page, lambda: "it listens" in said(), "it listens")
        by_id(page, "listen").click()
        until(page, lambda: "it heard" in said(), "it heard the microphone")
    assert by_id(page, "play").text == "Stop"
    until(page, lambda: float(by_id(page, "level").get_attribute("value")) > -60, "it plays on")


def test_what_is_no_sound_is_said(page: Chrome, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    by_id(page, "sound").send_keys(str(text))
    until(page, lambda: "it can't hear text.wav" in by_id(page, "line").text, "it says so")
    assert by_id(page, "play").text == "Play"


@pytest.mark.long
def test_a_model_that_is_too_slow_is_heard_with_gaps_which_are_counted(browser: Chrome, pd_models_folder: Path) -> None:
    with served(pd_models_folder / "large" / "large.safetensors") as port:
        opened(browser, f"http://localhost:{port}", latency=20)
        by_id(browser, "play").click()
        until(browser, lambda: re.search(r"[1-9]\d* gaps?$", figures(browser)), "gaps are counted")
        browser.get("about:blank")


def test_its_knobs_have_the_ranges_of_the_messages(page: Chrome) -> None:
    for name in ("temperature", "top-k", "min-p", "gain"):
        argument, knob = COMMANDS[name].arguments[0], by_id(page, name)
        least, most = argument.knob or (argument.least, argument.most)
        shown = [float(knob.get_attribute(x)) for x in ("min", "max", "value")]
        assert shown == [least, most, argument.usual], name


def test_the_menu_has_every_shipped_model_and_its_link_opens_it(browser: Chrome, host: str) -> None:
    opened(browser, host, model="piano")
    menu = Select(by_id(browser, "model"))
    assert sorted(option.text for option in menu.options) == MODELS
    assert menu.first_selected_option.text == "piano"
    assert "Schoenberg" in by_id(browser, "about").text


# ---------------------------------------------------------------- what pre-emphasis does to hiss

TAPPED = """const { Sound } = await import('/docs/play/sound.mjs');
const { codings, coded } = await import('/docs/play/hiss.mjs');
const { Coding } = await import('/sopilib/native/wasm/coding.mjs');
const { readModel } = await import('/sopilib/native/wasm/model.mjs');
const bytes = async (path) => (await fetch(path)).arrayBuffer();
const { config } = readModel(new Uint8Array(await bytes(`/models/${name}/${name}.safetensors`)));
const audio = (await new Sound({}).read(await bytes(`/tests/fixtures/${name}_held_out.flac`), 16000)).slice(0, 32000);
const ways = codings(config, audio), own = new Coding(config);
const sounds = [audio, own.decode(own.encode(audio)), coded(audio, ways.without), coded(audio, ways.with)];
return [...sounds.map((x) => [...x]), [...own.encode(audio)], ways.with.level, ways.with.q_type, ways.with.emphasis]"""


@pytest.mark.parametrize("name", ["voice", "drums"])
def test_what_is_heard_as_coded_is_what_a_desk_gives_of_it(browser: Chrome, host: str, name: str) -> None:
    browser.get(f"{host}/docs/play/play.css")
    found = run(browser, f"const name = '{name}'; {TAPPED}")
    audio, own, without, emphasised = (np.array(x, np.float32) for x in found[:4])
    model = load(ROOT / "models" / name / f"{name}.safetensors")
    config = model.config
    assert found[4] == model.encode(audio).tolist()  # bit for bit
    np.testing.assert_allclose(own, model.decode(model.encode(audio)), atol=1e-6, rtol=0)
    quantiser = config.quantiser
    plain = quantiser.table()[quantiser.encode(audio)]
    np.testing.assert_allclose(without, plain, atol=1e-6, rtol=0)
    if config.emphasis:
        assert emphasised.tolist() == own.tolist()
    else:
        assert without.tolist() == own.tolist()
        level, kind, poles = found[5:]
        other = Model.random(Config(q_type=kind, emphasis=poles, level=level, dim=2, frame_sizes=[2], mlp_dim=2))
        np.testing.assert_allclose(emphasised, other.decode(other.encode(audio)), atol=1e-6, rtol=0)


def test_the_hiss_is_measured_above_4_kilohertz(page: Chrome) -> None:
    script = """const { hiss } = await import('/docs/play/hiss.mjs');
        const tone = (hertz) => Float32Array.from({ length: 32000 }, (_, i) => Math.sin((Math.PI * hertz * i) / 8000));
        return [1000, 3700, 4300, 7000].map((hertz) => hiss(tone(hertz), 16000))"""
    low, below, above, high = run(page, script)
    assert max(low, below) < -40 and abs(above + 3) < 0.2 and abs(high + 3) < 0.05


def test_a_recording_is_heard_as_it_is_and_as_coded_and_the_page_says_how_loud_the_hiss_is(
    browser: Chrome, host: str, tmp_path: Path
) -> None:
    opened(browser, host, model="voice")
    pressed = partial(
        lambda: [b.get_attribute("id") for b in browser.find_elements(By.CSS_SELECTOR, "[aria-pressed=true]")]
    )
    level = partial(lambda: float(by_id(browser, "level").get_attribute("value")))
    said = partial(lambda: str(by_id(browser, "hiss-text").text))
    by_id(browser, "play").click()
    by_id(browser, "hiss-with").send_keys(Keys.ENTER)
    until(browser, lambda: "Above 4 kHz, 256 levels add noise" in said(), "it says how loud the noise is")
    assert pressed() == ["hiss-with"]  # and the model is silent
    until(browser, lambda: level() > -40, "it sounds")
    noise = [float(x.replace("−", "-")) for x in re.findall(r"(\S+) dB", said())]
    assert noise[1] < noise[0] - 10 and said().endswith("voice itself is coded with it.")
    by_id(browser, "hiss-without").send_keys(Keys.SPACE)
    until(browser, lambda: pressed() == ["hiss-without"], "the other one sounds")
    by_id(browser, "hiss-without").send_keys(Keys.SPACE)
    until(browser, lambda: pressed() == [] and level() == -60, "it ends")
    own = tmp_path / "silence.wav"
    soundfile.write(own, np.zeros(8000), 16000)
    by_id(browser, "hiss-file").send_keys(str(own))
    until(browser, lambda: pressed() == ["hiss-recording"] and "add noise of −120.0 dB" in said(), "it is my own")
    by_id(browser, "play").click()
    assert pressed() == ["play"]
    Select(by_id(browser, "model")).select_by_visible_text("drums")
    until(browser, lambda: "drums at" in figures(browser) and said() == "", "another model is there")
    browser.get("about:blank")


def test_a_model_of_ones_own_wants_a_sound_file_for_its_hiss(page: Chrome, pd_models_folder: Path) -> None:
    by_id(page, "own").send_keys(str(pd_models_folder / "other" / "other.safetensors"))
    until(page, lambda: "other.safetensors at" in figures(page), "the file is there")
    by_id(page, "hiss-recording").click()
    until(page, lambda: "choose a sound file" in by_id(page, "line").text, "it says so")
    assert by_id(page, "hiss-recording").get_attribute("aria-pressed") == "false"


# ---------------------------------------------------------------- what goes wrong, and what it does then

AUDIO_THREAD = """globalThis.AudioWorkletProcessor = class {
  port = { postMessage: (said) => Object.assign(told, said) };
};
let Player;
const told = {}, block = (player) => {
  const out = new Float32Array(128);
  player.process(null, [[out]], { gain: [1] });
  return [...out];
};
globalThis.registerProcessor = (_, made) => (Player = made);
await import('/docs/play/worklet.mjs');
const { Sender } = await import('/docs/play/ring.mjs');
"""
"""The code of the audio thread, called block by block, so that nothing depends on time."""

SOUND = """const { Sound } = await import('/docs/play/sound.mjs');
let loaded, failed = '', recorded = 0;
const none = () => {}, sound = new Sound({ progress: none, spent: none, gaps: none, primed: none,
  loaded: () => loaded(), failed: (why) => (failed = why), recorded: () => recorded++ });
const load = () => new Promise((done) => {
  loaded = done;
  sound.load({ url: '/models/tabla/tabla.safetensors' });
});
const file = async () => (await import('/docs/play/wav.mjs')).wav([new Float32Array(8000)], 16000).arrayBuffer();
"""
"""What plays, with its real workers and audio thread, without the page's controls."""


def run(browser: Chrome, script: str) -> Any:
    """What a script gives that may wait."""
    whole = f"const done = arguments[0]; (async () => {{ {script} }})().then(done, (e) => done('' + e.stack))"
    return browser.execute_async_script(whole)


def test_stop_fades_out_without_a_click(page: Chrome) -> None:
    script = """const player = new Player({ processorOptions: { buffer: null, enough: 128 } });
        player.hear({ play: true });
        player.ring.write(new Float32Array(12800).fill(0.9));
        for (let i = 0; i < 15; i++) block(player);
        player.hear({ play: false });
        return [...block(player), ...block(player)]"""
    heard = np.array(run(page, AUDIO_THREAD + script))
    assert heard.max() < 0.91
    assert np.abs(np.diff(heard, prepend=0.9)).max() < 0.02


@pytest.mark.parametrize("milliseconds", [20, 30, 43])
def test_a_short_latency_has_no_gaps_where_no_memory_is_shared(page: Chrome, milliseconds: int) -> None:
    script = """const a = {}, b = {}, waits = LATENCY * 48;
        a.postMessage = (data) => b.onmessage?.({ data });
        b.postMessage = (data) => a.onmessage?.({ data });
        const player = new Player({ processorOptions: { buffer: null, enough: Math.round(waits * 0.8) } });
        player.hear({ worker: b, play: true });
        const sender = new Sender(a);
        for (let i = 0; i < 200; i++) {
          while (sender.ahead < waits) sender.write(new Float32Array(128).fill(0.5));
          block(player);
        }
        return told.gaps ?? 0"""
    assert run(page, AUDIO_THREAD + script.replace("LATENCY", str(milliseconds))) == 0


def test_after_a_model_that_failed_while_it_played_another_plays(page: Chrome) -> None:
    script = """await load();
        await sound.play(true);
        const broken = sound.worker;
        broken.postMessage({ prime: null });
        while (!failed) await new Promise((go) => setTimeout(go, 5));
        await load();
        const playing = sound.worker !== null && sound.worker !== broken;
        await sound.context.close();
        sound.worker?.terminate();
        return playing"""
    assert run(page, SOUND + script) is True
    page.get_log("browser")  # where the failure stands


def test_a_model_that_was_replaced_never_sounds_into_the_new_one(page: Chrome) -> None:
    script = """const player = new Player({ processorOptions: { buffer: null, enough: 128 } });
        const old = new MessageChannel(), young = new MessageChannel(), close = old.port1.close;
        let closed = 0;
        old.port1.close = () => {
          closed++;
          close.call(old.port1);
        };
        player.hear({ worker: old.port1 });
        player.hear({ worker: young.port1 });
        old.port2.postMessage(new Float32Array(128).fill(0.5));
        await new Promise((go) => setTimeout(go, 20));
        young.port2.postMessage(new Float32Array(64));
        while (player.ring.ahead < 64) await new Promise((go) => setTimeout(go, 5));
        return [closed, player.ring.ahead]"""
    assert run(page, AUDIO_THREAD + script) == [1, 64]


def test_a_model_that_was_replaced_ends_once_and_says_no_more(page: Chrome) -> None:
    script = """await load();
        await sound.play(true);
        const old = sound.worker, said = [];
        let ended = 0;
        old.terminate = () => {
          ended++;
          Worker.prototype.terminate.call(old);
        };
        await load();
        await load();
        while (sound.next) await new Promise((go) => setTimeout(go, 5));
        sound.hears.spent = () => said.push('how fast it was');
        sound.hears.primed = () => said.push('what it heard');
        for (const late of [{ spent: { ms: 1, sound: 1 } }, { primed: 1 }, { retired: 0 }]) sound.hear(old, late);
        const heard = said.length;
        const left = sound.worker !== null && sound.worker !== old;
        sound.worker.terminate();
        await sound.context.close();
        return [ended, heard, left]"""
    assert run(page, SOUND + script) == [1, 0, True]


def test_a_sound_for_a_model_that_is_being_replaced_is_refused_in_a_sentence(page: Chrome) -> None:
    script = """await load();
        await sound.play(true);
        const bytes = await file();
        await load(); // the one before has not ended yet
        const said = await sound.prime(bytes).then(() => 'heard', (e) => e.message);
        await sound.context.close();
        return said"""
    assert run(page, SOUND + script) == "the model has changed"


def test_stop_while_a_file_is_decoded_is_heard(page: Chrome) -> None:
    script = """await load();
        await sound.play(true);
        const heard = sound.prime(await file());
        await sound.play(false);
        await heard;
        await sound.context.close();
        return sound.playing"""
    assert run(page, SOUND + script) is False


def test_record_pressed_twice_while_the_sound_opens_records_nothing(page: Chrome) -> None:
    script = """const sent = [], send = MessagePort.prototype.postMessage;
        MessagePort.prototype.postMessage = function (said, ...more) {
          if (said?.record !== undefined) sent.push(said.record);
          return send.call(this, said, ...more);
        };
        await Promise.all([sound.record(true), sound.record(false)]);
        MessagePort.prototype.postMessage = send;
        await sound.context.close();
        return sent"""
    assert run(page, SOUND + script) == [False]


def test_after_a_play_that_could_not_open_the_sound_the_next_one_plays(page: Chrome) -> None:
    page.execute_script("""const add = AudioWorklet.prototype.addModule;
        AudioWorklet.prototype.addModule = function () {
          AudioWorklet.prototype.addModule = add;
          return Promise.reject(new Error('the network is away'));
        }""")
    by_id(page, "play").click()
    until(page, lambda: "no sound: the network is away" in by_id(page, "line").text, "it says so")
    assert by_id(page, "play").text == "Play"
    by_id(page, "play").click()
    until(page, lambda: float(by_id(page, "level").get_attribute("value")) > -60, "it sounds")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole file of a model of a few weights."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save(Model.random(Config(frame_sizes=[2, 4], dim=2, mlp_dim=2, q_levels=4)), path, "int8")
    return path.read_bytes()


Header = dict[str, Any]


def with_header(whole: bytes, change: Callable[[Header], object]) -> bytes:
    """A file whose header is another: what `change` gives, or the one that it has changed."""
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    given = change(header)
    text = json.dumps(header if given is None else given).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + length :]


def of_config(name: str, *values: object) -> dict[str, Callable[[Header], object]]:
    """A change for each value that a field of the config is to have."""

    def change(header: Header, value: object) -> None:
        config = {**json.loads(header["__metadata__"]["config"]), name: value}
        header["__metadata__"]["config"] = json.dumps(config)

    return {f"{name} = {json.dumps(value)}": partial(change, value=value) for value in values}


def of_tensor(name: str, **fields: object) -> dict[str, Callable[[Header], object]]:
    """A change of a tensor's entry."""
    return {f"{name}: {fields}": lambda header: header.update({name: {**header[name], **fields}})}


def of_metadata(**texts: object) -> dict[str, Callable[[Header], object]]:
    """A change of a text in the metadata."""
    return {f"{texts}": lambda header: header["__metadata__"].update(texts)}


NUMBERS: tuple[object, ...] = (None, "1", True, [1], {}, math.nan, math.inf)
WHOLE: tuple[object, ...] = (*NUMBERS, 1.5, -1, 1 << 30)
FLAGS: tuple[object, ...] = (None, 0, 1, "no", [], {})
BROKEN: dict[str, Callable[[Header], object]] = {
    **of_config("dim", *WHOLE, 0),
    **of_config("mlp_dim", *WHOLE),
    **of_config("q_levels", *WHOLE, 0, 1, 5000),
    **of_config("sample_rate", *WHOLE, 0),
    **of_config("num_rnn_layers", *WHOLE, 0, 65),
    **of_config("features", *WHOLE),
    **of_config("seq_len", *WHOLE),
    **of_config("emb_size", *WHOLE[:-1]),
    **of_config("q_offset", *NUMBERS, 1.5, 1 << 30),
    **of_config("q_scale", *NUMBERS),
    **of_config("level", *NUMBERS, 0, -1, 1e9),
    **of_config("frame_gain", *NUMBERS, 0, -1, 1e9),
    **of_config("frame_scale", *NUMBERS, 1e9),
    **of_config("frame_offset", *NUMBERS, -1e9),
    **{name: change for field in ("skip_conn", "gru_reset_after", "input_layer", "log_softmax")
       for name, change in of_config(field, *FLAGS).items()},
    **{name: change for field in ("rnn_type", "q_type", "skip_style", "frame_input")
       for name, change in of_config(field, None, 7, "", "toString", [], ["gru"], {}, True).items()},
    **of_config("frame_sizes", None, 4, "24", {}, [], [0], [2, "4"], [True, 4], [4, 2], [2, 5], [2, 2], [1.5], [[2]],
                [1 << 17], [None]),
    **of_config("emphasis", None, 0.5, "0.5", {}, ["0.5"], [None], [True], [1.5], [-0.5], [0.5, 0.5, 0.5], [math.nan],
                [0.5]),
    **of_config("sample_relu", None, True, "110", {}, [], [True, 2], ["yes", True], [None, True], [[], True],
                [True] * 66, [True]),
    **of_config("unheard_of", 1),
    **of_metadata(config="7"),
    **of_metadata(config="[]"),
    **of_metadata(config="[1"),
    **of_metadata(about="[]"),
    **of_metadata(about="null"),
    **of_metadata(version="2"),
    **of_metadata(version=1),
    **of_metadata(format="other"),
    "a header that is null": lambda header: [],
    "metadata that are null": lambda header: header.update(__metadata__=None),
    "a tensor that is null": lambda header: header.update({"sample.tables": None}),
    "a weight that is missing": lambda header: header.pop("sample.tables") and None,
    "a weight that is unknown": lambda header: header.update(toString=header.pop("sample.tables")),
    "scales that are missing": lambda header: header.pop("sample.tables.scale") and None,
    **of_tensor("sample.tables", shape=None),
    **of_tensor("sample.tables", shape=[2, 4]),
    **of_tensor("sample.tables", shape=[4, 2, 2]),
    **of_tensor("sample.tables", shape=[-2, -4, 2]),
    **of_tensor("sample.tables", data_offsets=[0]),
    **of_tensor("sample.tables", data_offsets=["0", "16"]),
    **of_tensor("sample.tables", data_offsets=[-16, 0]),
    **of_tensor("sample.tables", dtype="X8"),
    **of_tensor("sample.tables.scale", shape=[8]),
}  # fmt: skip
"""What may be wrong in a model's file, each field and each kind of value; and what is done to its header."""


def test_a_damaged_file_is_refused_in_a_sentence_in_a_page_and_on_a_desk(
    page: Chrome, tiny: bytes, tmp_path: Path
) -> None:
    files = [tiny, with_header(tiny, lambda header: header), *(with_header(tiny, each) for each in BROKEN.values())]
    script = """const { readModel } = await import('/sopilib/native/wasm/model.mjs');
        const said = (text) => {
          try {
            readModel(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
            return 'read';
          } catch (failure) {
            return `${failure.constructor.name}: ${failure.message}`;
          }
        };
        return given.map(said)"""
    texts = json.dumps([base64.b64encode(file).decode() for file in files])
    in_a_page = run(page, f"const given = {texts}; {script}")
    assert in_a_page[:2] == ["read", "read"]
    path = tmp_path / "broken.safetensors"
    for name, content, sentence in zip(BROKEN, files[2:], in_a_page[2:], strict=True):
        assert re.fullmatch(r"Error: [^\n]{10,200}", sentence), (name, sentence)
        path.write_bytes(content)
        with pytest.raises(SopiError, match=r"\A[^\n]{10,600}\Z"):
            load(path)
            pytest.fail(f"a desk reads {name}")


# ---------------------------------------------------------------- where it is


def test_without_a_secure_context_the_page_says_what_it_needs(browser: Chrome) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, served(address="0.0.0.0") as port:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        browser.get(f"http://{probe.getsockname()[0]}:{port}/docs/play/")
        until(browser, lambda: "https or is localhost" in by_id(browser, "line").text, "it says so")
        assert not by_id(browser, "play").is_enabled()


def test_no_file_of_the_page_names_another_host() -> None:
    files = [*(ROOT / "docs" / "play").iterdir(), *(ROOT / "sopilib" / "native" / "wasm").glob("*.mjs")]
    texts = {file.name: file.read_text() for file in files if file.suffix != ".wasm"}
    assert len(texts) > 9
    assert [name for name, text in texts.items() if re.search(r"\w+://|['\"]//", text)] == []
    policy = re.search(r'Policy" content="([^"]+)"', texts["index.html"])
    assert policy and policy[1].startswith("default-src 'none'; ") and "unsafe-inline" not in policy[1]


def test_the_page_fits_a_phone(page: Chrome) -> None:
    try:
        phone(page)
        until(page, lambda: page.execute_script("return innerWidth") == 390, "it is a phone")
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
        names = "[...document.querySelectorAll('button, select, input')].filter((e) => e.offsetParent)"
        sizes = page.execute_script(f"return {names}.map((e) => [e.id, e.offsetWidth, e.offsetHeight])")
        assert [size for size in sizes if size[2] < 40 or size[1] < 34] == []
    finally:
        desk(page)


@pytest.mark.long
def test_axe_finds_nothing_that_keeps_people_out(page: Chrome) -> None:
    axe = ROOT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    assert axe.exists(), "there is no axe-core here: make setup-long installs it"
    page.execute_script(axe.read_text())
    try:
        for screen in (desk, phone):
            screen(page)
            found = page.execute_async_script("axe.run().then(arguments[0])")
            assert len(found["passes"]) > 15
            assert json.dumps([(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]]) == "[]"
    finally:
        desk(page)
