"""The engine in a page gives the codes of the engine on a desk, for the same seed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_engine import SHAPES

from sopilib import Engine, Model, load
from sopilib.engine.pack import folded, precision

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
MODELS = sorted(p.stem for p in (ROOT / "models").glob("*/*.safetensors"))
# Node 20 has relaxed SIMD as an experiment, and its first compiler (Liftoff) sums relaxed dot products wrongly
BUILDS = {"plain": [], "relaxed": ["--experimental-wasm-relaxed-simd", "--no-liftoff"]}
SEED = 2**64 - 3
OPTIONS = {"temperature": 0.9, "topK": 40, "topP": 0.98, "minP": 0.001}


@pytest.fixture(scope="module")
def built() -> Path:
    assert shutil.which("node"), "expected node: `sh .ci/setup long` brings it, and the compiler"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    assert int(version.strip("v\n").split(".")[0]) >= 20, (
        f"node is {version.strip()}, expected 20 or later: it has relaxed SIMD"
    )
    folder = ROOT / "build" / "wasm"
    command = ["make", "--no-print-directory", "-C", str(ROOT / "sopilib/native/wasm"), f"OUT={folder}"]
    subprocess.run([*command, f"PYTHON={sys.executable}"], check=True)
    return folder


def job(folder: Path, name: str, model: Model, asked: str, prime: list[int]) -> dict[str, Any]:
    config, arrays = folded(model)
    path = folder / f"{name}.safetensors"
    if not path.exists():
        metadata = {"config": json.dumps({**config.to_dict(), "q_zero": config.q_zero})}
        save_file(arrays, path, metadata)
    n = int(0.2 * model.config.sample_rate) if name in MODELS else 400
    pieces = [1, 7, n - 8]
    return {
        "file": str(path),
        "precision": asked,
        "seed": str(SEED),
        "pieces": pieces,
        "options": OPTIONS,
        "prime": prime,
    }


def play(built: Path, build: str, folder: Path, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """What Node plays."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    command = ["node", *BUILDS[build], str(ROOT / "tests/wasm_play.mjs"), str(built / f"{build}.wasm"), str(path)]
    out: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return out


def natively(model: Model, asked: str, prime: list[int], n: int) -> np.ndarray:
    """The desk's codes."""
    engine = Engine(model, precision=asked)
    engine.reset(SEED)
    if prime:
        engine.prime(np.array([prime], np.int32))
    return engine.generate(n, temperature=0.9, top_k=40, top_p=0.98, min_p=0.001)[0]


@pytest.mark.parametrize("build", BUILDS)
def test_a_page_plays_the_codes_of_a_desk(built: Path, build: str, tmp_path: Path) -> None:
    models = {name: load(name) for name in MODELS} | {
        name: Model.random(shape, seed=1) for name, shape in SHAPES.items() if not shape.features
    }
    cases, jobs = [], []
    for name, model in models.items():
        for asked in [precision(model.config, "auto")] if name in MODELS else ["int8", "int4"]:
            prime = [] if name in MODELS else [int(c) for c in np.arange(70) % model.config.q_levels]
            cases.append((name, model, asked, prime))
            jobs.append(job(tmp_path, name, model, asked, prime))
    out = play(built, build, tmp_path, jobs)
    assert out["relaxed"] == (build == "relaxed")
    for (name, model, asked, prime), given, made in zip(cases, jobs, out["played"], strict=True):
        want = natively(model, asked, prime, sum(given["pieces"]))
        assert made["codes"] == want.tolist(), (name, asked)
        assert len(set(made["codes"])) > 3, name
        assert np.isfinite(made["audio"]).all(), name


def test_a_page_says_why_a_model_can_not_be_played(built: Path, tmp_path: Path) -> None:
    jobs = [job(tmp_path, "small", Model.random(SHAPES["gru-3tiers"], seed=1), "int9", [])]
    with pytest.raises(subprocess.CalledProcessError) as failed:
        play(built, "plain", tmp_path, jobs)
    assert "precision is 'int9', expected f32, int8 or int4" in failed.value.stderr
