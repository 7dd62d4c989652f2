"""deepsound's and a2aaron's checkpoints load as they are, without torch: both forms of its files, any shape."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch_writer import (
    A2aaron,
    Deepsound,
    a2aaron_checkpoint,
    a2aaron_logits,
    a2aaron_state,
    deepsound_log_probabilities,
    deepsound_state,
)

import sopilib
from sopilib import Engine, Model, SopiError, SopiWarning, checkpoint
from sopilib.checkpoint.readers import torch_file
from sopilib.train.network import SampleRNN

FIXTURES = Path(__file__).parent / "fixtures"
DEEPSOUND, A2AARON = FIXTURES / "deepsound", FIXTURES / "a2aaron"
A2AARON_FILE = A2AARON / "fx_epoch_0_iter_100_model.pt"

pytestmark = pytest.mark.filterwarnings("ignore::sopilib.SopiWarning")


def close(got: np.ndarray, want: np.ndarray) -> None:
    assert np.abs(got - want).max() < 5e-5 + 5e-6 * np.abs(want).max()


def forced(model: Model, codes: np.ndarray, backend: str = "native") -> np.ndarray:
    engine = Engine(model, len(codes), backend, precision="auto" if backend == "torch" else "f32")
    return engine.teacher_force(codes)


def some_codes(q: int, n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, q, (2, n))


# ---------------------------------------------------------------- the systems' own files


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("name", ["best-ep2-it32", "legacy_torch02_style.ckpt"])
def test_logits_are_deepsounds(name: str, backend: str) -> None:
    reference = np.load(DEEPSOUND / "ref.npz")
    model = sopilib.load(DEEPSOUND / name)
    close(forced(model, reference["sequence"], backend), reference["log_probs"])
    assert (model.config.q_type, model.config.q_zero) == ("linear-deepsound", 16)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_logits_are_a2aarons(backend: str) -> None:
    reference = np.load(A2AARON / "ref.npz")
    model = sopilib.load(A2AARON)
    close(forced(model, reference["sequence"], backend), reference["logits"])


def test_a2aarons_quantiser_is_on_the_grid_of_its_ground_truth(recwarn: pytest.WarningsRecorder) -> None:
    reference, (sound, rate) = np.load(A2AARON / "ref.npz"), soundfile.read(A2AARON / "tiny.wav", dtype="float32")
    truth, _ = soundfile.read(A2AARON / "fx_ground_truth.wav", dtype="float32")
    for model in (sopilib.load(A2AARON_FILE), sopilib.load(A2AARON_FILE, sound=str(A2AARON / "tiny.wav"))):
        c = model.config
        assert (c.q_scale, c.q_offset) == (float(reference["scale"]), int(reference["rounded_min"]))
        assert (c.sample_rate, c.q_zero) == (rate, 132)
        for backend in ("native", "torch"):
            assert (Engine(model, backend=backend).state()["history"] == 132).all()
        codes = model.encode(sound)
        np.testing.assert_array_equal(model.decode(codes), truth)
        for row, start in zip(reference["sequence"], reference["start_index"]):
            np.testing.assert_array_equal(codes[start : start + 36], row)
    assert not recwarn.list


@pytest.mark.parametrize("peer", [DEEPSOUND / "best-ep2-it32", A2AARON_FILE])
def test_training_can_go_on(peer: Path) -> None:
    model = sopilib.load(peer)
    codes = some_codes(model.config.q_levels, 4 * model.config.lookback)
    with torch.no_grad():
        logits, _ = SampleRNN.from_model(model)(torch.as_tensor(codes))
    if model.config.log_softmax:
        logits = torch.log_softmax(logits, -1)
    close(logits.numpy(), forced(model, codes))


def test_torch_is_not_needed(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import sopilib\n"
        f"print([sopilib.load(p).config.dim for p in ({str(DEEPSOUND)!r}, {str(A2AARON)!r})])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[16, 16]\n"


# ---------------------------------------------------------------- every shape and form


@pytest.mark.parametrize(
    "shape",
    [
        Deepsound(),
        Deepsound([1]),
        Deepsound([4], n_rnn=3, weight_norm=False),
        Deepsound([2, 4], n_rnn=2),
        Deepsound([2, 2, 4], n_rnn=2, q=256),
        Deepsound([3, 2, 2, 2], dim=5, weight_norm=False, q=9),
        Deepsound([16, 4], dim=3),
    ],
    ids=lambda s: str(s).removeprefix("Deepsound"),
)
def test_every_deepsound_shape_gives_its_logits(shape: Deepsound, tmp_path: Path) -> None:
    state = deepsound_state(shape)
    codes = some_codes(shape.q, shape.sizes[-1] * 5)
    torch.save(state, tmp_path / "ep3-it90")
    model = sopilib.load(tmp_path)
    close(forced(model, codes), deepsound_log_probabilities(shape, state, codes))
    checkpoint.save(model, tmp_path / "imported.safetensors")
    np.testing.assert_array_equal(forced(sopilib.load(tmp_path / "imported.safetensors"), codes), forced(model, codes))


@pytest.mark.parametrize(
    "shape",
    [A2aaron(), A2aaron(1), A2aaron(3, 20, 3, 8, 256), A2aaron(16, layers=2, q=300), A2aaron(8, 40, 2, 3, 10)],
    ids=lambda s: str(s).removeprefix("A2aaron"),
)
def test_every_a2aaron_shape_gives_its_logits(shape: A2aaron, tmp_path: Path) -> None:
    state = a2aaron_state(shape)
    codes = some_codes(shape.q, shape.frame * 6)
    torch.save(a2aaron_checkpoint(state), tmp_path / "out_epoch_3_iter_200_model.pt")
    model = sopilib.load(tmp_path, lowest=-0.4, highest=0.7)
    close(forced(model, codes), a2aaron_logits(shape, state, codes, model.decode_table))
    checkpoint.save(model, tmp_path / "imported.safetensors")
    again = sopilib.load(tmp_path / "imported.safetensors")
    np.testing.assert_array_equal(forced(again, codes), forced(model, codes))
    np.testing.assert_array_equal(again.decode_table, model.decode_table)


@pytest.mark.parametrize("form", ["zip", "deflated", "stream"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_both_containers_and_all_number_types_are_read(form: str, kind: torch.dtype, tmp_path: Path) -> None:
    shape = Deepsound([2, 2])
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    row = torch.cat([w.flatten() for w in deepsound_state(shape).values()]).to(kind)  # as cuDNN keeps RNNs' weights
    at = 0
    for name, w in deepsound_state(shape).items():
        state[name] = row[at : at + w.numel()].view(w.shape)
        at += w.numel()
    for name in ("model.sample_level_mlp.hidden.weight_v", "model.frame_level_rnns.0.rnn.weight_hh_l0"):
        state[name] = state[name].transpose(0, 1).contiguous().transpose(0, 1)
    state["model.frame_level_rnns.1.h0"] = torch.nn.Parameter(state["model.frame_level_rnns.1.h0"])
    path = tmp_path / "ep1-it1"
    torch.save(state, path, _use_new_zipfile_serialization=form != "stream")
    if form == "deflated":
        with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as deflated:
            for name in stored.namelist():
                deflated.writestr(name, stored.read(name))
        shutil.move(tmp_path / "x", path)
    codes = some_codes(shape.q, 12)
    whole = OrderedDict((name, w.detach().double()) for name, w in state.items())
    close(forced(sopilib.load(path), codes), deepsound_log_probabilities(shape, whole, codes))


def test_tensors_come_back_as_torch_reads_them(tmp_path: Path) -> None:
    given = {
        "a": torch.randn(4, 6).t(), "b": torch.randn(2, 3, 4)[:, 1:, ::2], "c": torch.tensor(3.5),
        "d": torch.zeros(0, 3), "e": torch.arange(5), "f": torch.tensor([True, False]),
        "g": torch.arange(4, dtype=torch.uint8)[1:],
    }  # fmt: skip
    for new in (True, False):
        torch.save(given, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
        read = torch_file.read(tmp_path / "x.pt")
        for name, tensor in given.items():
            np.testing.assert_array_equal(read[name].array(), tensor.float().numpy())


# ---------------------------------------------------------------- what is found, told and assumed


def test_of_a_run_the_newest_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for k, name in enumerate(("ep9-it900", "best-ep10-it1000", "ep10-it1000", "best-ep2-it200")):
        torch.save(deepsound_state(Deepsound(dim=3 + k)), tmp_path / "checkpoints" / name)
    assert sopilib.load(tmp_path).config.dim == 5
    run = tmp_path / "a2aaron run"
    run.mkdir()
    for k, name in enumerate(("o_epoch_2_iter_900", "o_epoch_10_iter_100", "o_epoch_9_iter_1000")):
        torch.save(a2aaron_checkpoint(a2aaron_state(A2aaron(hidden=3 + k))), run / f"{name}_model.pt")
    assert sopilib.load(run).config.dim == 4


def test_a_range_that_nobody_told_is_assumed_and_said(tmp_path: Path) -> None:
    path = tmp_path / "o_epoch_1_iter_1_model.pt"
    torch.save(a2aaron_checkpoint(a2aaron_state(A2aaron(q=256))), path)
    with pytest.warns(SopiWarning, match="range of the sound.*-1 to 1 is assumed.*option sound"):
        c = sopilib.load(path).config
    assert c.q_scale == pytest.approx(-2 / 255)
    assert (c.q_offset, c.q_zero) == (-127, 127)
    soundfile.write(tmp_path / "o_ground_truth.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 9000), 22050, "FLOAT")
    with pytest.warns(SopiWarning, match=r"o_ground_truth\.wav lie on no grid"):
        assert sopilib.load(path).config.q_offset == -127
    (tmp_path / "o_ground_truth.wav").write_bytes(b"RIFF nothing")
    with pytest.warns(SopiWarning, match=r"o_ground_truth\.wav: not a readable sound file.*left aside"):
        assert sopilib.load(path).config.q_offset == -127


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
@pytest.mark.parametrize(("lowest", "highest"), [(-0.37, 0.91), (-1.0, 0.02), (0.1, 0.4)])
def test_any_ground_truth_tells_the_quantiser(lowest: float, highest: float, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "o_epoch_1_iter_1_model.pt"
    torch.save(a2aaron_checkpoint(a2aaron_state(A2aaron(q=256))), path)
    sound = np.random.default_rng(3).uniform(lowest, highest, 6000).astype(np.float32)
    sound[:2] = lowest, highest
    step = (sound.min() - sound.max()) / np.float32(255)
    codes = np.trunc(sound / step)
    truth = codes.astype(np.float32) * step
    soundfile.write(tmp_path / "o_ground_truth.wav", np.stack([truth, 0 * truth], 1), 8000, subtype)  # left counts
    model = sopilib.load(path)
    assert model.config.q_scale == pytest.approx(float(step), rel=0 if subtype == "FLOAT" else 1e-3)
    assert model.config.q_offset == codes.min()
    np.testing.assert_allclose(model.decode_table[(codes - codes.min()).astype(int)], truth, atol=2**-14)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lowest": -1.0}, "expected both"),
        ({"lowest": 1.0, "highest": -1.0}, "range of samples from 1 to -1"),
        ({"lowest": -1.0, "highest": 1.0, "sound": "x.wav"}, "expected one of them"),
        ({"sound": "nowhere.wav"}, r"nowhere\.wav"),
        ({"sound": str(A2AARON_FILE)}, "not a readable sound"),
        ({"lowest": 0.5, "highest": 0.5}, "range of samples"),
        ({"sound": 3}, "sound is 3, expected a text"),
        ({"lowest": "low", "highest": 1}, "lowest is 'low', expected a number"),
        ({"final_relu": True}, "no option for a2aaron"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(SopiError, match=words):
        sopilib.load(A2AARON_FILE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.pop("model.frame_level_rnns.0.rnn.bias_hh_l0"), "bias_hh_l0 is missing"),
        (lambda p: p.update({"model.extra": torch.zeros(2)}), r"model\.extra is unknown"),
        (lambda p: p["model.sample_level_mlp.output.bias"].fill_(float("inf")), "not finite"),
        (lambda p: p.update({"model.sample_level_mlp.hidden.bias": torch.zeros(2)}), r"shape \(2,\), expected \(6,\)"),
        (lambda p: p.update({"model.note": "hello"}), "without a module's parameters"),
    ],
)
def test_what_is_wrong_with_the_weights_is_said(change: object, words: str, tmp_path: Path) -> None:
    state = deepsound_state(Deepsound())
    change(state)  # type: ignore[operator]
    torch.save(state, tmp_path / "ep1-it1")
    with pytest.raises(SopiError, match=words):
        sopilib.load(tmp_path / "ep1-it1")


def test_a_torch_file_of_something_else_says_what_is_understood(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "x.pt")
    with pytest.raises(SopiError, match="ZIP archive of something else.*deepsound.*a2aaron"):
        sopilib.load(tmp_path / "x.pt")


def test_values_that_are_as_large_as_2_to_the_40_are_not_written_out(tmp_path: Path) -> None:
    """A list of twice the same list of twice the same list..."""
    laughs = b"]q\x01" + b"".join(
        b"](h" + bytes([k]) + b"h" + bytes([k]) + b"eq" + bytes([k + 1]) for k in range(1, 41)
    )
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    name = b"\x80\x02}X\x20\x00\x00\x00model.frame_level_rnns.0.h0xxxxxNs."
    for content in (magic + laughs + b".", magic + b"\x80\x02M\xe9\x03." + b"N." + name + laughs + b"."):
        (tmp_path / "ep1-it1").write_bytes(content + name)
        with pytest.raises(SopiError):
            sopilib.load(tmp_path / "ep1-it1")
