"""PRiSM checkpoints load as they are: same logits, same greedy music, same quantisers, clear words when broken."""

from __future__ import annotations

import json
import shutil
import struct
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundle_writer import (
    SUFFIX,
    Layout,
    Shape,
    Variables,
    field,
    masked,
    pack_table,
    prism_file,
    prism_weights,
    varint,
    write_bundle,
)

import sopilib
from sopilib import Config, Engine, Model, SopiError, SopiWarning, checkpoint
from sopilib.checkpoint.readers.tensor_bundle import Bundle, crc32c_masked
from sopilib.cli import main

FIXTURES = Path(__file__).parent / "fixtures" / "prism"
GRU, LSTM = FIXTURES / "gru_mulaw", FIXTURES / "lstm_linear_skip"
RUNS = [GRU, LSTM]

pytestmark = pytest.mark.filterwarnings("ignore::sopilib.SopiWarning")


def tolerance(reference: np.ndarray) -> float:
    return 5e-5 + 5e-6 * float(np.abs(reference).max())


def f32(model: Model, voices: int, backend: str = "native") -> Engine:
    return Engine(model, voices, backend, precision="f32")


# ---------------------------------------------------------------- PRiSM's own files


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("run", RUNS, ids=lambda p: p.name)
def test_logits_are_those_of_prism(run: Path, backend: str) -> None:
    reference = np.load(run / "reference.npz")
    engine = f32(sopilib.load(run), 2, backend)
    # the second goes on with the states that the first leaves
    for codes, logits in (("forced", "logits_step"), ("x2", "logits_train_carry")):
        got, want = engine.teacher_force(reference[codes][..., 0]), reference[logits]
        assert np.abs(got - want).max() < tolerance(want)


@pytest.mark.parametrize("run", RUNS, ids=lambda p: p.name)
def test_the_greedy_sequence_is_prisms(run: Path) -> None:
    greedy = np.load(run / "reference.npz")["greedy"][..., 0]
    model = sopilib.load(run)
    engine = f32(model, 2)
    assert (greedy[:, : model.config.lookback] == model.config.q_zero).all()
    made = engine.generate(greedy.shape[1] - model.config.lookback, temperature=1e-5)
    np.testing.assert_array_equal(made, greedy[:, model.config.lookback :])


def test_the_quantisers_are_prisms() -> None:
    reference = np.load(GRU / "reference.npz")
    mu_law = sopilib.load(GRU)
    np.testing.assert_array_equal(mu_law.encode(reference["wave"]), reference["mulaw_q"])
    np.testing.assert_array_equal(mu_law.encode(reference["mulaw_clip_in"]), reference["mulaw_clip_q"])
    np.testing.assert_allclose(mu_law.decode_table, reference["mulaw_table"], rtol=0, atol=1.6e-8)
    for q in (256, 1024):
        linear = Model.random(Config(q_type="linear-prism", q_levels=q, dim=2))
        # where PRiSM's rounding leaves [0, q), the last code
        np.testing.assert_array_equal(linear.encode(reference["wave"]), reference[f"linear{q}_q"].clip(0, q - 1))
        np.testing.assert_array_equal(linear.decode_table, reference[f"linear{q}_table"])
    assert sopilib.load(LSTM).config.q_type == "linear-prism"


@pytest.mark.parametrize("q", [16, 100, 128, 255, 257, 300, 512, 1000])
def test_linear_never_gives_a_code_that_is_not_there(q: int) -> None:
    model = Model.random(Config(q_type="linear-prism", q_levels=q, dim=2))
    codes = model.encode(np.array([-2, -1.01, -1, 0, 1, 1.01, 2, np.inf, -np.inf, np.nan]))
    assert codes.min() == 0
    assert codes.max() == q - 1
    assert codes[3] == codes[-1] == q // 2


