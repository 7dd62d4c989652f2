"""How fast the shipped models play in a page, in times of real time: in a worker of Chromium, as the page has it, in
Node, and natively; how soon after a click the page sounds, its model in the browser's cache; and how often its sound
has a gap in a minute, as its audio thread counts.

    python tests/bench/web_play.py [MODEL...] [--seconds S] [--minute S]

Each build is measured: the one that a page chooses, and the plain one; always by one thread. The first model plays the
minute. Three minutes in all, on a machine that should have nothing else to do.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver.common.by import By

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import chromium, until  # noqa: E402

from sopilib import Engine, load  # noqa: E402
from sopilib.native import _native  # noqa: E402

MEASURE = """async (Engine, code, file, seconds) => {
  const engine = await Engine.make(await WebAssembly.compile(code), file), rate = engine.config.sample_rate;
  engine.host(48000, 128);
  engine.seed(0n);
  const play = (s) => { for (let i = 0; i < s * 48000; i += 128) engine.play(128, { temperature: 1 }); };
  play(0.5);
  const began = performance.now();
  play(seconds);
  return { rate, realTime: seconds / ((performance.now() - began) / 1000) };
}"""
WORKER = f"""import {{ Engine, hasRelaxed }} from '/sopilib/native/wasm/engine.mjs';
const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer()), measure = {MEASURE};
onmessage = async ({{ data: [build, model, seconds] }}) => {{
  const name = build ?? (hasRelaxed() ? 'relaxed' : 'plain');
  const code = await bytes(`/docs/play/${{name}}.wasm`);
  const file = await bytes(`/models/${{model}}/${{model}}.safetensors`);
  postMessage({{ name, ...(await measure(Engine, code, file, seconds)) }});
}};"""
NODE = f"""import {{ readFileSync }} from 'node:fs';
const [engine, build, model, seconds] = process.argv.slice(2), {{ Engine, hasRelaxed }} = await import(engine);
const name = build !== 'null' ? build : hasRelaxed() ? 'relaxed' : 'plain', measure = {MEASURE};
const bytes = (path) => new Uint8Array(readFileSync(path));
const file = bytes(`models/${{model}}/${{model}}.safetensors`);
const found = await measure(Engine, bytes(`docs/play/${{name}}.wasm`), file, Number(seconds));
console.log(JSON.stringify({{ name, ...found }}));"""
# Node 20 has relaxed SIMD as an experiment, and its first compiler sums relaxed dot products wrongly
NODE_FLAGS = ("--experimental-wasm-relaxed-simd", "--no-liftoff")


class Host(http.server.SimpleHTTPRequestHandler):
    """This checkout, and the worker that measures."""

    def do_GET(self) -> None:
        """Answers a page that is empty, the worker, or a file."""
        made = {"/empty.html": ("text/html", ""), "/bench.mjs": ("text/javascript", WORKER)}.get(self.path)
        if made is None:
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", made[0])
        super().end_headers()
        self.wfile.write(made[1].encode())
        return None

    def end_headers(self) -> None:
        """Ends the headers of a file, which stays in the browser's cache."""
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def browser_and_host() -> Iterator[tuple[Any, str]]:
    """A Chromium, and where this checkout is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=str(ROOT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        browser.set_script_timeout(600)
        yield browser, f"http://localhost:{server.server_port}"


def in_chromium(jobs: list[tuple[str | None, str]], seconds: float) -> Iterator[dict[str, Any]]:
    """What a worker in Chromium measures, job by job."""
    script = """const [job, done] = arguments, worker = new Worker('/bench.mjs', { type: 'module' });
        worker.onmessage = ({ data }) => { worker.terminate(); done(data); };
        worker.onerror = (event) => done({ fault: event.message });
        worker.postMessage(job);"""
    with browser_and_host() as (browser, host):
        browser.get(f"{host}/empty.html")
        for job in jobs:
            yield browser.execute_async_script(script, [*job, seconds])


WATCH = """const play = document.getElementById('play'), level = document.getElementById('level');
globalThis.first = { clicked: 0, sounded: 0 };
play.addEventListener('click', () => (first.clicked = performance.now()), true);
const look = setInterval(() => {
  if (level.value <= -60) return;
  first.sounded = performance.now();
  clearInterval(look);
}, 5)"""


def sound_of_the_page(model: str, minute: float, clicks: int = 5) -> None:
    """Prints how soon the page sounds and how often it has gaps, with the latency that it usually has."""
    with browser_and_host() as (browser, host):
        waited = []
        for _ in range(clicks + 1):
            browser.get(f"{host}/docs/play/?model={model}")
            browser.execute_script(WATCH)
            browser.find_element(By.ID, "play").click()  # while the model still loads
            until(browser, lambda: browser.execute_script("return first.sounded"), "it sounds")
            waited.append(browser.execute_script("return (first.sounded - first.clicked) / 1000"))
        shown = " ".join(f"{s:.2f}" for s in waited[1:])
        print(f"{model}: first sound {shown} s after the click, cached; {waited[0]:.2f} s when it was not", flush=True)
        count = re.compile(r"(\d+) gaps?$")
        said = functools.partial(lambda: count.search(browser.find_element(By.ID, "figures").text))
        before = int(until(browser, said, "it counts gaps")[1])
        time.sleep(minute)
        found = browser.find_element(By.ID, "figures").text
        gaps = int(until(browser, said, "it counts gaps")[1]) - before
        print(f"{model}: {gaps} gaps in {minute:.0f} s at 100 ms latency; the page said: {found}", flush=True)


def natively(model: str, seconds: float) -> float:
    """Times of real time on a desk that has AVX2, by one thread, without the resampler."""
    engine = Engine(load(ROOT / "models" / model / f"{model}.safetensors"), threads=1, instruction_set="avx2")
    rate = engine.config.sample_rate
    engine.generate(rate // 2)
    began = time.perf_counter()
    engine.generate(round(seconds * rate))
    return seconds / (time.perf_counter() - began)


def in_node(build: str | None, model: str, seconds: float) -> dict[str, Any]:
    """What Node measures."""
    command = ["node", *NODE_FLAGS, "--input-type=module", "-", str(ROOT / "sopilib/native/wasm/engine.mjs")]
    given = [build or "null", model, str(seconds)]
    done = subprocess.run([*command, *given], input=NODE, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Prints a line for each model, build and place."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("models", nargs="*", default=["tabla", "drums", "piano", "voice"], metavar="MODEL")
    reader.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of sound; default: 5")
    reader.add_argument(
        "--minute", type=float, default=60.0, metavar="S", help="in which gaps are counted; default: 60"
    )
    given = reader.parse_args()
    jobs = [(build, model) for model in given.models for build in (None, "plain")]
    for (_, model), found in zip(jobs, in_chromium(jobs, given.seconds), strict=True):
        print(f"{model}: Chromium, {found['name']}: {found['realTime']:.2f} x real time", flush=True)
    if shutil.which("node"):
        for build, model in jobs:
            found = in_node(build, model, given.seconds)
            print(f"{model}: Node, {found['name']}: {found['realTime']:.2f} x real time", flush=True)
    for model in given.models if _native.instruction_set("avx2") else []:
        print(f"{model}: native, avx2: {natively(model, given.seconds):.2f} x real time", flush=True)
    sound_of_the_page(given.models[0], given.minute)


if __name__ == "__main__":
    main()
