"""Training learns, leaves a model that plays, and survives being killed at any moment."""

from __future__ import annotations

import csv
import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from small_disk import no_file_above

import sopilib
from sopilib import Config, SopiError, cli
from sopilib.errors import SopiWarning
from sopilib.model.summary import summary
from sopilib.score import bits_per_sample
from sopilib.train import coding
from sopilib.train.dropout import Dropout
from sopilib.train.lanes import Lanes
from sopilib.train.loop import Run
from sopilib.train.network import SampleRNN
from sopilib.train.parallel import Group
from sopilib.train.prepare import Dataset, Preparation, prepare
from sopilib.train.settings import PRESETS, Settings, from_values

FIXTURES = Path(__file__).parent / "fixtures"
PRELOADED = ["sopilib.train.loop", "sopilib.cli", "matplotlib.pyplot"]
RATE = 8000
SMALL = [
    "--sample-rate", str(RATE), "--frame-sizes", "4", "16", "--seq-len", "64", "--dim", "16", "--mlp-dim", "16",
    "--emb-size", "8", "--batch", "4", "--excerpt", "0.05", "--validation", "0.5s", "--warm-up", "2", "--lr", "0.01",
    "--precision", "float32", "--log-every", "3", "--preview-every", "0", "--threads", "1",
]  # fmt: skip


def tone(hz: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * hz * t) * np.exp(-3 * (t % 0.25))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for i, hz in enumerate((220, 330)):
        soundfile.write(folder / f"tone{i}.wav", tone(hz), RATE)
    return folder


