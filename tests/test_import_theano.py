"""Theano checkpoints, the original's and Dadabots', load as they are: same logits, whatever their shape."""

from __future__ import annotations

import itertools
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from theano_writer import Arrays, Shape, Theano, parameters, pickle_as_python_2

import sopilib
from sopilib import Engine, Model, SopiError, SopiWarning, checkpoint

FIXTURES = Path(__file__).parent / "fixtures" / "theano"
GENUINE = FIXTURES / "genuine_3t_orig"
(RUN,) = (path for path in GENUINE.iterdir() if path.is_dir())
PORTED = sorted(path for path in FIXTURES.iterdir() if path != GENUINE)

pytestmark = pytest.mark.filterwarnings("ignore::sopilib.SopiWarning")


def close(got: np.ndarray, want: np.ndarray) -> None:
    assert np.abs(got - want).max() < 5e-5 + 5e-6 * np.abs(want).max()


def forced(model: Model, codes: np.ndarray, features: object = None, backend: str = "native") -> np.ndarray:
    engine = Engine(model, len(codes), backend, precision="auto" if backend == "torch" else "f32")
    return engine.teacher_force(codes, features)


def written(folder: Path, arrays: Arrays, protocol: int = 2, name: str = "params_e1_i2_t0.01_x.pkl") -> Path:
    (folder / name).write_bytes(pickle_as_python_2(arrays, protocol))
    return folder / name


# ---------------------------------------------------------------- the systems' own files


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("file", [f for run in PORTED for f in sorted(run.glob("*.pkl"))], ids=lambda f: str(f)[-40:])
def test_logits_of_both_chunks_are_the_systems(file: Path, backend: str) -> None:
    reference = np.load(file.parent / "theano_ref.npz")
    close(forced(sopilib.load(file), reference["sequences"], backend=backend), reference["logits"])


def test_a_run_of_python_2_loads_and_says_everything_itself(recwarn: pytest.WarningsRecorder) -> None:
    reference = np.load(GENUINE / "ref.npz")
    model = sopilib.load(RUN)
    assert not recwarn.list
    close(forced(model, reference["sequences"]), reference["logits"])
    assert (model.config.q_type, model.config.sample_rate, model.config.frame_sizes) == ("linear-theano", 16000, [2, 8])
    engine = Engine(model, 2, precision="f32")
    parts = [engine.teacher_force(reference["sequences"][:, k : k + 72]) for k in (0, 64)]
    close(np.concatenate(parts, 1), reference["logits"])


# ---------------------------------------------------------------- every shape


SHAPES = [
    Shape(rnn=rnn, n_rnn=n, skip=skip, big=big, emb=emb, weight_norm=norm, frame=2 if big else 4)
    for rnn, (n, skip), big, (emb, norm) in itertools.product(
        ("GRU", "LSTM"), ((1, False), (2, True), (3, False), (3, True)), (0, 8), ((5, True), (3, False))
    )
]
SHAPES += [
    Shape(emb=0),
    Shape(emb=0, rnn="LSTM", weight_norm=False, frame=1),
    Shape(n_rnn=7, rnn="LSTM", skip=True, emb=0),
    Shape(big=16, frame=4, dim=5, n_rnn=2, skip=True),  # frames larger than the RNN is wide
    Shape(q=256),
    Shape(q=7),  # an odd number of levels: the system divides by 3, not 3.5
    Shape(features=3),
    Shape(features=1, rnn="LSTM", n_rnn=3, skip=True, weight_norm=False),
    Shape(features=2, n_rnn=2, skip=True, emb=0),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: str(s).removeprefix("Shape"))
def test_every_shape_gives_the_systems_logits(shape: Shape, tmp_path: Path) -> None:
    arrays = parameters(shape)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, shape.q, (2, shape.overlap + 32))
    features = rng.standard_normal((2, 32, shape.features)) if shape.features else None
    system = Theano(shape, arrays)
    want = [
        system.forward(codes[:, k : k + shape.overlap + 16], None if features is None else features[:, k : k + 16])
        for k in (0, 16)
    ]
    model = sopilib.load(written(tmp_path, arrays))
    close(forced(model, codes, features), np.concatenate(want, 1))
    checkpoint.save(model, tmp_path / "imported.safetensors")
    close(forced(sopilib.load(tmp_path / "imported.safetensors"), codes, features), np.concatenate(want, 1))


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_every_protocol_order_and_number_type_is_read(protocol: int, tmp_path: Path) -> None:
    arrays = parameters(Shape(n_rnn=2))
    codes = np.random.default_rng(1).integers(0, 16, (1, 20))
    want = forced(sopilib.load(written(tmp_path, arrays)), codes)
    for kind in (">f4", "<f8", ">f8"):
        other = {name: w.astype(kind, order="C") for name, w in arrays.items()}
        np.testing.assert_array_equal(forced(sopilib.load(written(tmp_path, other, protocol)), codes), want)
    (tmp_path / "params_e1_i3_x.pkl").write_bytes(pickle.dumps(arrays, protocol))  # as Python 3 writes it
    np.testing.assert_array_equal(forced(sopilib.load(tmp_path / "params_e1_i3_x.pkl"), codes), want)


