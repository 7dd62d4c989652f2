"""The engine gives the reference's logits, and the same seed gives the same codes whatever else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from instruction_sets import SETS

from sopilib import Config, Engine, Model, SopiError
from sopilib.train.network import SampleRNN

SHAPES = {
    "gru-3tiers": Config(frame_sizes=[4, 16], dim=40, mlp_dim=24, num_rnn_layers=2),
    "gru-2tiers-output-skips": Config(frame_sizes=[8], dim=36, num_rnn_layers=2, skip_conn=True),
    "gru-3tiers-full-skips": Config(frame_sizes=[2, 8], dim=32, num_rnn_layers=3, skip_conn=True, skip_style="full"),
    "gru-reset-before": Config(frame_sizes=[4, 8], dim=32, gru_reset_after=False, num_rnn_layers=2),
    "gru-4tiers": Config(frame_sizes=[2, 4, 16], dim=48, mlp_dim=70, q_levels=100, q_type="linear"),
    "lstm-2tiers": Config(frame_sizes=[16], dim=33, rnn_type="lstm", num_rnn_layers=2),
    "lstm-3tiers-skips": Config(frame_sizes=[4, 16], dim=32, rnn_type="lstm", num_rnn_layers=2, skip_conn=True),
    "lstm-no-input-layer": Config(
        frame_sizes=[8], dim=32, rnn_type="lstm", num_rnn_layers=2, skip_conn=True, skip_style="full", input_layer=False
    ),
    "gru-3tiers-frame-into-upper-rnn": Config(
        frame_sizes=[4, 16],
        dim=12,
        gru_reset_after=False,
        num_rnn_layers=2,
        skip_conn=True,
        skip_style="full",
        input_layer=False,
    ),  # fmt: skip
    "affine-sample-level": Config(frame_sizes=[4], dim=32, mlp_dim=256, input_layer=False, sample_relu=[False]),
    "features": Config(frame_sizes=[4, 8], dim=32, features=3),
    "sample-level-all-linear": Config(frame_sizes=[1, 4], dim=32, mlp_dim=50, sample_relu=[False, False, False]),
    "frame-of-a-sample": Config(frame_sizes=[1, 2, 10], dim=20, mlp_dim=16, num_rnn_layers=2),
    "frames-of-audio": Config(frame_sizes=[4, 16], dim=32, mlp_dim=24, frame_input="audio"),
    "three-sample-layers": Config(frame_sizes=[4, 8], dim=32, sample_relu=[False, True, True, False]),
}


def some_codes(config: Config, n: int, voices: int = 1) -> np.ndarray:
    return np.random.default_rng(5).integers(0, config.q_levels, (voices, config.lookback + n))


def close(a: np.ndarray, b: np.ndarray) -> None:
    assert np.abs(a - b).max() < min(1e-4, 1e-5 * (b.max() - b.min()) + 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SETS)
def test_native_logits_are_the_references(shape: str, name: str) -> None:
    model = Model.random(SHAPES[shape], seed=1)
    codes = some_codes(model.config, 3 * model.config.lookback + 5, voices=2)
    want = Engine(model, voices=2, backend="torch").teacher_force(codes)
    got = Engine(model, voices=2, precision="f32", instruction_set=name).teacher_force(codes)
    close(got, want)


@pytest.mark.parametrize("shape", SHAPES)
def test_trained_module_gives_the_references_logits_and_becomes_a_model_and_back(shape: str) -> None:
    network = SampleRNN(SHAPES[shape], seed=3)
    model = network.to_model()
    codes = some_codes(model.config, 4 * model.config.lookback, voices=2)
    with torch.no_grad():
        whole, _ = network(torch.from_numpy(codes))
        half, state = network(torch.from_numpy(codes[:, : 3 * model.config.lookback]))
        rest, _ = network(torch.from_numpy(codes[:, 2 * model.config.lookback :]), state)
        again, _ = SampleRNN.from_model(model)(torch.from_numpy(codes))
    close(Engine(model, voices=2, backend="torch").teacher_force(codes), whole.numpy())
    close(torch.cat([half, rest], 1).numpy(), whole.numpy())
    close(again.numpy(), whole.numpy())


@pytest.mark.parametrize("frame_sizes", [[4], [4, 8]])
def test_features_are_heard_by_the_frame_that_predicts_their_samples(frame_sizes: list[int]) -> None:
    config = Config(frame_sizes=frame_sizes, dim=32, features=3, skip_conn=True, skip_style="full", num_rnn_layers=2)
    network = SampleRNN(config, seed=3)
    model = network.to_model()
    codes = some_codes(config, 24, voices=2)
    features = np.random.default_rng(6).standard_normal((2, 24, 3))
    native = Engine(model, voices=2, precision="f32")
    want = native.teacher_force(codes, features)
    close(Engine(model, voices=2, backend="torch").teacher_force(codes, features), want)
    with torch.no_grad():
        whole, _ = network(torch.from_numpy(codes), features=torch.tensor(features, dtype=torch.float32))
    close(whole.numpy(), want)

    def forced(features: object, n: int = 24) -> np.ndarray:
        native.reset()
        return native.teacher_force(codes[:, : config.lookback + n], features)

    of_all_codes = np.concatenate([np.full((2, config.lookback, 3), 9.0), features], 1)
    np.testing.assert_array_equal(forced(of_all_codes), want)
    np.testing.assert_array_equal(forced(features.reshape(2, 6, 4, 3).mean(2)), want)
    np.testing.assert_array_equal(forced(features[:, :12], 12), want[:, :12])
    np.testing.assert_array_equal(forced(None), forced(np.zeros((2, 24, 3))))
    engine = Engine(model, voices=2, precision="f32")
    held = [engine.generate(24, 1e-4, features=features[:, 0]), engine.generate(24, 1e-4, features=features[0, 1])]
    said = np.concatenate([np.full((2, config.lookback), config.q_zero), *held], 1)
    of_frames = np.concatenate([np.repeat(features[:, :1], 6, 1), np.broadcast_to(features[0, 1], (2, 6, 3))], 1)
    engine.reset()
    np.testing.assert_array_equal(engine.teacher_force(said, of_frames).argmax(-1), np.concatenate(held, 1))
    reference = Engine(model, voices=2, backend="torch")
    np.testing.assert_array_equal(reference.generate(24, 1e-4, features=features[:, 0]), held[0])
    later = features.copy()
    later[:, 8:] = 0
    changed = (forced(later) != want).any((0, 2))
    assert not changed[:8].any()
    assert changed[8:].all()


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_overlapping_sequences_carry_on(backend: str) -> None:
    model = Model.random(SHAPES["gru-3tiers"])
    back = model.config.lookback
    codes = some_codes(model.config, 6 * back)
    engine = Engine(model, backend=backend, precision="f32")
    whole = engine.teacher_force(codes)
    engine.reset()
    parts = [engine.teacher_force(codes[:, : 3 * back]), engine.teacher_force(codes[:, 2 * back :])]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)


@pytest.mark.parametrize("precision", ["f32", "int8", "int4"])
@pytest.mark.parametrize("shape", ["gru-3tiers", "lstm-3tiers-skips", "gru-reset-before"])
def test_same_seed_same_codes(shape: str, precision: str) -> None:
    model = Model.random(SHAPES[shape])

    def play(splits: list[int], voices: int = 1, **options: object) -> np.ndarray:
        engine = Engine(model, voices=voices, precision=precision, **options)  # type: ignore[arg-type]
        engine.reset(seed=7)
        return np.concatenate([engine.generate(n, 0.9) for n in splits], 1)

    want = play([200])
    np.testing.assert_array_equal(play([1, 2, 61, 0, 136]), want)
    np.testing.assert_array_equal(play([100, 100], threads=3), want)
    for voices in (2, 5, 9):
        np.testing.assert_array_equal(play([200], voices=voices)[0], want[0])
    together = play([200], voices=3)
    assert len({tuple(voice) for voice in together}) == 3
    engine = Engine(model, precision=precision)
    engine.reset(seed=8)
    assert (engine.generate(200, 0.9) != want).any()


def test_one_voice_does_not_hear_the_other() -> None:
    model = Model.random(SHAPES["gru-3tiers"])
    engine = Engine(model, voices=2)
    engine.reset(seed=3)
    alone = engine.generate(100)[1]
    engine.reset(seed=3)
    engine.prime(np.stack([np.zeros(32, int), np.full(32, model.config.q_zero)]))
    other = engine.generate(100)
    engine.reset(seed=3)
    engine.prime(np.full((2, 32), model.config.q_zero))
    np.testing.assert_array_equal(engine.generate(100)[1], other[1])
    assert alone.shape == other[1].shape


def test_threads_that_share_a_large_matrix_change_no_bit() -> None:
    model = Model.random(Config(frame_sizes=[4, 16], dim=320, mlp_dim=260))
    outs = []
    for threads in (1, 2, 3):
        engine = Engine(model, threads=threads, precision="int8")
        outs.append(engine.generate(64))
    np.testing.assert_array_equal(outs[0], outs[1])
    np.testing.assert_array_equal(outs[0], outs[2])


@pytest.mark.parametrize("precision", ["f32", "int8", "int4"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_instruction_set_gives_the_same_bits(shape: str, precision: str) -> None:
    model = Model.random(SHAPES[shape])
    codes = some_codes(model.config, 100, voices=5)
    logits, played = [], []
    for name in SETS:
        engine = Engine(model, voices=5, precision=precision, instruction_set=name)
        logits.append(engine.teacher_force(codes))
        played.append(engine.generate(100))
    for other in logits[1:]:
        np.testing.assert_array_equal(other, logits[0])
    for other in played[1:]:
        np.testing.assert_array_equal(other, played[0])


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_state_continues_bit_for_bit(backend: str) -> None:
    model = Model.random(SHAPES["lstm-3tiers-skips"])
    engine = Engine(model, voices=2, backend=backend)
    engine.reset(seed=5)
    engine.generate(37)
    saved = engine.state()
    want = engine.generate(50)
    engine.reset(seed=1)
    engine.generate(11)
    engine.set_state(saved)
    np.testing.assert_array_equal(engine.generate(50), want)
    fresh = engine.clone()
    fresh.set_state(saved)
    np.testing.assert_array_equal(fresh.generate(50), want)


@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize("shape", ["gru-3tiers", "gru-4tiers", "lstm-3tiers-skips", "gru-reset-before"])
def test_state_is_whole_at_every_sample_of_a_frame(shape: str, precision: str) -> None:
    """What the engine works out before a frame is complete is no part of the state and never missing."""
    model = Model.random(SHAPES[shape])
    engine, other = (Engine(model, precision=precision, threads=threads) for threads in (1, 2))
    engine.reset(seed=5)
    for _ in range(2 * model.config.lookback + 1):
        saved = engine.state()
        other.set_state(saved)
        want = engine.generate(1)
        np.testing.assert_array_equal(other.generate(1), want)
        after, again = engine.state(), other.state()
        for name in after:
            np.testing.assert_array_equal(after[name], again[name])


def test_a_run_is_the_same_however_its_states_were_reached() -> None:
    model = Model.random(SHAPES["gru-3tiers"])
    engine = Engine(model, precision="int4")
    engine.reset(seed=5)
    want = engine.generate(200)
    engine.reset(seed=5)
    engine.generate(23)
    saved = engine.state()
    engine.teacher_force(some_codes(model.config, 30))
    engine.prime(some_codes(model.config, 9))
    engine.set_state(saved)
    np.testing.assert_array_equal(engine.generate(177), want[:, 23:])


def test_auto_precision_depends_on_the_model_alone() -> None:
    small, large = (Model.random(Config(frame_sizes=[4, 16], dim=dim, mlp_dim=32)) for dim in (64, 512))
    assert Engine(small).precision == "int8"
    assert Engine(large).precision == "int4"
    assert Engine(large, instruction_set="plain", threads=2, voices=3).precision == "int4"


def test_four_bits_say_nearly_the_same_as_all_of_them() -> None:
    model = Model.random(SHAPES["gru-3tiers"])
    codes = some_codes(model.config, 64)
    f32, int8, int4 = (Engine(model, precision=p).teacher_force(codes) for p in ("f32", "int8", "int4"))
    assert np.abs(int8 - f32).max() < 0.03 * np.abs(f32).max()
    assert np.abs(int4 - f32).max() < 0.15 * np.abs(f32).max()


def test_both_backends_draw_the_same_codes_and_read_each_others_state() -> None:
    model = Model.random(SHAPES["gru-3tiers"])
    native, torch_ = Engine(model, precision="f32"), Engine(model, backend="torch")
    native.reset(seed=2)
    torch_.reset(seed=2)
    np.testing.assert_array_equal(native.generate(300, 0.8), torch_.generate(300, 0.8))
    torch_.set_state(native.state())
    np.testing.assert_array_equal(native.generate(20), torch_.generate(20))


def test_priming_is_hearing() -> None:
    model = Model.random(SHAPES["gru-3tiers"])
    back = model.config.lookback
    codes = some_codes(model.config, 4 * back)[:, back:]
    silence = np.full((1, back), model.config.q_zero)
    forced = Engine(model, precision="f32")
    forced.teacher_force(np.concatenate([silence, codes], 1))
    primed = Engine(model, precision="f32")
    primed.prime(codes[:, :7])
    primed.prime(codes[:, 7:])
    for name, value in forced.state().items():
        np.testing.assert_array_equal(primed.state()[name], value)


def test_temperature_is_heard_per_sample_and_per_voice() -> None:
    model = Model.random(SHAPES["gru-3tiers"])
    engine = Engine(model, voices=2, precision="f32")
    cold = engine.generate(64, 1e-4)
    engine.reset()
    forced = np.concatenate([np.full((2, model.config.lookback), model.config.q_zero), cold], 1)
    np.testing.assert_array_equal(engine.teacher_force(forced).argmax(-1), cold)
    engine.reset()
    curve = np.full((1, 64), 1e-4, np.float32)
    curve[:, 32:] = 3.0
    warm = engine.generate(64, curve)
    np.testing.assert_array_equal(warm[:, :32], cold[:, :32])
    assert (warm[:, 32:] != cold[:, 32:]).any()
    engine.reset()
    np.testing.assert_array_equal(engine.generate(64, [[1e-4], [3.0]])[0], cold[0])


def test_draws_follow_the_softmax() -> None:
    model = Model.random(SHAPES["gru-3tiers"])
    engine = Engine(model, voices=1000, precision="f32")
    engine.reset(seed=4)
    first = engine.generate(1, 0.7)[:, 0]
    silence = np.full((1, model.config.lookback + 1), model.config.q_zero)
    logits = Engine(model, precision="f32").teacher_force(silence)[0, 0].astype(np.float64) / 0.7
    p = np.exp(logits - logits.max())
    counts = np.bincount(first, minlength=model.config.q_levels)
    expected = 1000 * p / p.sum()
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < 256 + 5 * (2 * 256) ** 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: e.generate(4, 0), "temperature"),
        (lambda e: e.generate(4, float("nan")), "temperature"),
        (lambda e: e.generate(4, [1, 2, 3]), "shape"),
        (lambda e: e.teacher_force([[0, 256] * 20]), r"expected \[0, 256\)"),
        (lambda e: e.teacher_force([[0, -1] * 20]), r"expected \[0, 256\)"),
        (lambda e: e.teacher_force(np.zeros((1, 40))), "integers"),
        (lambda e: e.teacher_force([[1, 2]]), "lookback"),
        (lambda e: e.teacher_force([[1] * 40], features=[[1]]), "conditioning"),
        (lambda e: e.prime([1, 2, 3]), "shape"),
        (lambda e: e.prime([[1]], features=[1, 2]), "conditioning"),
        (lambda e: e.reset(-1), "seed"),
        (lambda e: e.set_state({}), "state"),
    ],
)
def test_wrong_arguments_say_what_was_expected(call: object, words: str) -> None:
    engine = Engine(Model.random(SHAPES["gru-3tiers"]))
    with pytest.raises(SopiError, match=words):
        call(engine)  # type: ignore[operator]


@pytest.mark.parametrize("features", [np.zeros((1, 5, 3)), np.zeros((1, 8, 2)), np.full((1, 8, 3), np.nan), "loud"])
def test_wrong_features_say_what_was_expected(features: object) -> None:
    engine = Engine(Model.random(SHAPES["features"]))
    with pytest.raises(SopiError, match="features"):
        engine.teacher_force(some_codes(engine.config, 8), features)
