"""Emphasis: a model codes what is new in each sample; what is heard has that undone, the same wherever it is played."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from instruction_sets import SETS
from performing import lines
from stream_player import Playing, render, start

import sopilib
from sopilib import Config, Engine, Model, SopiError, checkpoint, cli
from sopilib.engine.blocks import blocks
from sopilib.live import Performer
from sopilib.live.course import Request, make_sounds
from sopilib.live.snapshots import fingerprint
from sopilib.model.emphasis import emphasised
from sopilib.native import _native
from sopilib.train import coding
from sopilib.train.coding import fitted
from sopilib.train.lanes import Lanes
from sopilib.train.prepare import Dataset, Preparation, prepare
from sopilib.train.settings import PRESETS, from_values

RATE = 16000
POLES = [[0.85], [0.85, 0.5]]


def tiny(seed: int = 1, poles: list[float] | None = None, **changes: Any) -> Model:
    values: dict[str, Any] = {
        "frame_sizes": [4, 16],
        "dim": 32,
        "mlp_dim": 32,
        "sample_rate": RATE,
        "q_type": "mu-law-centred",
        "frame_input": "audio",
        "emphasis": [0.85] if poles is None else poles,
        "level": 1.25,
    }
    return Model.random(Config(**{**values, **changes}), seed)


def engine(model: Model, seed: int = 0, **options: Any) -> Engine:
    made = Engine(model, precision=options.pop("precision", "int8"), **options)
    made.reset(seed)
    return made


def undone(model: Model, codes: np.ndarray, memory: list[np.float32] | None = None) -> np.ndarray:
    """One line of codes as sound, sample by sample."""
    c, y = model.config, [np.float32(0)] * len(model.config.emphasis) if memory is None else memory
    out = np.empty(len(codes), np.float32)
    for i, code in enumerate(codes):
        x = model.decode_table[code]
        for k, a in enumerate(c.emphasis):
            x = x + np.float32(a) * y[k]
            x = np.float32(0) if abs(x) < 1e-15 else x
            y[k] = x
        out[i] = min(max(np.float32(c.level) * x, np.float32(-1)), np.float32(1))
    return out


def noise(n: int, seed: int = 3, size: float = 0.2) -> np.ndarray:
    return (size * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


# ---------------------------------------------------------------- the coding


def test_old_files_code_as_they_did_and_hold_no_emphasis() -> None:
    old = Config.from_dict({"frame_sizes": [4, 16], "dim": 32})
    assert (old.emphasis, old.level, old.frame_gain) == ([], 1.0, 2.0)
    assert Config(emphasis=[0.0]).emphasis == []  # how a command says none


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"q_type": "mu-law"}, "q_type is 'mu-law', whose silence is not exactly 0, which emphasis needs"),
        ({"poles": [1.0]}, r"emphasis is \[1.0\], expected at most 2 numbers above 0, at most 0.999"),
        ({"poles": [0.5, 0.5, 0.5]}, "expected at most 2 numbers"),
        ({"level": 0.0}, "level is 0.0, expected a number above 0"),
        ({"frame_gain": -1.0}, "frame_gain is -1.0, expected a number above 0"),
    ],
)
def test_a_wrong_coding_is_one_sentence(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(SopiError, match=line):
        tiny(**changes)


@pytest.mark.parametrize("q", [3, 16, 255, 256, 512])
def test_centred_mu_law_has_silence_at_exactly_0_and_codes_that_come_back(q: int) -> None:
    model = tiny(poles=[], q_levels=q, level=1.0)
    table = model.decode_table
    assert table[q // 2] == 0 == model.decode(model.config.q_zero)
    own = np.arange(1 if q % 2 == 0 else 0, q)  # with even q the lowest code is full scale again
    np.testing.assert_array_equal(model.encode(table[own]), own)
    assert model.encode([0.0, np.nan]).tolist() == [q // 2, q // 2]
    assert table.max() == -table.min() == 1


@pytest.mark.parametrize("poles", POLES)
def test_what_is_coded_is_what_is_new_and_undoing_it_gives_the_sound(poles: list[float]) -> None:
    model = tiny(poles=poles, q_levels=4096, q_type="linear")
    sound = np.convolve(noise(4000), np.ones(8) / 8).astype(np.float32)[:4000]
    emphasised = sound / np.float32(1.25)
    for a in poles:
        emphasised = emphasised - np.concatenate([[np.float32(0)], np.float32(a) * emphasised[:-1]])
    codes = model.encode(sound)
    np.testing.assert_array_equal(codes, model.config.quantiser.encode(emphasised))
    assert np.abs(model.decode(codes) - sound).max() < 0.5 / 2047 * 1.25 / np.prod(1 - np.array(poles))


@pytest.mark.parametrize("poles", POLES)
def test_decoding_is_plain_arithmetic_and_blocks_join_exactly(poles: list[float]) -> None:
    model = tiny(poles=poles, level=0.9)
    codes = np.random.default_rng(0).integers(0, 256, (2, 3, 500))
    whole = model.decode(codes)
    for line, made in zip(codes.reshape(6, 500), whole.reshape(6, 500)):
        np.testing.assert_array_equal(made, undone(model, line))
    memory, blocks = model.silence(2, 3), []
    for at in (0, 1, 7, 200, 499):
        end = {0: 1, 1: 7, 7: 200, 200: 499, 499: 500}[at]
        blocks.append(model.decode(codes[..., at:end], memory))
    np.testing.assert_array_equal(np.concatenate(blocks, -1), whole)
    with pytest.raises(SopiError, match=r"memory is float32 \(2, 1\), expected float32 \(2, 3, "):
        model.decode(codes, np.zeros((2, 1), np.float32))


@pytest.mark.parametrize("poles", [[0.922], [0.85, 0.5]])
def test_every_code_held_for_ever_is_bounded_from_every_state_and_silence_is_exactly_0(poles: list[float]) -> None:
    model = tiny(poles=poles)
    levels = model.config.q_levels
    memory = np.repeat(np.array([-1e3, -1, 0, 1, 1e3], np.float32), levels)[:, None].repeat(len(poles), 1).copy()
    held = np.tile(np.arange(levels), 5)[:, None].repeat(4000, 1)
    sound = model.decode(held, memory)
    assert np.isfinite(sound).all() and np.abs(sound).max() <= 1
    most = np.cumprod(1 / (1 - np.array(poles)))
    assert (np.abs(memory) <= most + 1e-3).all()
    silent = sound.reshape(5, levels, -1)[:, model.config.q_zero, -1]
    assert (silent == 0).all()  # no rest, no DC, nothing denormal
    assert (memory.reshape(5, levels, -1)[:, model.config.q_zero] == 0).all()


# ---------------------------------------------------------------- engines


@pytest.mark.parametrize("poles", POLES)
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_an_engine_remembers_what_decoding_remembers(poles: list[float], backend: str) -> None:
    model = tiny(poles=poles)
    made = Engine(model, voices=2, backend=backend, precision="f32")
    made.reset(3)
    memory = model.silence(2)
    heard = np.random.default_rng(1).integers(0, 256, (2, 37))
    made.prime(heard)
    model.decode(heard, memory)
    model.decode(made.generate(50), memory)
    np.testing.assert_array_equal(made.state()["emphasis"], memory)
    forced = np.random.default_rng(2).integers(0, 256, (2, 16 + 21))
    made.teacher_force(forced)  # begins anew: with the codes that it is given, and nothing before them
    memory = model.silence(2)
    model.decode(forced, memory)
    np.testing.assert_array_equal(made.state()["emphasis"], memory)
    made.reset(0)
    assert not made.state()["emphasis"].any()


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_state_goes_on_with_its_memory_and_one_without_makes_it_of_its_history(backend: str) -> None:
    model = tiny()
    made = Engine(model, backend=backend, precision="f32")
    made.reset(5)
    made.generate(70)
    state = made.state()
    other = Engine(model, backend=backend, precision="f32")
    other.set_state(state)
    np.testing.assert_array_equal(other.generate(30), made.generate(30))
    np.testing.assert_array_equal(other.state()["emphasis"], made.state()["emphasis"])
    old = {name: value for name, value in state.items() if name != "emphasis"}
    other.set_state(old)
    memory = model.silence(1)
    model.decode(state["history"], memory)
    np.testing.assert_array_equal(other.state()["emphasis"], memory)
    with pytest.raises(SopiError, match=r"state emphasis has shape \(1, 2\), expected \(1, 1\)"):
        other.set_state({**state, "emphasis": np.zeros((1, 2), np.float32)})


def test_the_memory_is_the_same_for_any_threads_splits_and_instruction_set() -> None:
    model = tiny(poles=[0.85, 0.5])
    found = []
    for name in SETS:
        for threads in (1, 3):
            made = engine(model, 9, voices=3, threads=threads, instruction_set=name)
            for n in (1, 2, 61) if threads == 1 else (64,):
                made.generate(n)
            found.append(made.state()["emphasis"])
    for memory in found:
        np.testing.assert_array_equal(memory, found[0])


# ---------------------------------------------------------------- the stream


def played(model: Model, n: int, *more: Any, seed: int = 0) -> np.ndarray:
    return render(n + 400, [*start(engine(model, seed).source), *more], rate=RATE)


def test_the_stream_plays_what_decoding_gives_and_counts_what_its_limiter_held() -> None:
    model = tiny(level=4.0)
    expected = model.decode(engine(model).generate(3000))[0]
    with Playing(rate=RATE) as playing:
        sound = playing.render(3400, start(engine(model).source))[0]
        held = playing.stream.stats()["limited"]
    np.testing.assert_array_equal(sound[400 : 400 + 2600], expected[80:2680])
    assert held >= np.sum(np.abs(expected[:2600]) == 1) > 0
    assert np.abs(sound).max() <= 1


def test_a_python_engine_plays_the_same_as_the_reference_does_and_goes_on_from_what_it_heard() -> None:
    model, heard = tiny(), np.random.default_rng(1).integers(0, 256, (1, 40))
    made = Engine(model, backend="torch")
    made.reset(1)
    made.prime(heard)
    memory = model.silence(1)
    model.decode(heard, memory)
    twin = made.clone()
    twin.set_state(made.state())
    expected = model.decode(twin.generate(600), memory)[0]
    sound = render(900, start(_native.PySource(made)), rate=RATE)
    np.testing.assert_array_equal(sound[400:900], expected[80:580])


def test_two_models_write_one_music_only_where_their_coding_is_equal_but_for_the_level() -> None:
    one = engine(tiny(1))
    _native.Blend(one.source, engine(tiny(2)).source)
    _native.Blend(one.source, engine(tiny(2, level=1.0)).source)
    for other, why in (
        (tiny(2, poles=[0.9]), "one has another emphasis than the other"),
        (tiny(2, poles=[]), "one has another emphasis than the other"),
        (tiny(2, q_type="a-law"), "their quantisers differ"),
        (tiny(2, q_levels=128), "their quantisers differ"),
        (tiny(2, sample_rate=8000), "their sample rates differ"),
    ):
        with pytest.raises(ValueError, match=why):
            _native.Blend(one.source, engine(other).source)


def test_a_blend_sounds_as_its_codes_do() -> None:
    one, two = engine(tiny(1)), engine(tiny(2))
    sound = render(1200, [(0, "blend", 0.0), *start(_native.Blend(one.source, two.source))], rate=RATE)
    expected = tiny(1).decode(engine(tiny(1)).generate(900))[0]
    np.testing.assert_array_equal(sound[400:1200], expected[80:880])


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOPI_MODELS", str(tmp_path))
    for seed, name in enumerate(("soft", "other"), 1):
        (tmp_path / name).mkdir()
        checkpoint.save(tiny(seed), tmp_path / name / f"{name}.safetensors")
    return tmp_path


def performer(told: list[Any], **options: Any) -> Performer:
    made = Performer(freewheel=True, precision="int8", status=lambda *event: told.append(event), **options)
    made.host(RATE, 64)
    return made


def test_what_is_listened_to_is_heard_as_the_model_encodes_it(models: Path) -> None:
    told: list[Any] = []
    one, sound = performer(told), noise(RATE // 4)
    one.handle("load", "soft")
    one.handle("listen", 1, t=0)
    for at in range(0, len(sound), 64):
        one.read(64, np.resize(sound[at : at + 64], 64)[None])
    padded = np.concatenate([sound, np.resize(sound[len(sound) // 64 * 64 :], -len(sound) % 64)])
    one.handle("listen", 0, t=one.now)
    answer = one.read(2000)[0]
    one.close()
    model = sopilib.load("soft")
    expected, memory = engine(model), model.silence(1)
    codes = model.encode(padded[None])
    expected.prime(codes)
    model.decode(codes, memory)
    made = model.decode(expected.generate(1600), memory)[0]
    assert not lines(told, "error")
    begin = 320 + 80
    np.testing.assert_array_equal(answer[begin:1900], made[80 : 1900 - 320])


def test_what_primes_a_model_is_heard_as_it_encodes_it_and_its_music_goes_on_from_there(models: Path) -> None:
    told: list[Any] = []
    one, sound = performer(told, folder=models), noise(3000)
    soundfile.write(models / "heard.wav", sound, RATE, subtype="FLOAT")
    one.handle("load", "soft", t=0)
    one.handle("seed", "heard.wav", t=0)
    one.handle("generate", t=0)
    made = one.read(2000)[0]
    one.close()
    model = sopilib.load("soft")
    (expected,) = blocks(engine(model), 0.1, 1.0, 0, model.encode(sound))
    assert not lines(told, "error")
    np.testing.assert_array_equal(made[400:1900], expected[0, 80:1580])


def clicks(sound: np.ndarray) -> float:
    """The largest step of one sample to the next."""
    return float(np.abs(np.diff(sound)).max())


def test_no_click_at_start_reset_swap_seed_and_recall(models: Path) -> None:
    """A model that holds one code has a DC: what jumps in it would stick out."""
    still = tiny(1)
    for name, array in still.weights.items():
        array[...] = 0
        if name.startswith("sample.layer") and name.endswith("bias") and array.shape == (256,):
            array[150] = 100  # always this code
    other = Model(still.config, {k: v.copy() for k, v in still.weights.items()}, name="other")
    last = [n for n in other.weights if n.endswith("bias") and n.startswith("sample")][-1]
    other.weights[last][150], other.weights[last][100] = 0, 100
    for name, model in (("soft", still), ("other", other)):
        checkpoint.save(model, models / name / f"{name}.safetensors")
    told: list[Any] = []
    one, sound = performer(told), []
    for message in (
        ("load", "soft"), ("generate",), ("snapshot", "store", 1), ("reset",), ("seed", 4), ("load", "other"),
        ("load", "soft"), ("snapshot", "recall", 1), ("voices", 1), ("kick",), ("stop",),
    ):  # fmt: skip
        one.handle(*message)
        sound.append(one.read(3200)[0])
    one.close()
    assert not lines(told, "error")
    whole = np.concatenate(sound)
    assert np.abs(whole).max() > 0.01
    assert clicks(whole) < 0.05 * np.abs(whole).max()


def test_a_snapshot_holds_what_emphasis_remembers_and_one_without_is_run_over_its_history(models: Path) -> None:
    told: list[Any] = []
    one = performer(told, folder=models)
    for message in (("load", "soft"), ("generate",)):
        one.handle(*message)
    one.read(3000)
    one.handle("snapshot", "store", 1)
    one.read(2000)
    snapshot = one.snapshots.slots[1][0]
    one.handle("snapshot", "save", "slots.safetensors")
    one.handle("snapshot", "load", "slots.safetensors")
    again = one.snapshots.slots[1][0].arrays()
    one.close()
    assert not lines(told, "error")
    arrays = snapshot.arrays()
    assert arrays["emphasis"].shape == (1, 1)
    assert arrays["emphasis"].any()
    np.testing.assert_array_equal(again["emphasis"], arrays["emphasis"])
    old = _native.Snapshot.of(**{k: v for k, v in arrays.items() if k != "emphasis"})
    assert old.arrays()["emphasis"].shape == (1, 0)
    model, made = sopilib.load("soft"), {}
    for name, kept in (("whole", snapshot), ("old", old)):
        with Playing(rate=RATE) as playing:
            made[name] = playing.render(1500, [*start(engine(model).source), (64, "recall", kept)])[0]
    memory = model.silence(1)
    model.decode(arrays["history"], memory)
    difference = float((arrays["emphasis"] - memory)[0, 0] * 1.25)
    # the difference between the two is what is left of that of their memories
    at = 64 + 320
    found = made["whole"][at + 20] - made["old"][at + 20]
    fade = 0.5 - 0.5 * np.cos(np.pi * 20.5 / 80)
    assert found == pytest.approx(difference * 0.85**21 * fade, abs=1e-6)


def test_a_model_without_emphasis_is_known_by_the_snapshots_of_before() -> None:
    """A fingerprint that was taken when configs had no emphasis, level and gain of frames."""
    model = Model.random(Config(frame_sizes=[4, 16], dim=8), 0)
    config = {k: v for k, v in model.config.to_dict().items() if k not in ("emphasis", "level", "frame_gain")}
    digest = hashlib.blake2b(json.dumps(config, sort_keys=True).encode(), digest_size=16)
    for name, weights in sorted(model.weights.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights).data)
    assert fingerprint(model) == digest.hexdigest()
    assert fingerprint(tiny(1)) != fingerprint(tiny(1, level=1.0)) != fingerprint(tiny(1, poles=[0.5], level=1.0))


# ---------------------------------------------------------------- offline


def test_rendered_blocks_are_one_take(models: Path) -> None:
    model, heard = sopilib.load("soft"), noise(500)
    made = list(blocks(engine(model, voices=2), 2.5, 1.0, 7))
    assert [b.shape for b in made] == [(2, RATE), (2, RATE), (2, RATE // 2)]
    whole = model.decode(engine(model, 7, voices=2).generate(2 * RATE + RATE // 2))
    np.testing.assert_array_equal(np.concatenate(made, 1), whole)
    primed = np.concatenate(list(blocks(engine(model), 0.1, 1.0, 7, model.encode(heard))), 1)
    fresh, codes = engine(model, 7), model.encode(heard)[None]
    fresh.prime(codes)
    np.testing.assert_array_equal(
        primed[0], model.decode(np.concatenate([codes, fresh.generate(1600)], 1))[0, len(heard) :]
    )


def test_the_courses_sounds_go_on_from_the_array_they_heard() -> None:
    model, heard = tiny(), noise(800)
    request = Request(outs=["a"], temperatures=[1.0], seconds=0.6, seed="heard", sample_rate=RATE, seed_rate=RATE)
    ((_, made),) = make_sounds(request, engine(model), 3, lambda name: heard)
    fresh, codes = engine(model, 3), model.encode(np.clip(heard, -1, 1))[None]
    fresh.prime(codes)
    expected = model.decode(np.concatenate([codes, fresh.generate(9600)], 1))[0, 800:]
    np.testing.assert_array_equal(made, expected)


def test_a_file_keeps_the_coding(tmp_path: Path) -> None:
    model = tiny(poles=[0.85, 0.5], frame_gain=3.5)
    checkpoint.save(model, tmp_path / "m.safetensors")
    assert checkpoint.load(tmp_path / "m.safetensors").config == model.config


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(2):
        slow = np.convolve(noise(RATE, number, 0.3), np.ones(16) / 16)[:RATE]
        soundfile.write(folder / f"{number}.wav", slow.astype(np.float32), RATE, subtype="FLOAT")
    return prepare([folder], folder / "set", Preparation(RATE, longest_silence=0))


def test_presets_live_have_one_coding_for_every_corpus_at_one_rate_and_the_older_systems_none() -> None:
    for name, (_, values) in PRESETS.items():
        for rate in (16000, 32000):
            config, _ = from_values({**values, "sample_rate": rate})
            if name.startswith("live"):
                assert config.q_type == "mu-law-centred"
                assert config.emphasis == [np.exp(-2 * np.pi * 414 / rate)]
            else:
                assert (config.q_type in ("mu-law", "linear"), config.emphasis, config.level) == (True, [], 1)
    without, _ = from_values({**PRESETS["live"][1], "emphasis": [0.0], "q_type": "mu-law"})
    assert (without.emphasis, without.frame_gain) == ([], 2)


def test_a_model_is_fitted_to_the_level_of_its_recordings(dataset: Dataset) -> None:
    config = fitted(tiny(level=1.0, poles=[0.85]).config, dataset)
    whole = emphasised(dataset.audio / np.float32(config.level), config.emphasis)
    assert np.abs(whole).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
    trained = np.concatenate([coding.part(dataset, config, *s) for s in dataset.segments["train"]])
    assert config.frame_gain * np.sqrt(np.mean(trained**2)) == pytest.approx(0.4, rel=1e-4)
    model = Model.random(config)
    heard = model.decode(model.encode(dataset.audio[: RATE // 2]))
    assert np.sqrt(np.mean((heard - dataset.audio[: RATE // 2]) ** 2)) < 0.1 * dataset.audio[: RATE // 2].std()
    same = tiny(poles=[], level=1.0).config
    assert fitted(same, dataset) is same
    assert fitted(tiny(level=0.5, frame_gain=3.0).config, dataset) == tiny(level=0.5, frame_gain=3.0).config


@pytest.mark.parametrize("poles", POLES)
def test_what_is_learnt_in_pieces_is_coded_as_the_whole(dataset: Dataset, poles: list[float]) -> None:
    config = tiny(poles=poles, level=0.7, seq_len=64).config
    whole = config.quantiser.encode(emphasised(dataset.audio / np.float32(0.7), poles))
    for at, n in ((0, 10), (1, 5), (777, 300), (5000, 1)):
        np.testing.assert_array_equal(coding.codes(dataset, config, at, n), whole[at : at + n])
    lanes = Lanes(dataset, config, batch=3, excerpt=400, seed=1)
    for _ in range(20):
        places, segment = lanes.at.copy(), lanes.segment.copy()
        chunk = lanes.next()
        for lane in np.flatnonzero(~chunk.jumped):
            first = lanes.segments[segment[lane], 0] + places[lane] - config.lookback
            if places[lane] >= config.lookback and chunk.counted[lane].all():
                np.testing.assert_array_equal(chunk.codes[lane], whole[first : first + chunk.codes.shape[1]])


def test_a_trained_model_keeps_its_coding_and_an_older_run_goes_on(tmp_path: Path, dataset: Dataset) -> None:
    shape = ["--frame-sizes", "4", "16", "--seq-len", "64", "--dim", "8", "--mlp-dim", "8", "--emb-size", "4"]
    steps = ["--batch", "2", "--every", "2", "--preview-every", "2", "--preview-seconds", "0.2", "--threads", "1"]
    small = [*shape, *steps]
    run = tmp_path / "run"
    assert cli.main(["train", str(dataset.folder), "-o", str(run), "--steps", "2", *small]) == 0
    config = sopilib.load(run).config
    assert config.emphasis == [np.exp(-2 * np.pi * 414 / RATE)]
    assert config == fitted(replace(config, level=1.0, frame_gain=2.0), dataset)
    assert config.level != 1
    old = tmp_path / "old"
    without = ["--emphasis", "0", "--q-type", "mu-law"]
    assert cli.main(["train", str(dataset.folder), "-o", str(old), "--steps", "2", *small, *without]) == 0
    began, state = json.loads((old / "run.json").read_text()), torch.load(old / "state.pt", weights_only=True)
    for name in ("emphasis", "level", "frame_gain"):  # as before there was any
        del began["config"][name], state["config"][name]
    (old / "run.json").write_text(json.dumps(began))
    torch.save(state, old / "state.pt")
    assert cli.main(["train", "-o", str(old), "--steps", "4"]) == 0
    assert sopilib.load(old).config.emphasis == []
