"""SampleRNN in PyTorch by deepsound: any number of frame tiers, GRUs.

A checkpoint is the module's state as torch.save wrote it, of any age; names and shapes say everything but the sample
rate. With weight norm (of convolutions only), a weight is v scaled to the length g for each index of its first axis.
The quantiser is always linear.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sopilib.checkpoint.importers.record import Options, Parameters, Record, newest
from sopilib.checkpoint.readers import torch_file
from sopilib.errors import SopiError
from sopilib.model import Config, Model, fold

Floats = NDArray[np.float32]

NAME = "deepsound"
DESCRIPTION = "a run folder, or one of the files in its checkpoints/ such as best-ep9-it900"

PREFIX = "model."
MLP = f"{PREFIX}sample_level_mlp"


# ---------------------------------------------------------------- finding the checkpoint


def recognise(path: Path) -> bool:
    """Whether `path` is a checkpoint of deepsound's SampleRNN, or a folder with one. Nothing in it is run."""
    file = _file(path)
    return file is not None and torch_file.mentions(file, f"{PREFIX}frame_level_rnns.")


def _file(path: Path) -> Path | None:
    """The checkpoint that `path` means: of a folder, its newest."""
    if os.path.isdir(path):
        return newest([path, path / "checkpoints"], r"(?:best-)?ep(\d+)-it(\d+)")
    return path if os.path.isfile(path) else None


def load(path: Path, options: Options) -> Model:
    """Returns the model that a checkpoint holds, or of a folder its newest one. It takes the option sample_rate. Raises
    SopiError with what is wrong with the file or the option."""
    file = _file(path)
    assert file is not None
    record = Record(NAME, file, options, takes=("sample_rate",))
    try:
        p = torch_file.parameters(torch_file.read(file))
        sizes = _sizes(p)
        for name, value in sizes.items():
            record.found(name, value, "shapes")
        Config(**sizes)  # no absurd ones
        config = Config(
            **sizes,
            seq_len=0,
            q_type="linear-deepsound",
            log_softmax=True,
            emb_size=0,
            sample_rate=record.choose("sample_rate", 16000),
        )
        weights = _weights(p, config)
    except SopiError as e:
        raise SopiError(f"{file}: {e}") from None
    return Model(config, weights, {"import": record.about}, name=file.name)


def _sizes(p: Parameters) -> dict[str, Any]:
    """The fields of `Config` that names and shapes say. Tier 0 is the fastest, as in ours."""
    tiers = len([name for name in p.shapes if re.fullmatch(rf"{PREFIX}frame_level_rnns\.\d+\.h0", name)])
    layers, dim = p.shape(f"{PREFIX}frame_level_rnns.0.h0", 2)
    return {
        "frame_sizes": [_shape(p, f"{PREFIX}frame_level_rnns.{i}.input_expand", 3)[1] for i in range(tiers)],
        "dim": dim,
        "rnn_type": "gru",
        "num_rnn_layers": layers,
        "q_levels": p.shape(f"{MLP}.embedding.weight", 2)[0],
    }


# ---------------------------------------------------------------- the weights


def _shape(p: Parameters, name: str, axes: int) -> tuple[int, ...]:
    return p.shape(f"{name}.weight_v" if f"{name}.weight_v" in p else f"{name}.weight", axes)


def _kernel(p: Parameters, name: str, *shape: int) -> Floats:
    """A convolution's weight, weight norm applied."""
    if f"{name}.weight_v" not in p:
        return p.take(f"{name}.weight", *shape)
    v, g = p.take(f"{name}.weight_v", *shape), p.take(f"{name}.weight_g", shape[0], 1, 1)
    length = np.sqrt(np.square(v, dtype=np.float64).sum((1, 2), keepdims=True))
    if not length.all():
        raise SopiError(f"{name}.weight_v has a channel of zeros, which weight norm can't scale")
    v *= g / length
    return v


def _weights(p: Parameters, c: Config) -> dict[str, Floats]:
    d, q, f = c.dim, c.q_levels, c.frame_sizes[0]
    out: dict[str, Floats] = {}
    for i, n in enumerate(c.frame_sizes):
        tier, r = f"{PREFIX}frame_level_rnns.{i}", c.ratio(i)
        out[f"tier{i}.input.weight"] = _kernel(p, f"{tier}.input_expand", d, n, 1)[:, :, 0]
        out[f"tier{i}.input.bias"] = p.take(f"{tier}.input_expand.bias", d)
        initial = p.take(f"{tier}.h0", c.num_rnn_layers, d)
        for layer in range(c.num_rnn_layers):
            rnn = f"tier{i}.rnn{layer}"
            out[f"{rnn}.below" if layer else f"{rnn}.input"] = p.take(f"{tier}.rnn.weight_ih_l{layer}", 3 * d, d)
            out[f"{rnn}.recurrent"] = p.take(f"{tier}.rnn.weight_hh_l{layer}", 3 * d, d)
            bias, hidden_bias = (p.take(f"{tier}.rnn.bias_{part}_l{layer}", 3 * d) for part in ("ih", "hh"))
            bias[: 2 * d] += hidden_bias[: 2 * d]
            out[f"{rnn}.bias"], out[f"{rnn}.candidate"] = bias, hidden_bias[2 * d :]
            out[f"{rnn}.initial"] = initial[layer]
        out[f"tier{i}.up.weight"] = _kernel(p, f"{tier}.upsampling.conv_t", d, d, r).transpose(2, 1, 0)
        out[f"tier{i}.up.bias"] = p.take(f"{tier}.upsampling.bias", d, r).T

    embedding = p.take(f"{MLP}.embedding.weight", q, q)
    convolution = _kernel(p, f"{MLP}.input", d, q, f).transpose(2, 1, 0)
    out["sample.tables"] = fold.below(embedding, convolution, out["tier0.up.weight"], out["tier0.up.bias"]).tables
    for k, (name, rows) in enumerate((("hidden", d), ("output", q))):
        out[f"sample.layer{k}.weight"] = _kernel(p, f"{MLP}.{name}", rows, d, 1)[:, :, 0]
        out[f"sample.layer{k}.bias"] = p.take(f"{MLP}.{name}.bias", rows)
    p.check_all_taken()
    return {name: np.ascontiguousarray(w) for name, w in out.items()}