@pytest.fixture(scope="module")
def dataset(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare([sounds], tmp_path_factory.mktemp("data") / "set", Preparation(RATE, validation="0.5s"))


def train(*args: object) -> int:
    return cli.main(["train", *map(str, args)])


def curves(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as f:
        timings = ("seconds", "audio_seconds_per_second")
        return [{k: v for k, v in row.items() if k not in timings} for row in csv.DictReader(f)]


def same_model(a: Path, b: Path) -> None:
    ours, theirs = sopilib.load(a).weights, sopilib.load(b).weights
    for name, w in theirs.items():
        np.testing.assert_array_equal(ours[name], w)


# ------------------------------------------------------------------ what is learnt


def test_training_learns_leaves_a_model_that_plays_and_says_how(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "tones"
    preview = ["--preview-every", "40", "--preview-seconds", "0.3", "--keep", "2"]
    assert train(sounds, "-o", run, "--steps", 60, "--every", 20, *SMALL, *preview) == 0
    said = capsys.readouterr().out
    bits = [float(row["held_out_bits"]) for row in curves(run) if row["held_out_bits"]]
    assert bits[-1] < bits[0] < 8.5
    model = sopilib.load(run)
    held_out = Dataset(run / "dataset").segments["validation"][0]
    codes = coding.codes(Dataset(run / "dataset"), model.config, *held_out)
    about = model.about["training"]
    scored = bits_per_sample(sopilib.Engine(model, precision="f32"), codes)
    assert scored == pytest.approx(about["held_out_bits"], abs=1e-3)
    assert about["held_out_seconds"] == 0.5
    assert model.config.sample_rate == RATE
    assert "SOPI_MODELS" in said
    assert f"load {run.resolve()}/tones.safetensors" in said
    made, _ = soundfile.read(run / "previews" / "step0000040_t0.9.wav")
    assert len(made) == 0.3 * RATE
    assert [p.name for p in sorted((run / "checkpoints").iterdir())] == [f"step00000{k}.safetensors" for k in (40, 60)]
    for picture in ("curves.png", "previews/step0000040.png", "dataset/summary.png"):
        assert (run / picture).stat().st_size > 5000


@pytest.mark.parametrize("rnn", ["gru", "gru before", "lstm"])
@pytest.mark.parametrize("sample_relu", [[True, True, False], [False, True, True, False]])
@pytest.mark.parametrize("skip_style", ["", "output", "full"])
def test_the_fast_loss_and_its_gradients_are_those_of_the_plain_network(
    rnn: str, sample_relu: list[bool], skip_style: str
) -> None:
    config = Config(
        seq_len=32, frame_sizes=[4, 16], dim=12, mlp_dim=8, emb_size=8 * (rnn == "lstm"), q_levels=16,
        num_rnn_layers=2, rnn_type=rnn[:4].strip(), gru_reset_after=rnn != "gru before", sample_relu=sample_relu,
        skip_conn=bool(skip_style), skip_style=skip_style or "output", features=1,
    )  # fmt: skip
    network = SampleRNN(config, 1, weight_norm=rnn == "gru")
    codes = torch.randint(0, 16, (3, 48), generator=torch.Generator().manual_seed(0))
    counted = torch.arange(32) < torch.tensor([32, 20, 5])[:, None]
    features = torch.linspace(-1, 1, 96).reshape(3, 32, 1)

    def gradients(total: torch.Tensor, after: Any) -> list[torch.Tensor]:
        whole = total + sum((t**2).sum() for tier in after for t in tier)
        return [total, *torch.autograd.grad(whole, list(network.parameters()), allow_unused=False)]

    logits, after = network(codes, None, features)
    plain = F.cross_entropy(logits[counted], codes[:, 16:][counted], reduction="sum")
    wanted = gradients(plain, after)
    total, correct, after = network.loss(codes, None, features, counted)
    for got, want in zip(gradients(total, after), wanted):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    assert correct == (logits.argmax(2) == codes[:, 16:])[counted].sum()


@pytest.mark.parametrize("weight_norm", [False, True])
def test_the_layer_that_gives_the_logits_learns_as_8_bits_hold_it(weight_norm: bool) -> None:
    config = Config(frame_sizes=[4], dim=8, mlp_dim=12, q_levels=16)
    network = SampleRNN(config, 1, weight_norm=weight_norm, rounded=True)
    network.loss(torch.randint(0, 16, (1, 24)))[0].backward()
    assert network.weights["sample/layer1/weight"].grad.abs().max() > 0
    weight = network.to_model().weights["sample.layer1.weight"]
    steps = weight / (np.abs(weight).max(axis=1, keepdims=True) / 127)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)


def test_weight_norm_and_a_fixed_start_are_part_of_the_model_that_comes_out() -> None:
    config = Config(frame_sizes=[4], dim=8, q_levels=16, rnn_type="lstm", emb_size=4)
    network = SampleRNN(config, 1, weight_norm=True, learn_initial=False, forget_bias=3.0)
    codes = torch.randint(0, 16, (1, 24))
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network.loss(codes)[0].backward()
    optimiser.step()
    model = network.to_model()
    engine = sopilib.Engine(model, precision="f32")
    np.testing.assert_allclose(
        engine.teacher_force(codes.numpy()), network(codes)[0].detach().numpy(), rtol=1e-3, atol=1e-3
    )
    assert not model.weights["tier0.rnn0.initial"].any()
    assert SampleRNN(config, 1, forget_bias=3.0).to_model().weights["tier0.rnn0.bias"][8:16].tolist() == [3.0] * 8


@pytest.mark.parametrize("options", [["--q-type", "a-law"], ["--optimiser", "sgd", "--clip-by", "value"],
    ["--optimiser", "rmsprop", "--schedule", "linear"], ["--optimiser", "adamw", "--weight-decay", "0.1"],
    ["--weight-norm", "--emb-size", "0", "--no-learn-initial"], ["--precision", "bfloat16"],
    ["--frame-sizes", "4", "16", "64", "--rnn-type", "lstm", "--skip-conn", "--q-levels", "64"]])  # fmt: skip
def test_every_way_to_train_learns(dataset: Dataset, tmp_path: Path, options: list[str]) -> None:
    run = tmp_path / "run"
    small = [o for o in SMALL if o not in ("--validation", "0.5s")]
    assert train(dataset.folder, "-o", run, "--steps", 12, "--every", 4, *small, *options) == 0
    bits = [float(r["train_bits"]) for r in curves(run)]
    assert bits[-1] < bits[0]


@pytest.mark.parametrize(
    "wrong", [{"frame_sizes": 32}, {"emphasis_hz": "high"}, {"emphasis_hz": 414, "sample_rate": "x"}]
)
def test_a_file_of_options_with_a_value_of_the_wrong_kind_is_one_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(SopiError, match=next(iter(wrong))):
        from_values(wrong)


def test_every_preset_is_a_model_and_a_way_to_train() -> None:
    for name, (_, values) in PRESETS.items():
        config, settings = from_values(values)
        assert config.seq_len % config.lookback == 0, name
        assert settings.lr in (1e-3, 2e-3, 4e-3)
    course, how = from_values({"rnn_type": "LSTM", "frame_sizes": [16, 64], "rnn_dropout": 0.1, "batch_size": 8})
    assert (course.rnn_type, how.rnn_dropout, how.batch) == ("lstm", 0.1, 8)


@pytest.mark.parametrize(
    "checkpoint, system",
    [
        ("prism/gru_mulaw", "PRiSM"),
        ("prism/lstm_linear_skip", "PRiSM"),
        ("theano/2t_dada_lstm_wn_skip_emb_n2_h0F/params_e0_i10_t0.01_tr5.0000_v5.0000_best_protocol2.pkl", "Theano"),
        ("theano/3t_gru_wn_n2_h0T/params_e0_i10_t0.01_tr5.0000_v5.0000_best_protocol2.pkl", "Theano"),
        ("deepsound/best-ep2-it32", "deepsound"),
        ("a2aaron/fx_epoch_0_iter_100_model.pt", "a2aaron"),
    ],
)
def test_training_goes_on_with_an_older_systems_model(
    checkpoint: str, system: str, tmp_path: Path, sounds: Path
) -> None:
    old = FIXTURES / checkpoint
    with warnings.catch_warnings():  # of what their files don't say
        warnings.simplefilter("ignore", SopiWarning)
        before = sopilib.load(old)
        options = ["--steps", 60, "--every", 60, "--batch", 4, "--validation", "0.5s", "--preview-every", 0]
        assert train(sounds, "-o", tmp_path / "run", "--from", old, *options, "--lr", 0.01, "--warm-up", 5) == 0
        assert train(sounds, "-o", tmp_path / "other", "--from", old, "--dim", before.config.dim + 1, *options) == 1
    after = sopilib.load(tmp_path / "run")
    assert after.about["from"]["name"] == before.name
    assert after.about["from"]["about"]["import"]["from"] == system
    shape = {**before.config.to_dict(), "seq_len": 0, "emb_size": 0}
    assert {**after.config.to_dict(), "seq_len": 0, "emb_size": 0} == shape
    codes = before.encode(np.array(Dataset(tmp_path / "run" / "dataset").audio[: before.config.sample_rate]))
    assert bits_per_sample(sopilib.Engine(after), codes) < bits_per_sample(sopilib.Engine(before), codes) - 0.3


# ------------------------------------------------------------------ stopping and going on


def in_another_process(*args: object) -> Any:
    """`sopi train ARGS` in a process of its own, begun; torch is there already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=train, args=args)
    process.start()
    return process


def test_a_killed_training_goes_on_as_if_nothing_had_happened(sounds: Path, tmp_path: Path) -> None:
    options = ["--steps", 30, "--every", 3, "--rnn-dropout", 0.2, *SMALL]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert train(sounds, "-o", straight, *options) == 0
    rng = np.random.default_rng()
    deaths = 0
    for _ in range(6):
        process = in_another_process(sounds, "-o", killed, *options)
        process.join(float(rng.uniform(0.3, 1.5)))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            deaths += 1
        process.join()
        if process.exitcode == 0:
            break
    assert train(sounds, "-o", killed, *options) == 0
    assert deaths
    assert curves(killed) == curves(straight)
    same_model(killed, straight)
    assert not list(killed.rglob("*.part"))


def test_ctrl_c_saves_and_the_run_alone_is_enough_to_go_on(sounds: Path, tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    options = ["--steps", 90, "--every", 30, *SMALL]
    train(sounds, "-o", straight, *options)
    process = in_another_process(sounds, "-o", stopped, *options)
    while len(curves(stopped) if (stopped / "log.csv").exists() else []) < 2:
        time.sleep(0.002)
        assert process.is_alive()
    os.kill(process.pid, signal.SIGINT)
    process.join()
    at = torch.load(stopped / "state.pt", weights_only=True)["step"]
    assert 0 < at < 90
    assert train("-o", stopped) == 0
    assert curves(stopped) == curves(straight)
    same_model(stopped, straight)


def test_two_processes_train_as_one_with_the_joint_batch(sounds: Path, tmp_path: Path) -> None:
    options = [str(o) for o in ("--steps", 12, "--every", 4, "--rnn-dropout", 0.2, *SMALL)]
    assert train(sounds, "-o", tmp_path / "one", *options) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, "-m", "sopilib.cli", "train", sounds, "-o", tmp_path / "two", *options], check=True)
    for one, two in zip(curves(tmp_path / "one"), curves(tmp_path / "two"), strict=True):
        assert float(two["train_bits"]) == pytest.approx(float(one["train_bits"]), abs=1e-5)
        if one["held_out_bits"]:
            assert float(two["held_out_bits"]) == pytest.approx(float(one["held_out_bits"]), abs=1e-5)


def _train_leave_and_count(rank: int, port: int, told: Any) -> None:
    """Tells how many threads of gloo one of two processes has before it leaves the other, and after."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    group = Group.join("cpu")
    module = group.wrap(torch.nn.Linear(2, 2), "cpu")
    module(torch.ones(1, 2)).sum().backward()
    assert group.gather(rank) == [0, 1]
    assert group.sum(torch.ones(1)).tolist() == [2]

    def threads() -> int:
        return sum("gloo_runloop" in path.read_text() for path in Path("/proc/self/task").glob("*/comm"))

    before = threads()
    group.leave()
    told.put((before, threads()))


def test_two_processes_part_before_python_ends_so_that_none_aborts() -> None:
    # a thread that is late in letting go of a tensor which belongs to Python aborts a Python that is ending (SIGABRT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    told = context.Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [context.Process(target=_train_leave_and_count, args=(rank, port, told)) for rank in range(2)]
    for process in both:
        process.start()
    for _ in both:
        before, after = told.get(timeout=120)
        assert 0 < after < before  # DDP's group stays, which holds nothing of Python's
    for process in both:
        process.join()
        assert process.exitcode == 0


def test_dropout_depends_on_step_and_lane_not_on_who_computes_it() -> None:
    x = torch.ones(50, 6, 37)
    whole = Dropout(0.3, seed=1, step=5, first_lane=0)(1, 0, x)
    half = Dropout(0.3, seed=1, step=5, first_lane=3)(1, 0, x[:, 3:])
    assert torch.equal(whole[:, 3:], half)
    assert float((whole == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(whole.mean()) == pytest.approx(1, abs=0.03)
    for other in (Dropout(0.3, 1, 6, 0)(1, 0, x), Dropout(0.3, 2, 5, 0)(1, 0, x), Dropout(0.3, 1, 5, 0)(0, 0, x)):
        assert float((other == whole).float().mean()) == pytest.approx(0.3**2 + 0.7**2, abs=0.03)


def test_a_run_whose_state_was_cut_short_says_how_to_go_on(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(sounds, "-o", tmp_path / "run", "--steps", 4, "--every", 2, *SMALL)
    state = tmp_path / "run" / "state.pt"
    for content in (state.read_bytes()[:1000], b"", b"no state" * 1000):
        state.write_bytes(content)
        capsys.readouterr()
        assert train("-o", tmp_path / "run", "--steps", 6) == 1
        said = capsys.readouterr().err
        assert "cut short or damaged" in said
        assert "--from" in said
        assert said.count("\n") == 1


def test_a_full_disk_is_one_sentence_and_loses_nothing(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight, full = tmp_path / "straight", tmp_path / "full"
    train(sounds, "-o", straight, "--steps", 20, "--every", 10, *SMALL)
    train(sounds, "-o", full, "--steps", 10, "--every", 10, "--schedule", "cosine", *SMALL)
    capsys.readouterr()
    with no_file_above(3 * (full / "state.pt").stat().st_size // 4):
        assert train("-o", full, "--steps", 20) == 1
    said = capsys.readouterr().err
    assert "File too large" in said
    assert "the last checkpoint is whole" in said
    assert said.count("\n") == 1
    assert torch.load(full / "state.pt", weights_only=True)["step"] == 10
    assert train("-o", full, "--steps", 20) == 0
    assert curves(full)[-1]["step"] == "20"


def test_an_exploding_loss_steps_back_and_says_so(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [o for o in SMALL if o not in ("--validation", "0.5s")]
    options = ["--lr", "3e4", "--warm-up", 0, "--clip", "1e9", "--optimiser", "sgd", "--steps", 20, "--every", 4]
    code = train(dataset.folder, "-o", tmp_path / "run", *small, *options)
    said = capsys.readouterr()
    assert "goes back to step 0, with other data and 0.5 times the learning rate" in said.out
    assert code == 1
    assert "start anew with a lower --lr" in said.err


def test_settings_may_change_while_it_runs(dataset: Dataset, tmp_path: Path) -> None:
    config, settings = from_values(
        {"sample_rate": RATE, "frame_sizes": [4, 16], "seq_len": 64, "dim": 16, "steps": 9, "every": 3, "batch": 2}
        | {"preview_every": 0, "log_every": 1, "schedule": "constant", "warm_up": 0, "precision": "float32"}
    )
    run = Run(tmp_path / "run", dataset, config, settings, loud=False)

    def write(text: str) -> None:
        (tmp_path / "run" / "live.json").write_text(text)
        os.utime(tmp_path / "run" / "live.json", ns=(0, time.time_ns()))

    step = run.train_step

    def steps_and_edits() -> bool:
        if run.step == 2:
            write('{"lr": 0.02, "every": 2}')
        if run.step == 5:
            write('{"lr": "high"')
        if run.step == 7:
            write('{"seed": 3}')
        return step()

    run.train_step = steps_and_edits  # type: ignore[method-assign]
    assert run.train() == "done"
    rates = [float(r["learning_rate"]) for r in curves(tmp_path / "run")]
    assert rates[:3] == [settings.lr] * 3
    assert rates[3:] == [0.02] * 6
    assert [r["step"] for r in curves(tmp_path / "run") if r["held_out_bits"]] == ["3", "4", "6", "8", "9"]
    again = Run(tmp_path / "run", dataset, config, settings, loud=False)
    assert again.settings.lr == 0.02


def test_training_stops_early_when_nothing_gets_better(dataset: Dataset, tmp_path: Path) -> None:
    small = [o for o in SMALL if o not in ("--validation", "0.5s")]
    run = tmp_path / "run"
    train(dataset.folder, "-o", run, *small, "--lr", "1e-30", "--steps", 40, "--every", 2, "--patience", 3)
    assert int(curves(run)[-1]["step"]) == 8


def test_a_run_goes_on_only_as_it_began(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [o for o in SMALL if o not in ("--validation", "0.5s")]
    train(dataset.folder, "-o", tmp_path / "run", *small, "--steps", 2)
    for option, words in ((("--dim", 8), "dim 16, not 8"), (("--rnn-dropout", 0.5), "rnn_dropout 0.0, not 0.5")):
        capsys.readouterr()
        assert train("-o", tmp_path / "run", *option) == 1
        assert words in capsys.readouterr().err
    assert train("-o", tmp_path / "run", "--steps", 4) == 0
    assert curves(tmp_path / "run")[-1]["step"] == "4"


FIRST_CONFIG = {
    *("seq_len", "frame_sizes", "dim", "rnn_type", "num_rnn_layers", "q_type", "q_levels", "q_scale", "q_offset"),
    *("emb_size", "skip_conn", "sample_rate", "mlp_dim", "skip_style", "gru_reset_after", "input_layer", "features"),
    *("frame_input", "frame_scale", "frame_offset", "sample_relu", "log_softmax"),
}
FIRST_SETTINGS = {
    *("steps", "batch", "excerpt", "optimiser", "lr", "schedule", "warm_up", "weight_decay", "clip", "clip_by"),
    *("precision", "weight_norm", "learn_initial", "forget_bias", "rnn_dropout", "seed", "device", "threads"),
    *("compile", "every", "log_every", "keep", "monitor", "patience", "preview_every", "previews", "preview_seconds"),
    *("preview_temperatures",),
}
"""What the first version's runs know of their config and settings."""


def test_a_run_that_the_first_version_began_goes_on_as_if_nothing_had_happened(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"sample_rate": RATE, "frame_sizes": [4], "seq_len": 64, "dim": 8, "mlp_dim": 8, "emb_size": 4}
    how = {"batch": 2, "excerpt": 0.05, "every": 4, "preview_every": 0, "threads": 1, "precision": "float32"}
    config, settings = from_values({**values, **how, "device": "cpu", "steps": 8, "schedule": "constant"})
    straight = Run(tmp_path / "straight", dataset, config, settings, loud=False)
    for _ in range(4):
        straight.train_step()
    learner = straight.learner

    old = tmp_path / "old"
    old.mkdir()
    began = {
        "config": {k: v for k, v in config.to_dict().items() if k in FIRST_CONFIG},
        "settings": {k: v for k, v in dataclasses.asdict(settings).items() if k in FIRST_SETTINGS},
    }
    assert len(began["config"]) == len(FIRST_CONFIG) and len(began["settings"]) == len(FIRST_SETTINGS)
    (old / "run.json").write_text(json.dumps({**began, "dataset": str(dataset.folder), "start": None, "from": None}))
    (old / "live.json").write_text(json.dumps({"every": 4, "keep": 3, "patience": 0, "lr": settings.lr}))
    columns = "step,seconds,train_bits,train_accuracy,held_out_bits,held_out_accuracy,learning_rate,gradient"
    (old / "log.csv").write_text(columns + ",audio_seconds_per_second\n4,1,7.5,0.1,1.25,0.2,0.001,1,9\n5,1,7")
    whole: dict[str, Any] = {
        **began,
        "weights": learner.network.state_dict(),
        "optimiser": learner.optimiser.state_dict(),
        "scaler": {},
        "lanes": {n: getattr(learner.lanes, n).tolist() for n in ("segment", "at", "left", "jumps")} | {"attempt": 0},
        "rnn": learner.rnn,
        "meter": {"nats": 0.0, "correct": 0.0, "samples": 0.0, "seconds": 0.0},
        "step": 4,
        "seconds": 1.0,
        "best": (1.25, 4, 0),
        "setbacks": (0, 1.0),
    }
    torch.save(whole, old / "state.pt")
    layer = "weights.tier0/rnn0/"
    assert {layer + part for part in ("input", "recurrent", "bias", "candidate", "initial")} <= set(whole["weights"])

    capsys.readouterr()
    assert train("-o", old) == 0
    said = capsys.readouterr().out
    assert "goes on from step 4" in said
    assert "done at step 8, best at step 4: held_out_bits 1.250" in said
    assert "density bits)" in said
    log = curves(old)
    assert [row["step"] for row in log] == ["4", "8"], "what the old log says is kept, but for the line cut short"
    assert log[0]["held_out_density_bits"] == "" and float(log[1]["held_out_density_bits"]) < 8
    straight.train()
    same_model(
        old / "checkpoints" / "step0000008.safetensors",
        tmp_path / "straight" / "checkpoints" / "step0000008.safetensors",
    )
    assert [row["step"] for row in curves(old)] == ["4", "8"]


def test_a_run_with_a_model_that_hears_no_features_goes_on_though_the_sound_has_some(
    sounds: Path, tmp_path: Path
) -> None:
    model = tmp_path / "plain.safetensors"
    sopilib.checkpoint.save(sopilib.Model.random(Config(sample_rate=RATE, frame_sizes=[4], dim=8)), model)
    options = ["--validation", "0.5s", "--features", "loudness", "--batch", 2, "--preview-every", 0]
    assert train(sounds, "-o", tmp_path / "run", "--from", model, "--steps", 2, *options) == 0
    assert train("-o", tmp_path / "run", "--steps", 3) == 0
    assert sopilib.load(tmp_path / "run").config.features == 0


def test_a_run_whose_beginning_cannot_be_read_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("{", "[]", '{"config": {}}'):
        (tmp_path / "run.json").write_text(text)
        assert train("-o", tmp_path) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"sopi train: {tmp_path}/run.json: not what `sopi train` wrote")
        assert said.count("\n") == 1


def test_nothing_of_the_users_is_overwritten_by_training_or_tuning(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("log.csv", "notes.txt", "trials.csv", "live.json"):
        (mine / name).write_bytes(b"\xff my own")
        for command in ("train", "tune"):
            assert cli.main([command, str(sounds), "-o", str(mine)]) == 1
            said = capsys.readouterr().err
            assert said.startswith(f"sopi {command}: {mine}: there ")
            assert said.count("\n") == 1
        assert [p.name for p in mine.iterdir()] == [name]
        assert (mine / name).read_bytes() == b"\xff my own"
        (mine / name).unlink()
    options = ["--steps", 2, *SMALL]
    (mine / "dataset.part").mkdir()  # of a run that was killed before it had begun
    assert train(sounds, "-o", mine, *options) == 0


# ------------------------------------------------------------------ lanes


def test_lanes_read_on_where_they_were_and_never_leave_their_sound(dataset: Dataset) -> None:
    config = Config(sample_rate=RATE, frame_sizes=[4, 16], seq_len=64, dim=8)
    lanes, halves = (
        Lanes(dataset, config, 4, 400, 7),
        [Lanes(dataset, config, 4, 400, 7, slice(k, k + 2)) for k in (0, 2)],
    )
    before = None
    for _ in range(40):
        chunk, parts = lanes.next(), [h.next() for h in halves]
        np.testing.assert_array_equal(np.concatenate([p.codes for p in parts]), chunk.codes)
        if before is not None:
            goes_on = ~chunk.jumped
            np.testing.assert_array_equal(before[goes_on, -16:], chunk.codes[goes_on, :16])
        before = chunk.codes
        for segment, at in zip(lanes.segment, lanes.at):
            assert at <= dataset.segments["train"][segment][1]


def test_short_sounds_are_trained_on_without_padding(tmp_path: Path) -> None:
    for k in range(8):
        soundfile.write(tmp_path / f"hit{k}.wav", 0.3 * np.sin(np.arange(40 + k)), RATE)
    dataset = prepare([tmp_path], tmp_path / "set", Preparation(RATE, split="file", longest_silence=0))
    config = Config(sample_rate=RATE, frame_sizes=[4, 16], seq_len=64, dim=8)
    chunk = Lanes(dataset, config, 16, 400, 0).next()
    assert set(chunk.counted.sum(1)) <= set(range(40, 48))
    assert (chunk.codes[:, :16] == config.q_zero).all()


def test_wrong_options_are_one_sentence(tmp_path: Path) -> None:
    for values, words in (
        ({"lr": -1.0}, "lr is -1.0"),
        ({"optimiser": "magic"}, "expected one of adam"),
        ({"batch": 0}, "batch is 0"),
        ({"dim": 8, "colour": 1}, "unknown field 'colour'"),
        ({"seq_len": 100}, "multiple of the largest frame"),
        ({"rnn_dropout": 1.0}, "less than 1"),
        ({"steps": "many"}, "steps is 'many'"),
    ):
        with pytest.raises(SopiError, match=words):
            from_values(values)
    with pytest.raises(SopiError, match="needs a GPU"):
        Run(tmp_path / "x", None, Config(), Settings(precision="float16", device="cpu"))  # type: ignore[arg-type]
    assert json.loads(json.dumps(PRESETS["live"][1]))


def test_a_finished_run_is_published_and_replaces_nothing_of_the_users(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "models" / "mine"
    assert train(sounds, "-o", run, "--steps", 4, "--every", 4, *SMALL) == 0
    words = ["--licence", "CC0", "--about", "Two sounds.", "--retrain", "sopi train"]
    publish = ["publish", str(run), "-o", str(out), *words]
    out.mkdir(parents=True)
    (out / "README.md").write_text("my own notes")
    for more in ([], ["--overwrite"]):
        assert cli.main([*publish, *more]) == 1
        assert "README.md: there is something of that name that is no model's card" in capsys.readouterr().err
        assert [path.name for path in out.iterdir()] == ["README.md"]
    assert (out / "README.md").read_text() == "my own notes"
    (out / "README.md").unlink()

    assert cli.main(publish) == 0
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "mine.flac", "mine.png", "mine.safetensors"]
    card = (out / "README.md").read_text()
    assert card.startswith("# mine\n\nTwo sounds.") and "| temperature 1.0 |" in card
    said = summary(sopilib.load(out))
    for what in ("coding", "training", "held out"):
        assert f"\n- *{what}*: {said[what]}\n" in card, "the words of sopi info"
    assert "bits per sample" in said["held out"] and "density bits" in said["held out"]
    for title in ("level", "DC offset", "tones", "onsets a second", "noise floor, 62-125 Hz"):
        assert f"\n| {title}" in card, "the words of sopi score"
    assert sopilib.load(out).about["licence"] == "CC0"
    assert cli.main(publish) == 1
    assert "--overwrite to replace it" in capsys.readouterr().err
    assert cli.main([*publish, "--overwrite", "--temperature", "0.85", "--rest", "1", "--min-p", "0.01"]) == 0
    assert sopilib.load(out).play == {"temperature": 0.85, "rest": 1.0, "min-p": 0.01}
    assert "the first 30 seconds of seed 1 at temperature 0.85" in (out / "README.md").read_text()
    capsys.readouterr()
    assert cli.main([*publish, "--overwrite", "--temperature", "9"]) == 1
    assert "temperature is 9, expected 0.01 to 5" in capsys.readouterr().err
