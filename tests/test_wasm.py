"""The engine in a page gives the codes of the engine on a desk, for the same seed."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_engine import SHAPES

from sopilib import Config, Engine, Model, load
from sopilib.checkpoint import save
from sopilib.engine.pack import folded, precision
from sopilib.model.quantise import QUANTISERS

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
WASM = ROOT / "sopilib" / "native" / "wasm"
MODELS = sorted((ROOT / "models").glob("*/*.safetensors"))
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
    command = ["make", "--no-print-directory", "-C", str(WASM), f"OUT={folder}"]
    subprocess.run([*command, f"PYTHON={sys.executable}"], check=True)
    return folder


def job(model: str | Path, asked: str = "auto", prime: Sequence[int] = (), n: int = 400) -> dict[str, Any]:
    return {
        "file": str(model),
        "precision": asked,
        "seed": str(SEED),
        "pieces": [1, 7, n - 8] if n > 8 else [n],
        "options": OPTIONS,
        "prime": list(prime),
    }


def play(built: Path, build: str, folder: Path, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """What Node plays."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    command = ["node", *BUILDS[build], str(ROOT / "tests/wasm_play.mjs"), str(built / f"{build}.wasm"), str(path)]
    out: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return out


def natively(model: Model, asked: str, prime: Sequence[int], n: int) -> np.ndarray:
    """The desk's codes."""
    engine = Engine(model, precision=asked)
    engine.reset(SEED)
    if len(prime):
        engine.prime(np.array([prime], np.int32))
    return engine.generate(n, temperature=0.9, top_k=40, top_p=0.98, min_p=0.001)[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of many shapes, as files of each kind of weights."""
    folder = tmp_path_factory.mktemp("models")
    out = {}
    for (name, shape), kind in zip(SHAPES.items(), itertools.cycle(["float32", "float16", "int8"])):
        if not shape.features:
            out[name] = folder / f"{name}.safetensors"
            save(Model.random(shape, seed=1), out[name], kind)
    return out


@pytest.mark.parametrize("build", BUILDS)
def test_a_page_plays_the_codes_of_a_desk(built: Path, build: str, files: dict[str, Path], tmp_path: Path) -> None:
    cases: list[tuple[Path, str, Sequence[int], int]] = [(path, "auto", (), 3200) for path in MODELS]
    past = [int(c) for c in np.arange(70) % 60]
    cases += [(path, asked, past, 400) for path in files.values() for asked in ("int8", "int4")]
    out = play(built, build, tmp_path, [job(*case) for case in cases])
    assert out["relaxed"] == (build == "relaxed")
    for (path, asked, prime, n), made in zip(cases, out["played"], strict=True):
        model = load(path)
        want = natively(model, asked, prime, n)
        assert made.get("codes") == want.tolist(), (path.stem, asked, made.get("fault"))
        assert asked != "auto" or made["precision"] == precision(model.config, "auto")
        np.testing.assert_allclose(made["audio"], model.decode(want), atol=1e-6, err_msg=path.stem)
        heard = np.array(made["audio"], np.float32)
        assert np.mean(model.encode(heard) != made["encoded"]) < 0.001, path.stem


def test_a_page_folds_the_weights_as_a_desk_does(built: Path, files: dict[str, Path], tmp_path: Path) -> None:
    paths, jobs = [*MODELS, *files.values()], []
    for path in paths:
        (tmp_path / path.stem).mkdir()
        jobs.append({**job(path, n=1), "folder": str(tmp_path / path.stem)})
    played = play(built, "plain", tmp_path, jobs)["played"]
    assert [made["fault"] for made in played if "fault" in made] == []
    for path in paths:
        _, arrays = folded(load(path))
        assert {file.name for file in (tmp_path / path.stem).iterdir()} == set(arrays)
        for name, want in arrays.items():  # sums of float64, whose order may differ from one machine to another
            got = np.fromfile(tmp_path / path.stem / name, np.float32).reshape(want.shape)
            np.testing.assert_array_max_ulp(got, want, maxulp=1)


def test_a_page_knows_every_way_to_write_sound_as_codes(built: Path, tmp_path: Path) -> None:
    shape: dict[str, Any] = {"frame_sizes": [4], "dim": 16, "mlp_dim": 16}
    jobs, models = [], []
    for kind in QUANTISERS:
        more: dict[str, Any] = {"q_scale": -0.01, "q_offset": -100} if kind == "affine" else {}
        for levels in (256, 1000):
            model = Model.random(Config(**shape, q_type=kind, q_levels=levels, frame_input="audio", **more), seed=1)
            path = tmp_path / f"{kind}-{levels}.safetensors"
            save(model, path)
            (tmp_path / path.stem).mkdir()
            jobs.append({**job(path, n=2000), "folder": str(tmp_path / path.stem)})
            models.append(model)
    for model, given, made in zip(models, jobs, play(built, "plain", tmp_path, jobs)["played"], strict=True):
        assert "fault" not in made, made
        seen = np.fromfile(Path(given["folder"], "seen"), np.float32)
        np.testing.assert_array_max_ulp(seen, folded(model)[1]["seen"], maxulp=1)
        assert made["encoded"] == model.encode(np.array(made["audio"], np.float32)).tolist(), model


def test_a_page_in_f32_is_within_the_tolerance(built: Path, files: dict[str, Path], tmp_path: Path) -> None:
    past = [int(c) for c in np.arange(70) % 60]
    paths = [*MODELS, *files.values()]
    for build in BUILDS:
        out = play(built, build, tmp_path, [job(path, "f32", past, 1) for path in paths])
        for path, made in zip(paths, out["played"], strict=True):
            model = load(path)
            silence = [model.config.q_zero] * model.config.lookback
            want = Engine(model, precision="f32").teacher_force(np.array([[*silence, *past, 0]], np.int32))[0, -1]
            np.testing.assert_allclose(made["logits"], want, rtol=1e-4, atol=1e-4, err_msg=path.stem)


def test_relaxed_dot_products_that_are_wrong_are_not_used(built: Path, tmp_path: Path) -> None:
    """Node 20's first compiler sums them wrongly."""
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    script = "import('{}').then(({{ hasRelaxed }}) => console.log(hasRelaxed()))"
    command = ["node", "--experimental-wasm-relaxed-simd", "--liftoff-only", "-e", script.format(WASM / "engine.mjs")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert said == "false" or not version.startswith("v20.")


def test_a_page_says_why_a_file_can_not_be_played(built: Path, files: dict[str, Path], tmp_path: Path) -> None:
    whole = files["gru-3tiers"].read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:length])
    config = json.loads(header["__metadata__"]["config"])

    def written(**metadata: str) -> bytes:
        text = json.dumps({**header, "__metadata__": {**header["__metadata__"], **metadata}}).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + whole[length:]

    other = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3, np.float32)}, other)
    nan = bytearray(whole)
    nan[-4:] = np.float32("nan").tobytes()
    wrong = {
        b"": "cut short: it has 0 bytes",
        b"RIFF" + bytes(200): "cut short: it has 204 bytes",
        whole[:length]: "cut short",
        whole[:-1]: "cut short",
        whole[:8] + b"x" + whole[9:]: "its header is no JSON",
        other.read_bytes(): "no model of sopilib",
        bytes(nan): "not finite",
        written(version="2"): "its version is 2",
        written(config="[1"): "its config is no JSON",
        written(config=json.dumps({**config, "q_type": "octal"})): 'its q_type is "octal"',
        written(config=json.dumps({**config, "dim": 41})): "tier0.input.weight has shape [40,4], expected [41,4]",
        written(config=json.dumps({**config, "frame_sizes": [4, 17]})): "multiple",
        written(config=json.dumps({**config, "num_rnn_layers": 3})): "its weight tier0.rnn2.below is missing",
    }
    jobs = [job(files["gru-3tiers"], "int9")]
    for i, content in enumerate(wrong):
        path = tmp_path / f"{i}.safetensors"
        path.write_bytes(content)
        jobs.append(job(path))
    said = [made.get("fault", "it plays") for made in play(built, "plain", tmp_path, jobs)["played"]]
    assert "precision is 'int9', expected f32, int8 or int4" in said[0]
    assert [(want, found) for want, found in zip(wrong.values(), said[1:], strict=True) if want not in found] == []
