"""Many voices at once: the engine for GPUs, run here on the processor, draws what the readable one draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_engine import SHAPES, close, some_codes

from sopilib import Config, Engine, Model, SopiError, checkpoint, cli
from sopilib.engine.batch import BatchEngine, coins, fitting
from sopilib.engine.reference import coin
from sopilib.score import likelihood

VOICES = 3
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "filtered": {"top_k": [0, 5, 40], "top_p": [0.9, 1.0, 0.5], "min_p": [0.0, 0.1, 0.01]},
    "resting": {"rest": [1.5, 0.0, 2.0], "rest_level": [-20.0, -90.0, -3.0]},
}


def engines(model: Model, in_frames: bool, **options: Any) -> tuple[Engine, Engine]:
    """The readable engine, and the one for many voices."""
    batch = Engine(model, voices=VOICES, backend="batch", **{"precision": "f32", **options})
    batch.source.in_frames = in_frames
    return Engine(model, voices=VOICES, backend="torch"), batch


def test_random_numbers_are_those_of_the_streams_that_count() -> None:
    seed = np.array([0, 2**64 - 1, 2**63 + 12345], np.uint64)
    drawn = np.array([0, 10**12, 2**64 - 3], np.uint64)
    made = coins(seed, drawn, 5, torch.device("cpu")).numpy()
    for v in range(3):
        assert [coin(int(seed[v]), v, (int(drawn[v]) + k) % 2**64) for k in range(5)] == made[:, v].tolist()


@pytest.mark.parametrize("in_frames", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_it_draws_the_codes_of_the_readable_engine_for_any_split(way: str, in_frames: bool) -> None:
    config = Config(frame_sizes=[4, 16], dim=24, mlp_dim=16, emphasis=[0.9], level=0.5, q_type="mu-law-centred")
    model = Model.random(config, seed=2)
    readable, batch = engines(model, in_frames)
    temperature = np.linspace(0.6, 1.4, VOICES * 150, dtype=np.float32).reshape(VOICES, 150)
    past = some_codes(config, 21, VOICES)
    for engine in (readable, batch):
        engine.reset(2**64 - 5)
        engine.prime(past)
    want = readable.generate(150, temperature, **WAYS[way])
    split = np.cumsum([0, 1, 40, 3, 96, 10])
    got = [batch.generate(b - a, temperature[:, a:b], **WAYS[way]) for a, b in zip(split, split[1:])]
    np.testing.assert_array_equal(np.concatenate(got, 1), want)
    mine, theirs = batch.state(), readable.state()
    assert list(mine) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(mine[name], value, rtol=0, atol=1e-6, err_msg=name)
    batch.set_state(theirs)
    np.testing.assert_array_equal(batch.generate(30), readable.generate(30))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_readable_engine_for_every_shape_of_model(shape: str) -> None:
    model = Model.random(SHAPES[shape], seed=1)
    readable, batch = engines(model, True)
    codes = some_codes(model.config, 2 * model.config.lookback + 3, VOICES)
    close(batch.teacher_force(codes), readable.teacher_force(codes))
    n = 3 * model.config.lookback
    np.testing.assert_array_equal(batch.generate(n, 0.9), readable.generate(n, 0.9))


def test_it_draws_the_codes_of_the_native_engine() -> None:
    model = Model.random(Config(frame_sizes=[4, 16], dim=24), seed=4)
    _, batch = engines(model, True)
    native = Engine(model, voices=VOICES, precision="f32")
    for engine in (batch, native):
        engine.reset(7)
    np.testing.assert_array_equal(batch.generate(400, 0.9, rest=1.0), native.generate(400, 0.9, rest=1.0))


def test_a_clone_shares_the_weights_and_the_graphs_of_the_one_are_not_the_others() -> None:
    model = Model.random(Config(frame_sizes=[4, 16], dim=24), seed=4)
    _, batch = engines(model, True)
    first = batch.generate(64)
    twin = batch.clone(1)
    assert twin.source.w is batch.source.w
    np.testing.assert_array_equal(twin.generate(64), first[:1])
    batch.reset()
    np.testing.assert_array_equal(batch.generate(64), first)


def test_in_half_precision_the_model_stays_the_same() -> None:
    model = Model.random(Config(frame_sizes=[4, 16], dim=32, num_rnn_layers=2, skip_conn=True), seed=4)
    _, half = engines(model, True, precision="auto")
    assert half.precision == "f16" and "f16" in repr(half)
    assert half.source.w["tier0.rnn0.recurrent"].dtype == torch.float16
    codes = some_codes(model.config, 64, VOICES)
    native = Engine(model, voices=VOICES, precision="f32")
    exact, rough = native.teacher_force(codes), half.teacher_force(codes)
    assert 0 < np.abs(rough - exact).max() < 0.01 * (exact.max() - exact.min())
    assert all(h.dtype == torch.float32 for h in half.source.rnn.values())
    made = half.generate(600)[0]
    bits = [likelihood(Engine(model, precision="f32"), x).bits for x in (made, native.generate(600)[0])]
    assert bits[0] == pytest.approx(bits[1], abs=0.15)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"backend": "batch", "device": "cuda:99"}, "device is 'cuda:99', which torch .* can't use here: there is cpu"),
        ({"backend": "batch", "device": "gpu"}, "device is 'gpu', which torch"),
        ({"backend": "batch", "precision": "int8"}, "expected with the batch backend one of auto, f32, f16"),
        ({"backend": "fast"}, "backend is 'fast', expected one of native, batch, torch"),
        ({"backend": "native", "precision": "f16"}, "expected with the native backend one of"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SopiError, match=said):
        Engine(Model.random(Config(frame_sizes=[4], dim=8)), **options)


def test_doctor_checks_a_device_and_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16, mlp_dim=16)), tmp_path / "m.safetensors")
    command = ["doctor", "--gpu", "cpu", "--model", str(tmp_path / "m.safetensors")]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert said.count("  ok ") == said.count("\n") == 8
    for words in (
        "random numbers are those of every engine: 32 of 32",
        "no code: 384 of 384",
        "f32 draws",
    ):
        assert words in said
    monkeypatch.setattr("sopilib.engine.batch.GAMMA", 1)  # a device that multiplies wrongly
    assert cli.main(command) == 1
    said = capsys.readouterr().out
    assert "WRONG    random numbers" in said and "WRONG    f32 draws" in said and "ok       f32 predicts" in said
    if not torch.cuda.is_available():
        assert cli.main(["doctor", "--gpu", "cuda"]) == 1
        assert "device is 'cuda', which torch" in capsys.readouterr().err


# ---------------------------------------------------------------- takes


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=16, mlp_dim=16, sample_rate=8000)), path)
    return path


def description(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "takes.json").read_text())
    return found


def test_takes_of_the_engine_for_gpus_are_those_of_the_processor_in_f32_for_any_batch(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sopilib.engine.batch.best_device", lambda: "cpu:0")
    line = ["generate", str(model_file), "--takes", "5", "--seconds", "0.1", "--no-page", "--precision", "f32"]
    for name, options in {"cpu": [], "gpu": ["--device", "gpu"], "two": ["--device", "gpu", "--voices", "2"]}.items():
        assert cli.main([*line, *options, "-o", str(tmp_path / name)]) == 0
    sounds = {k: [p.read_bytes() for p in sorted((tmp_path / k).glob("*.wav"))] for k in ("cpu", "gpu", "two")}
    assert len(sounds["cpu"]) == 5
    assert sounds["cpu"] == sounds["gpu"] == sounds["two"]
    assert description(tmp_path / "gpu")["engine"] == {"backend": "batch", "precision": "f32", "device": "cpu"}
    monkeypatch.undo()
    capsys.readouterr()
    again = ["generate", str(model_file), "--again", str(tmp_path / "gpu" / "takes.json"), "3", "--device", "cpu"]
    assert cli.main([*again, "-o", str(tmp_path / "3.wav")]) == 0
    assert (tmp_path / "3.wav").read_bytes() == sounds["cpu"][2]
    assert "they are not what was made with batch, f32, cpu" in capsys.readouterr().err


def test_without_a_gpu_the_takes_are_made_on_the_processor_and_that_is_said(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sopilib.engine.batch.best_device", lambda: "")
    line = ["generate", str(model_file), "--seconds", "0.1", "-o"]
    assert cli.main([*line, str(tmp_path / "a.wav"), "--device", "gpu"]) == 0
    assert "torch sees no GPU here, so the takes are made on the processor" in capsys.readouterr().err
    assert cli.main([*line, str(tmp_path / "b.wav"), "--device", "tpu"]) == 1
    told = capsys.readouterr().err
    assert "device is 'tpu'" in told and told.count("\n") == 1


def test_there_are_as_many_voices_as_the_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(Model.random(Config(frame_sizes=[4], dim=8)), backend="batch", precision="f32")
    assert fitting(engine.source, 20) == 20
    frame = BatchEngine._frame

    def small(self: BatchEngine, hot: torch.Tensor, *more: Any) -> torch.Tensor:
        if hot.shape[1] > 6:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return frame(self, hot, *more)

    monkeypatch.setattr(BatchEngine, "_frame", small)
    assert fitting(engine.source, 20) == 5
