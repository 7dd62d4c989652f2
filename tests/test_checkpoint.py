"""A model file comes back as it was saved; anything else is one clear error and nothing is ever executed."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from small_disk import no_file_above

import sopilib
from sopilib import Config, Engine, Model, SopiError, checkpoint, library

MODEL = Model.random(Config(frame_sizes=[2, 8], dim=12, mlp_dim=10, sample_rate=22050), seed=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    checkpoint.save(MODEL, path)
    return path


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    model = Model(MODEL.config, MODEL.weights, {"licence": "CC0", "training": {"steps": 3}})
    checkpoint.save(model, tmp_path / "x.safetensors")
    back = sopilib.load(tmp_path / "x.safetensors")
    assert (back.config, back.about, back.name) == (model.config, model.about, "x")
    for name, w in model.weights.items():
        np.testing.assert_array_equal(back.weights[name], w)
    assert sopilib.load(tmp_path).config == model.config  # the folder with the one file in it


@pytest.mark.parametrize(("precision", "most"), [("float16", 2e-3), ("int8", 5e-2)])
def test_smaller_files_sound_alike(tmp_path: Path, precision: str, most: float) -> None:
    path = tmp_path / "small.safetensors"
    checkpoint.save(MODEL, path, precision)
    codes = np.random.default_rng(0).integers(0, 256, (1, 72))
    want = Engine(MODEL, precision="f32").teacher_force(codes)
    got = Engine(sopilib.load(path), precision="f32").teacher_force(codes)
    assert 0 < np.abs(got - want).max() < most * (want.max() - want.min())


def test_int8_file_is_what_the_int8_engine_plays(tmp_path: Path) -> None:
    checkpoint.save(MODEL, tmp_path / "a.safetensors", "int8")
    once = sopilib.load(tmp_path / "a.safetensors")
    checkpoint.save(once, tmp_path / "b.safetensors", "int8")
    twice = sopilib.load(tmp_path / "b.safetensors")
    for name in once.weights:
        np.testing.assert_allclose(twice.weights[name], once.weights[name], rtol=1e-6)


def test_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    checkpoint.save(MODEL, tmp_path / "mine" / "mine.safetensors")
    monkeypatch.setenv("SOPI_MODELS", str(tmp_path))
    assert library.available()["mine"] == tmp_path / "mine" / "mine.safetensors"
    assert sopilib.load("mine").config == MODEL.config
    with pytest.raises(SopiError, match="no model of that name.*mine"):
        sopilib.load("yours")


def test_foreign_and_broken_files_say_so(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    bad = tmp_path / "bad.safetensors"
    cases = {
        "only 0 bytes": b"",
        "cut short": whole[: len(whole) // 2],
        "not a safetensors file": pickle.dumps({"a": 1}) * 10,
    }
    riff = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(64)
    for words, content in [*cases.items(), ("not a safetensors file", riff)]:
        bad.write_bytes(content)
        with pytest.raises(SopiError, match=words):
            sopilib.load(bad)
    save_file({"w": np.zeros(3, np.float32)}, str(bad))
    with pytest.raises(SopiError, match="not a sopilib model"):
        sopilib.load(bad)
    save_file({"w": np.zeros(3, np.float32)}, str(bad), {"format": "sopilib", "version": "9"})
    with pytest.raises(SopiError, match="version 9"):
        sopilib.load(bad)
    for config in (
        "[]",
        "{",
        json.dumps({"dim": 1 << 40}),
        json.dumps({"dim": "wide"}),
        json.dumps({"frame_sizes": 3}),
        json.dumps({"sample_relu": [0] * 1_000_000}),
        "[" * 100_000,
    ):
        save_file({"w": np.zeros(3, np.float32)}, str(bad), {"format": "sopilib", "version": "1", "config": config})
        with pytest.raises(SopiError):
            sopilib.load(bad)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    weights = {name: w.copy() for name, w in MODEL.weights.items()}
    weights["sample.layer0.bias"][2] = np.nan
    checkpoint.save(Model(MODEL.config, weights), tmp_path / "nan.safetensors")
    with pytest.raises(SopiError, match=r"sample\.layer0\.bias .*not finite"):
        sopilib.load(tmp_path / "nan.safetensors")


def test_a_weight_of_another_shape_or_name_is_refused() -> None:
    weights = dict(MODEL.weights)
    weights["sample.layer0.bias"] = np.zeros(3, np.float32)
    with pytest.raises(SopiError, match=r"shape \(3,\), expected \(10,\)"):
        Model(MODEL.config, weights)
    del weights["sample.layer0.bias"]
    with pytest.raises(SopiError, match=r"'sample\.layer0\.bias' is missing"):
        Model(MODEL.config, weights)


def test_a_full_disk_loses_nothing(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(SopiError, match="could not be written"), no_file_above(1000):
        checkpoint.save(MODEL, file)
    assert file.read_bytes() == before


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_file_loads_or_is_a_clear_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "fuzz.safetensors"
    if not (tmp_path / "good").exists():
        checkpoint.save(MODEL, tmp_path / "good")
    content = bytearray((tmp_path / "good").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, 3000), st.integers(0, len(content) - 1)))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    path.write_bytes(bytes(content[:cut]))
    try:
        sopilib.load(path)
    except SopiError as e:
        assert "\n" not in str(e)


def test_a_model_that_another_program_writes_over_while_it_is_loaded_does_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    checkpoint.save(Model.random(Config(frame_sizes=[4], dim=256, q_levels=256)), path)
    loading = f"""
import sopilib
loaded = failed = 0
print("begins", flush=True)
while not loaded or not failed or loaded + failed < 300:
    try:
        sopilib.checkpoint.load({str(path)!r})
        loaded += 1
    except sopilib.SopiError as e:
        assert "\\n" not in str(e)
        failed += 1
"""
    whole = path.read_bytes()
    with subprocess.Popen([sys.executable, "-c", loading], stdout=subprocess.PIPE) as process, path.open("rb+") as file:
        assert process.stdout is not None
        process.stdout.readline()
        while process.poll() is None:  # as cp does it
            file.truncate(0)
            file.seek(0)
            for begin in range(0, len(whole), 1 << 17):
                file.write(whole[begin : begin + (1 << 17)])
                file.flush()
            time.sleep(0.01)
    assert process.returncode == 0
