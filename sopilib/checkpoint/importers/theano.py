"""SampleRNN in Theano: the original of the paper (ICLR 2017) and Dadabots' fork, two_tier and three_tier.

A checkpoint is a pickle of {name: array}; names and shapes say everything but the quantiser and the sample rate. The
run's `args.pkl` (its command line), or the name of its folder, which repeats it, are used for these.

The equations differ from PyTorch's in the GRU (reset before the matmul; z keeps the candidate, not the past) and in the
order of the gates. With weight norm, each column of a matrix is scaled to the length g.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sopilib.checkpoint.importers.record import Options, Parameters, Record, newest
from sopilib.checkpoint.readers import pickles
from sopilib.errors import SopiError
from sopilib.model import Config, Model, fold

Floats = NDArray[np.float32]

NAME = "Theano"
DESCRIPTION = "a run folder, or a params_*.pkl, of the original or of Dadabots' SampleRNN"

MU_LAW_LEVELS = 256  # the only number of levels that its mu-law has
Q_TYPES = {"mu-law": "mu-law-theano", "linear": "linear-theano"}  # its words -> ours
DADABOTS = ("two_tier16k", "two_tier32k")  # what its scripts' names begin with
LARGEST_LOG = 1 << 16  # bytes of args.pkl


# ---------------------------------------------------------------- finding the checkpoint


def recognise(path: Path) -> bool:
    """Whether `path` is a checkpoint of SampleRNN in Theano, by its first bytes, or a folder with one."""
    return _file(path) is not None


def _file(path: Path) -> Path | None:
    """The checkpoint that `path` means: of a folder, its newest. (The hours in the names begin anew after --resume.)"""
    if os.path.isdir(path):
        return newest([path, path / "params"], r"params_e(\d+)_i(\d+)_.*\.pkl")
    if not os.path.isfile(path):
        return None
    with path.open("rb") as file:
        head = file.read(128)
    return path if re.search(rb"(Frame|Sample)Level\.", head) and head[:1] in b"(}\x80" else None


def load(path: Path, options: Options) -> Model:
    """Returns the model that a checkpoint holds, or of a folder its newest one. It takes the options sample_rate and
    q_type ("mu-law" or "linear"). Raises SopiError with what is wrong with the file or the options."""
    file = _file(path)
    assert file is not None
    record = Record(NAME, file, options, takes=("sample_rate", "q_type"))
    try:
        p = _parameters(file)
        sizes = _sizes(p)
        for name, value in sizes.items():
            record.found(name, value, "shapes")
        config = _config(file, sizes, record)
        weights = _weights(p, config)
    except SopiError as e:
        raise SopiError(f"{file}: {e}") from None
    return Model(config, weights, {"import": record.about}, name=file.stem)


def _parameters(file: Path) -> Parameters:
    value = pickles.read_file(file)
    if not isinstance(value, dict):
        raise SopiError(f"a pickle of a {type(value).__name__}, expected the parameters of a SampleRNN by name")
    arrays = {
        str(name): array.value
        for name, array in value.items()
        if isinstance(array, pickles.Array) and array.value is not None
    }
    if len(arrays) != len(value):
        raise SopiError("a pickle with more than arrays in it, expected the parameters of a SampleRNN")
    return Parameters({name: array.shape for name, array in arrays.items()}, arrays.__getitem__)


# ---------------------------------------------------------------- the config


def _sizes(p: Parameters) -> dict[str, Any]:
    """The fields of `Config` that names and shapes say."""
    layers = [
        m for name in p.shapes if (m := re.fullmatch(r"FrameLevel\.(GRU|LSTM)\d+(\+inpskip)?\.Step\.Input\.W0", name))
    ]
    if not layers:
        raise SopiError("no frame level, expected SampleRNN's two_tier or three_tier (its one_tier has no frames)")
    dim, columns = p.shape("FrameLevel.Output.W0", 2)
    frame_sizes = [_whole(columns, dim, "FrameLevel.Output.W0")]
    if "BigFrameLevel.Output.W0" in p:
        _, columns = p.shape("BigFrameLevel.Output.W0", 2)
        frame_sizes.append(frame_sizes[0] * _whole(columns, dim, "BigFrameLevel.Output.W0"))
    fused = "FrameLevel.rnn_inp_fusion.W1"
    return {
        "frame_sizes": frame_sizes,
        "dim": dim,
        "rnn_type": layers[0][1].lower(),
        "num_rnn_layers": len(layers),
        "skip_conn": any(".outskip" in name for name in p.shapes),
        "q_levels": p.shape("SampleLevel.Output.W0", 2)[1],
        "features": p.shape(fused, 2)[0] if fused in p else 0,
    }


def _whole(columns: int, dim: int, name: str) -> int:
    if not dim or columns % dim:
        raise SopiError(f"{name} has {columns} columns, expected a multiple of {dim}")
    return columns // dim


def _config(file: Path, sizes: dict[str, Any], record: Record) -> Config:
    Config(**{**sizes, "features": 0})  # no absurd ones
    script, told, source = _told(file, sizes, record)

    levels, found, where = sizes["q_levels"], told.get("q_type"), source
    if levels != MU_LAW_LEVELS:
        found, where = "linear", f"{levels} levels, and mu-law has {MU_LAW_LEVELS}"
    usual, note = ("linear", "as most") if len(sizes["frame_sizes"]) > 1 else ("mu-law", "as with Dadabots")
    q_type = str(record.choose("q_type", usual, found if found in Q_TYPES else None, where, note))
    if q_type not in Q_TYPES or (q_type == "mu-law" and levels != MU_LAW_LEVELS):
        raise SopiError(f"q_type is {q_type!r} with {levels} levels, expected linear, or mu-law with {MU_LAW_LEVELS}")
    if q_type == "linear" and script.startswith(DADABOTS) and not sizes["features"]:
        record.warn(f"{source} says that {script} quantised linearly, which is broken there: give option q_type if not")

    rate = 32000 if script.startswith("two_tier32k") else 16000 if script else None
    return Config(
        **sizes,
        q_type=Q_TYPES[q_type],
        emb_size=0,
        skip_style="full",
        sample_rate=record.choose("sample_rate", 16000, rate, f"{script}, {source}"),
        gru_reset_after=False,
        input_layer=sizes["features"] > 0,
        frame_scale=2 / (levels // 2),
        seq_len=0,
    )


def _told(file: Path, sizes: dict[str, Any], record: Record) -> tuple[str, dict[str, str], str]:
    """The script's name, its flags, and where they are from: args.pkl, else the name of the run's folder."""
    folders = (file.parent, file.parent.parent)
    for arguments in (folder / "args.pkl" for folder in folders):
        if not os.path.isfile(arguments) or arguments.stat().st_size > LARGEST_LOG:
            continue
        try:
            line = pickles.read_file(arguments)
            if not isinstance(line, list) or not all(isinstance(word, (str, bytes)) for word in line):
                raise SopiError("no command line")
            texts = [word.decode("latin-1") if isinstance(word, bytes) else word for word in line]
            words = [word for text in texts for word in text.split("=", 1)]
        except SopiError:
            record.warn(f"{arguments.name} can't be read and is left aside")
            continue
        flags = {k[2:]: v for k, v in zip(words, words[1:]) if k.startswith("--")}
        script = re.split(r"[/\\]", words[0])[-1].removesuffix(".py") if words else ""
        wrong = [k for k in ("dim", "q_levels") if flags.get(k, str(sizes[k])) != str(sizes[k])]
        if not wrong:
            return script, flags, arguments.name
        record.warn(
            f"args.pkl says {wrong[0]} {flags[wrong[0]]}, but the weights are of {sizes[wrong[0]]}: it is left aside"
        )
    for folder in folders:
        tag = re.fullmatch(r"(?:.*-)?(\w+_tier\w*)\.py-.*?-q_type-?(linear|mu-law).*", folder.resolve().name)
        if tag:
            return tag[1], {"q_type": tag[2]}, "the folder's name"
    return "", {}, ""


# ---------------------------------------------------------------- the weights


def _weights(p: Parameters, c: Config) -> dict[str, Floats]:
    d = c.dim
    out: dict[str, Floats] = {}
    tiers = ["FrameLevel", "BigFrameLevel"][: len(c.frame_sizes)]
    for i, tier in enumerate(tiers):
        n = c.frame_sizes[i]
        if c.features:
            out["tier0.input.weight"] = _matrix(p, f"{tier}.rnn_inp_fusion", n, d)
            out["tier0.input.features"] = _matrix(p, f"{tier}.rnn_inp_fusion", c.features, d, number=1)
            out["tier0.input.bias"] = p.take(f"{tier}.rnn_inp_fusion.b", d)
        elif c.has_input_layer(i):
            out[f"tier{i}.input.weight"] = _matrix(p, f"{tier}.InputExpand", n, d)
            out[f"tier{i}.input.bias"] = p.take(f"{tier}.InputExpand.b", d)
        out |= {f"tier{i}.{name}": w for name, w in _stack(p, c, tier, d if c.has_input_layer(i) else n).items()}
        r = c.ratio(i)
        out[f"tier{i}.up.weight"] = _matrix(p, f"{tier}.Output", d, r * d).reshape(r, d, d)
        out[f"tier{i}.up.bias"] = p.take(f"{tier}.Output.b", r * d).reshape(r, d)

    f, q = c.frame_sizes[0], c.q_levels
    embedding = None
    if "SampleLevel.Embedding" in p:
        embedding = p.take("SampleLevel.Embedding", q, p.shape("SampleLevel.Embedding", 2)[1])
    width = q if embedding is None else embedding.shape[1]
    convolution = _matrix(p, "SampleLevel.L1_PrevSamples", f * width, d).reshape(d, f, width).transpose(1, 2, 0)
    second = _matrix(p, "SampleLevel.L2", d, d), p.take("SampleLevel.L2.b", d)
    below = fold.below(embedding, convolution, out["tier0.up.weight"], out["tier0.up.bias"], [second])
    out["sample.tables"], out["tier0.up.weight"], out["tier0.up.bias"] = below.tables, below.up_weight, below.up_bias
    for k, (name, rows) in enumerate((("L3", d), ("Output", q))):
        out[f"sample.layer{k}.weight"] = _matrix(p, f"SampleLevel.{name}", d, rows)
        out[f"sample.layer{k}.bias"] = p.take(f"SampleLevel.{name}.b", rows)
    # trained by nothing: predictions of the big frames alone
    p.check_all_taken(but=lambda name: name.startswith("BigFrameLevel.IndependentPreds."))
    return {name: np.ascontiguousarray(w) for name, w in out.items()}


def _matrix(p: Parameters, name: str, columns: int, rows: int, number: int = 0) -> Floats:
    """[rows, columns] of `name`.W0, which is stored transposed, weight norm applied."""
    w = p.take(f"{name}.W{number}", columns, rows)
    if f"{name}.g{number}" in p:
        length = np.sqrt(np.square(w, dtype=np.float64).sum(0))
        if not length.all():
            raise SopiError(f"{name}.W{number} has a column of zeros, which weight norm can't scale")
        w *= p.take(f"{name}.g{number}", rows) / length
    return w.T


def _stack(p: Parameters, c: Config, tier: str, width: int) -> dict[str, Floats]:
    """The RNN layers of a tier whose input has `width` numbers."""
    d, kind, out = c.dim, c.rnn_type.upper(), {}
    initial = p.take(f"{tier}.h0", c.num_rnn_layers, c.state_size)
    for layer in range(c.num_rnn_layers):
        name = f"{tier}.{kind}{layer + 1}"
        skips = c.skip_conn and layer > 0
        step = f"{name}+inpskip.Step" if skips else f"{name}.Step"
        into = _matrix(p, f"{step}.Input", (width if layer == 0 else d) + (width if skips else 0), c.gates * d)
        into = _ours(into, c)
        if layer == 0:
            out["rnn0.input"] = into
        else:
            out[f"rnn{layer}.below"] = into[:, :d]
            if skips:
                out[f"rnn{layer}.input"] = into[:, d:]
        if c.rnn_type == "lstm":
            recurrent = _matrix(p, f"{step}.Recurrent_Gates", d, 4 * d)
            bias = p.take(f"{step}.b", 4 * d)
        else:
            gates = _matrix(p, f"{step}.Recurrent_Gates", d, 2 * d)
            recurrent = np.concatenate([gates, _matrix(p, f"{step}.Recurrent_Candidate", d, d)])
            bias = p.take(f"{step}.Input.b", 3 * d)
        out[f"rnn{layer}.recurrent"], out[f"rnn{layer}.bias"] = _ours(recurrent, c), _ours(bias, c)
        out[f"rnn{layer}.initial"] = initial[layer]
        if c.skip_conn:
            skip = f"{name if c.rnn_type == 'lstm' else f'{tier}.{kind}'}.outskip{layer + 1}y"
            out[f"rnn{layer}.output"] = _matrix(p, skip, d, d)
            if layer == 0:
                out["output_bias"] = p.take(f"{skip}.b", d)
    return out


def _ours(rows: Floats, c: Config) -> Floats:
    """Gates in our order. Theirs: LSTM i f o g; GRU z r candidate, whose z is 1 - ours, the sigmoid of the opposite."""
    blocks = np.split(rows, c.gates)
    order = [blocks[k] for k in (0, 1, 3, 2)] if c.rnn_type == "lstm" else [blocks[1], -blocks[0], blocks[2]]
    return np.concatenate(order)