# ---------------------------------------------------------------- PRiSM's equations, other shapes


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class Reference:
    """PRiSM's forward pass, float64, a sample at a time, on the variables as the file has them."""

    def __init__(self, shape: Shape, weights: Variables, final_relu: bool = False) -> None:
        self.s, self.final_relu = shape, final_relu
        self.w = {name: w.astype(np.float64) for name, w in weights.items()}
        self.h = {(t, i): np.zeros(shape.dim) for t in ("big_frame_rnn", "frame_rnn") for i in range(shape.layers)}
        self.c = dict(self.h)

    def cell(self, tier: str, i: int, x: np.ndarray) -> np.ndarray:
        cell = f"{tier}/rnn/layer_{i}/cell"
        kernel, recurrent, bias = (self.w[f"{cell}/{n}"] for n in ("kernel", "recurrent_kernel", "bias"))
        h = self.h[tier, i]
        if self.s.rnn == "lstm":
            a, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
            self.c[tier, i] = sigmoid(f) * self.c[tier, i] + sigmoid(a) * np.tanh(g)
            h = sigmoid(o) * np.tanh(self.c[tier, i])
        else:
            xz, xr, xn = np.split(x @ kernel + bias[0], 3)
            hz, hr, hn = np.split(h @ recurrent + bias[1], 3)
            z, r = sigmoid(xz + hz), sigmoid(xr + hr)
            h = z * h + (1 - z) * np.tanh(xn + r * hn)
        self.h[tier, i] = h
        return h

    def tier(self, tier: str, codes: np.ndarray, above: np.ndarray) -> np.ndarray:
        """-> [r, dim], a vector for each part of the frame to come."""
        u = (codes / (self.s.q / 2) - 1) * 2
        x = u @ self.w[f"{tier}/inputs/kernel"] + self.w[f"{tier}/inputs/bias"] + above
        total = np.zeros(self.s.dim)
        x = np.concatenate([x, x]) if self.s.skip else x
        for i in range(self.s.layers):
            x = self.cell(tier, i, x)
            if self.s.skip:
                total = total + x @ self.w[f"{tier}/rnn/layer_{i}_skip_out/kernel"]
        if self.s.skip:
            x = total + self.w[f"{tier}/rnn/layer_0_skip_out/bias"]
        return self.w[f"{tier}/upsample"] @ x

    def logits(self, codes: np.ndarray) -> np.ndarray:
        """codes [F + n] -> [n, q] for codes[F:]"""
        (f, F), w, out = self.s.frames, self.w, []
        for t in range(F, len(codes)):
            if t % F == 0:
                big = self.tier("big_frame_rnn", codes[t - F : t], np.zeros(self.s.dim))
            if t % f == 0:
                mid = self.tier("frame_rnn", codes[t - f : t], big[t // f % (F // f)])
            e = w["sample_mlp/embedding/embeddings"][codes[t - f : t]]
            y = np.einsum("kq,kqd->d", e, w["sample_mlp/inputs/kernel"]) + mid[t % f]
            for name in ("hidden1", "hidden2"):
                y = np.maximum(y @ w[f"sample_mlp/{name}/kernel"] + w[f"sample_mlp/{name}/bias"], 0)
            y = y @ w["sample_mlp/outputs/kernel"] + w["sample_mlp/outputs/bias"]
            out.append(np.maximum(y, 0) if self.final_relu else y)
        return np.array(out)


SHAPES = [
    Shape(),
    Shape(rnn="lstm", layers=2, q=64),
    Shape(frames=(2, 8), dim=24, rnn="lstm"),
    Shape(frames=(16, 64), dim=12, layers=4, skip=True, q=64),
    Shape(rnn="lstm", layers=3, skip=True),
    Shape(layers=1, skip=True, rnn="gru"),
    Shape(layers=1, skip=True, rnn="lstm", q=1024, dim=5),
    Shape(frames=(3, 9), dim=7, layers=2, q=33),
    Shape(frames=(1, 2), dim=3, q=2, rnn="lstm"),
    Shape(layers=11, dim=4, q=16),
]


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_every_shape_of_model_computes_prisms_equations(shape: Shape, tmp_path: Path) -> None:
    weights = prism_weights(shape, seed=3)
    write_bundle(tmp_path / "model.ckpt-7", prism_file(weights, "keras2.11"))
    model = sopilib.load(tmp_path)
    F = shape.frames[1]
    codes = np.random.default_rng(1).integers(0, shape.q, F + 3 * F)
    want = Reference(shape, weights).logits(codes)
    got = f32(model, 1).teacher_force(codes[None])[0]
    assert np.abs(got - want).max() < tolerance(want)
    c = model.config
    assert (c.frame_sizes, c.dim, c.rnn_type) == (list(shape.frames), shape.dim, shape.rnn)
    assert (c.num_rnn_layers, c.skip_conn, c.q_levels) == (shape.layers, shape.skip, shape.q)
    assert c.q_type == ("mu-law" if shape.q == 256 else "linear-prism")
    assert c.seq_len % F == 0


def test_models_of_before_december_2020_end_in_a_relu(tmp_path: Path) -> None:
    shape = Shape(skip=True)
    weights = prism_weights(shape)
    write_bundle(tmp_path / "model.ckpt-1", prism_file(weights))
    codes = np.random.default_rng(1).integers(0, 256, 48)
    want = Reference(shape, weights, final_relu=True).logits(codes)
    got = f32(sopilib.load(tmp_path, final_relu=True), 1).teacher_force(codes[None])[0]
    assert (want == 0).any()
    assert np.abs(got - want).max() < tolerance(want)


# ---------------------------------------------------------------- the file format

LAYOUTS = [
    Layout(snappy=True),
    Layout(shards=3),
    Layout(block=200),  # many blocks
    Layout(block=200, snappy=True, shards=2),
    Layout(restarts=1),  # no key shares its beginning
    Layout(restarts=1000),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@pytest.mark.parametrize("optimizer", ["keras2.11", "keras2.10"])
def test_every_layout_of_the_files_reads_the_same(layout: Layout, optimizer: str, tmp_path: Path) -> None:
    weights = prism_weights(Shape(layers=2, skip=True, q=16), seed=5)
    write_bundle(tmp_path / "plain", prism_file(weights))
    write_bundle(tmp_path / "other", prism_file(weights, optimizer), layout)
    plain, other = sopilib.load(tmp_path / "plain"), sopilib.load(tmp_path / "other")
    assert other.config == plain.config
    for name, w in plain.weights.items():
        np.testing.assert_array_equal(other.weights[name], w)


def test_large_tables_of_names_read(tmp_path: Path) -> None:
    many = {f"optimizer/_variables/{i}{SUFFIX}": np.full(1, i, np.float32) for i in range(6000)}
    write_bundle(tmp_path / "m", many)
    bundle = Bundle(tmp_path / "m")
    assert len(bundle.entries) == 6000
    assert bundle.read(f"optimizer/_variables/4711{SUFFIX}") == [4711]


def test_checksums_are_crc32c_as_leveldb_stores_it() -> None:
    def unmasked(masked: int) -> int:
        rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
        return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF

    assert unmasked(crc32c_masked(b"123456789")) == 0xE3069283
    assert unmasked(crc32c_masked(bytes(32))) == 0x8A9136AA
    assert unmasked(crc32c_masked(np.zeros(8, np.float32))) == 0x8A9136AA


# ---------------------------------------------------------------- finding it


@pytest.mark.parametrize(
    "name", ["", "model.ckpt-1", "model.ckpt-1.index", "model.ckpt-1.data-00000-of-00001", "checkpoint"]
)
def test_a_run_is_found_by_its_folder_and_by_any_of_its_files(name: str) -> None:
    assert sopilib.load(GRU / name).about["import"]["file"] == "model.ckpt-1"


def test_of_a_run_the_newest_checkpoint_is_taken(tmp_path: Path) -> None:
    for n in (2, 9, 10):
        write_bundle(tmp_path / f"model.ckpt-{n}", prism_file(prism_weights(Shape(dim=n))))
    assert sopilib.load(tmp_path).config.dim == 10
    listed = tmp_path / "checkpoint"
    # TensorFlow's own list counts, also if it was written on another machine
    for path in ("model.ckpt-9", "/home/ada/logdir/x/model.ckpt-9", "C:\\\\logdir\\\\model.ckpt-9"):
        listed.write_text(f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "{path}"\n')
        assert sopilib.load(tmp_path).config.dim == 9
        assert sopilib.load(listed).config.dim == 9
    listed.write_text('model_checkpoint_path: "model.ckpt-11"\n')  # deleted since
    assert sopilib.load(tmp_path).config.dim == 10


def test_of_an_id_the_last_run_with_a_checkpoint_is_taken(tmp_path: Path) -> None:
    for i, run in enumerate(("31.12.2020_23.59.59", "01.02.2021_10.00.00", "02.01.2021_10.00.00")):
        (tmp_path / run).mkdir()
        write_bundle(tmp_path / run / "model.ckpt-3", prism_file(prism_weights(Shape(dim=4 + i))))
    (tmp_path / "05.05.2021_00.00.00").mkdir()  # stopped before its first checkpoint
    (tmp_path / "a_folder").mkdir()
    assert sopilib.load(tmp_path).config.dim == 5


# ---------------------------------------------------------------- what the files don't say


def test_what_is_not_in_the_files_is_told_and_remembered(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model.ckpt-1", prism_file(prism_weights(Shape())))
    with pytest.warns(SopiWarning) as told:
        model = sopilib.load(tmp_path)
    lines = [str(w.message) for w in told]
    assert [line.split()[1] for line in lines] == ["q_type", "final_relu", "sample_rate"]
    assert all(line.startswith("model.ckpt-1: ") and "assumed" in line for line in lines)
    assert (model.config.q_type, model.config.sample_rate) == ("mu-law", 22050)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = sopilib.load(tmp_path, q_type="linear", sample_rate=44100, final_relu=False)
        checkpoint.save(given, tmp_path / "given.safetensors")
        back = sopilib.load(tmp_path / "given.safetensors")  # nothing to warn of any more
    assert (back.config.q_type, back.config.sample_rate) == ("linear-prism", 44100)
    assert back.about["import"]["given"] == {"sample_rate": 44100, "q_type": "linear", "final_relu": False}
    assert back.about["import"]["from"] == "PRiSM"


def test_files_beside_the_checkpoint_are_used_but_the_shapes_count(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model.ckpt-1", prism_file(prism_weights(Shape(layers=2))))
    said = {"seq_len": 512, "frame_sizes": [8, 32], "dim": 8, "rnn_type": "GRU", "q_type": "linear", "q_levels": 256}
    (tmp_path / "x.config.json").write_text(json.dumps({**said, "num_rnn_layers": 2, "emb_size": 7}))
    (tmp_path / "args.txt").write_text("--id x --sample_rate 8000 --num_epochs 1")
    with pytest.warns(
        SopiWarning, match=r"x\.config\.json says frame_sizes \[8, 32\], but the weights are of \[4, 16\]"
    ):
        model = sopilib.load(tmp_path)
    c = model.config
    assert (c.frame_sizes, c.seq_len, c.sample_rate, c.q_type) == ([4, 16], 512, 8000, "linear-prism")
    (tmp_path / "a.config.json").write_text("{")
    (tmp_path / "b.config.json").write_text("[" * 100_000)
    odd = {"q_type": {}, "seq_len": 1 << 40, "frame_sizes": {}, "dim": None, "skip_conn": None, "q_levels": "many"}
    (tmp_path / "c.config.json").write_text(json.dumps(odd))
    (tmp_path / "args.txt").write_bytes(b"\xff--sample_rate 0")
    with pytest.raises(SopiError, match="sample_rate is 0"):
        sopilib.load(tmp_path)
    assert sopilib.load(tmp_path, sample_rate=8000).config == c
    (tmp_path / "x.config.json").unlink()
    assert sopilib.load(tmp_path, sample_rate=8000).config == replace(c, seq_len=1024, q_type="mu-law")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colour": 3}, "option 'colour' is unknown, expected one of sample_rate, q_type"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"sample_rate": "fast"}, "sample_rate is 'fast'"),
        ({"q_type": "a-law"}, "q_type is 'a-law' with 256 levels, expected linear, or mu-law"),
        ({"q_type": ["linear"]}, "expected a text"),
        ({"final_relu": "yes"}, "final_relu is 'yes', expected True or False"),
    ],
)
def test_wrong_options_say_so(options: dict[str, object], words: str) -> None:
    with pytest.raises(SopiError, match=words):
        sopilib.load(GRU, **options)  # type: ignore[arg-type]


def test_our_own_file_takes_no_options(tmp_path: Path) -> None:
    checkpoint.save(sopilib.load(GRU), tmp_path / "own.safetensors")
    with pytest.raises(SopiError, match="says everything itself.*sample_rate"):
        sopilib.load(tmp_path / "own.safetensors", sample_rate=16000)


def test_mu_law_has_256_levels(tmp_path: Path) -> None:
    write_bundle(tmp_path / "m-1", prism_file(prism_weights(Shape(q=64))))
    with pytest.raises(SopiError, match="q_type is 'mu-law' with 64 levels"):
        sopilib.load(tmp_path, q_type="mu-law")


def test_import_writes_one_file_that_says_it_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "models" / "one" / "one.safetensors"
    assert main(["import", str(GRU), "-o", str(out), "--sample-rate", "32000", "--no-final-relu"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("SOPI_MODELS", str(tmp_path / "models"))
    assert main(["info", "one"]) == 0
    said = capsys.readouterr().out
    for words in ("from: PRiSM", "q_type: mu-law (a.config.json)", "sample_rate: 32000", "final_relu: False"):
        assert words in said
    reference = np.load(GRU / "reference.npz")
    logits = f32(sopilib.load(out), 2).teacher_force(reference["forced"][..., 0])
    assert np.abs(logits - reference["logits_step"]).max() < tolerance(reference["logits_step"])
    assert main(["import", str(GRU), "-o", str(out), "--overwrite"]) == 0
    assert "sopi import: model.ckpt-1: final_relu is not in PRiSM checkpoints" in capsys.readouterr().err


# ---------------------------------------------------------------- broken files


def copy(run: Path, to: Path) -> Path:
    for path in run.glob("model*"):
        shutil.copy(path, to / path.name)
    return to


def test_a_damaged_run_says_what_is_wrong(tmp_path: Path) -> None:
    index, data = (copy(GRU, tmp_path) / f"model.ckpt-1.{end}" for end in ("index", "data-00000-of-00001"))
    whole, values = index.read_bytes(), data.read_bytes()

    def said(words: str) -> None:
        with pytest.raises(SopiError, match=words) as error:
            sopilib.load(tmp_path)
        assert "\n" not in str(error.value)

    data.write_bytes(values[: len(values) // 9])
    said("of model.ckpt-1.data-00000-of-00001, which has .*: it is cut short")
    data.write_bytes(values[:5000] + b"x" + values[5001:])
    said("fails its checksum: model.ckpt-1.data-00000-of-00001 is damaged")
    data.unlink()
    said("data-00000-of-00001 is missing")
    data.write_bytes(values)
    index.write_bytes(whole[:-3])
    said("cut short or damaged")
    index.write_bytes(b"")
    said("cut short or damaged")
    index.write_bytes(whole[:90] + b"x" + whole[91:])
    said("a block fails its checksum")
    index.write_bytes(bytes(5 << 20))
    said("expected at most")
    index.unlink()
    with pytest.raises(SopiError, match="index: missing"):
        sopilib.load(data)


def test_other_tensorflow_checkpoints_say_so(tmp_path: Path) -> None:
    weights = prism_weights(Shape(layers=2))
    cases = {
        "without sample_mlp/embedding/embeddings": {"dense/kernel": np.zeros((2, 2), np.float32)},
        "sample_mlp/hidden3/kernel is unknown": {
            **weights,
            "sample_mlp/hidden3/kernel": np.ones(1, np.float32),
        },
        r"frame_rnn/upsample has shape \(3, 8, 8\), expected \(4, 8, 8\)": {
            **weights,
            "frame_rnn/upsample": np.ones((3, 8, 8), np.float32),
        },
        "expected ascending sizes": {**weights, "big_frame_rnn/inputs/kernel": np.ones((18, 8), np.float32)},
        "data type 2, expected a whole float32": {**weights, "sample_mlp/hidden2/bias": np.ones(8)},
        "not finite": {**weights, "sample_mlp/hidden2/bias": np.full(8, np.nan, np.float32)},
        "hidden2/bias is missing": {k: w for k, w in weights.items() if k != "sample_mlp/hidden2/bias"},
    }
    for i, (words, variables) in enumerate(cases.items()):
        write_bundle(tmp_path / f"m-{i}", prism_file(variables))
        with pytest.raises(SopiError, match=words):
            sopilib.load(tmp_path / f"m-{i}")


def test_absurd_indexes_are_refused_at_once(tmp_path: Path) -> None:
    """Right in every checksum, but nobody's."""
    header = (b"", field(1, 1))
    huge = field(1, 1) + field(2, field(2, field(1, 1 << 62)) * 3) + field(5, 1 << 63)
    tables = {
        "shards": [(b"", field(1, 1 << 40))],
        "big-endian": [(b"", field(1, 1) + field(2, 1))],
        "header is missing": [(b"a", b"")],
        "not in order": [header, (b"b", b""), (b"a", b"")],
        "not text": [header, (b"\xff", b"")],
        "no protocol buffer": [header, (b"a", b"\x07")],
        "cut short": [header, (b"a", b"\x12\x7f")],
        "does not end": [header, (b"a", b"\xff" * 11)],
        "number for a part": [header, (b"a", field(2, 3))],
        "text for a number": [header, (b"a", field(5, b"long"))],
        "too long": [header, (b"a" * 2000, b"")],
        "more than 50000 entries": [header, *((f"{i:08}".encode(), b"") for i in range(50_001))],
        "expected a whole number from 1|is missing|expected 2 axes": [
            header,
            *((n.encode(), huge) for n in sorted(prism_file(prism_weights(Shape())))),
        ],
    }
    for words, pairs in tables.items():
        (tmp_path / "m.index").write_bytes(pack_table(pairs))
        with pytest.raises(SopiError, match=words) as error:
            sopilib.load(tmp_path / "m")
        assert "\n" not in str(error.value)


def test_a_block_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    block = varint(1 << 32) + b"\0a" + b"\xfe\1\0" * 1000
    stored = block + b"\1"
    stored += struct.pack("<I", masked(stored))
    footer = (varint(0) + varint(len(block))) * 2
    (tmp_path / "m.index").write_bytes(stored + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))
    with pytest.raises(SopiError, match="unpacks to 4294967296 bytes"):
        sopilib.load(tmp_path / "m")


def test_what_nobody_recognises_is_named(tmp_path: Path) -> None:
    for content, words in ((b"RIFF....", "a WAV"), (b"hello you", "begins with b'hello yo'"), (b"", "an empty file")):
        (tmp_path / "x.ckpt").write_bytes(content)
        with pytest.raises(SopiError, match=f"{words}.*expected a sopilib .safetensors file or PRiSM: a run's folder"):
            sopilib.load(tmp_path / "x.ckpt")
    (tmp_path / "x.ckpt").unlink()
    with pytest.raises(SopiError, match="a folder without a checkpoint"):
        sopilib.load(tmp_path)
