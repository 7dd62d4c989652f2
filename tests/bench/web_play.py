"""How fast the shipped models play in a page, in times of real time: in a worker of Chromium, as the page has it, and
in Node.

    python tests/bench/web_play.py [MODEL...] [--seconds S]

Each build is measured: the one that a page chooses, and the plain one. Run it when the machine has nothing else to do.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import chromium  # noqa: E402

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
        self.end_headers()
        self.wfile.write(made[1].encode())
        return None

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def in_chromium(jobs: list[tuple[str | None, str]], seconds: float) -> list[dict[str, Any]]:
    """What a worker in Chromium measures, job by job."""
    host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=str(ROOT)))
    threading.Thread(target=host.serve_forever, daemon=True).start()
    script = """const [job, done] = arguments, worker = new Worker('/bench.mjs', { type: 'module' });
        worker.onmessage = ({ data }) => { worker.terminate(); done(data); };
        worker.onerror = (event) => done({ fault: event.message });
        worker.postMessage(job);"""
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        browser.set_script_timeout(600)
        browser.get(f"http://localhost:{host.server_port}/empty.html")
        return [browser.execute_async_script(script, [*job, seconds]) for job in jobs]


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
    given = reader.parse_args()
    jobs = [(build, model) for model in given.models for build in (None, "plain")]
    for (_, model), found in zip(jobs, in_chromium(jobs, given.seconds), strict=True):
        print(f"{model}: Chromium, {found['name']}: {found['realTime']:.2f} x real time", flush=True)
    if shutil.which("node"):
        for build, model in jobs:
            found = in_node(build, model, given.seconds)
            print(f"{model}: Node, {found['name']}: {found['realTime']:.2f} x real time", flush=True)


if __name__ == "__main__":
    main()