# ---------------------------------------------------------------- what is found, told and assumed


def test_of_a_run_the_newest_by_epoch_and_iteration_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    for k, name in enumerate(
        ("params_e2_i300_t9.00_a.pkl", "params_e10_i2100_t0.00_a.pkl", "params_e10_i900_t8_a.pkl")
    ):
        written(tmp_path / "params", parameters(Shape(dim=4 + k)), name=name)
    assert sopilib.load(tmp_path).config.dim == 5
    assert sopilib.load(tmp_path / "params").config.dim == 5


def test_quantiser_and_rate_come_from_the_command_line_or_the_folders_name(tmp_path: Path) -> None:
    run = (
        tmp_path / "models-two_tier-two_tier32k.py-expx-n_frames64-dim6-q_levels256-q_typemu-law-batch_size128-lr0.001"
    )
    (run / "params").mkdir(parents=True)
    file = written(run / "params", parameters(Shape(q=256)))
    c = sopilib.load(file).config
    assert (c.q_type, c.sample_rate) == ("mu-law-theano", 32000)
    argv = ["models\\two_tier\\two_tier16k.py", "--dim", "6", "--q_type", "linear", "--resume"]
    (run / "args.pkl").write_bytes(pickle.dumps(argv, 0))
    with pytest.warns(SopiWarning, match="broken"):
        c = sopilib.load(file).config
    assert (c.q_type, c.sample_rate) == ("linear-theano", 16000)
    (run / "args.pkl").write_bytes(pickle.dumps(["x.py", "--dim", "1024", "--q_type", "linear"], 0))
    with pytest.warns(SopiWarning, match="args.pkl says dim 1024, but the weights are of 6"):
        assert sopilib.load(file).config.q_type == "mu-law-theano"
    (run / "args.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.warns(SopiWarning, match="args.pkl can't be read"):
        assert sopilib.load(file).config.q_type == "mu-law-theano"


def test_what_is_not_known_is_assumed_and_said(tmp_path: Path) -> None:
    file = written(tmp_path, parameters(Shape(q=256)))
    with pytest.warns(SopiWarning) as said:
        model = sopilib.load(file)
    assert [str(w.message).split(": ")[1].split(" is not")[0] for w in said] == ["q_type", "sample_rate"]
    assert (model.config.q_type, model.config.sample_rate) == ("mu-law-theano", 16000)
    model = sopilib.load(file, q_type="linear", sample_rate=32000)
    assert (model.config.q_type, model.config.sample_rate) == ("linear-theano", 32000)
    assert model.about["import"]["given"] == {"q_type": "linear", "sample_rate": 32000}
    assert sopilib.load(written(tmp_path, parameters(Shape(q=256, big=8)))).config.q_type == "linear-theano"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.pop("FrameLevel.h0"), r"FrameLevel\.h0 is missing"),
        (
            lambda p: p.update({"SampleLevel.L3.W0": np.zeros((6, 7))}),
            r"SampleLevel\.L3\.W0 has shape \(6, 7\), expected",
        ),
        (lambda p: p.update({"SampleLevel.L4.b": np.zeros(6)}), r"SampleLevel\.L4\.b is unknown"),
        (lambda p: p.update({"FrameLevel.Output.b": np.full(24, np.nan)}), r"FrameLevel\.Output\.b .*not finite"),
        (lambda p: p.update({"SampleLevel.L2.W0": np.zeros((6, 6))}), "column of zeros"),
        (lambda p: [p.pop(k) for k in list(p) if k.startswith("FrameLevel")], "one_tier"),
    ],
)
def test_what_is_wrong_with_the_weights_is_said(change: object, words: str, tmp_path: Path) -> None:
    arrays = parameters(Shape())
    change(arrays)  # type: ignore[operator]
    with pytest.raises(SopiError, match=words):
        sopilib.load(written(tmp_path, arrays))


def test_mu_law_has_256_levels(tmp_path: Path) -> None:
    with pytest.raises(SopiError, match="mu-law with 256"):
        sopilib.load(written(tmp_path, parameters(Shape())), q_type="mu-law")


def test_imported_models_play_in_8_bits_too() -> None:
    model = sopilib.load(RUN)
    reference = np.load(GENUINE / "ref.npz")["logits"]
    codes = np.load(GENUINE / "ref.npz")["sequences"]
    got = Engine(model, 2, precision="int8").teacher_force(codes)
    assert np.abs(got - reference).mean() < 0.02 * (reference.max() - reference.min())


def test_a_run_in_a_folder_with_spaces(tmp_path: Path) -> None:
    shutil.copytree(RUN, tmp_path / "my old run" / RUN.name)
    assert sopilib.load(tmp_path / "my old run" / RUN.name).config.dim == 24
