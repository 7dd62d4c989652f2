"""PRiSM and SOPI SampleRNN (TensorFlow 2): the folder of a run, or a file or the prefix of one of its checkpoints.

The weights' shapes say everything but the quantiser (linear if there are not 256 levels, else not known) and the sample
rate. A `*.config.json` or `args.txt` beside the checkpoint is used for these; where it contradicts the shapes, the
shapes count. The system starts to generate from the states that random weights left behind; here it starts from zeros.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sopilib.checkpoint.importers.record import Options, Parameters, Record
from sopilib.checkpoint.readers.tensor_bundle import Bundle
from sopilib.errors import SopiError
from sopilib.model import Config, Model, fold

Floats = NDArray[np.floating[Any]]

NAME = "PRiSM"
DESCRIPTION = "a run's folder, or the .index or .data file or the prefix of a TensorFlow 2 checkpoint"

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
TIERS = ("frame_rnn", "big_frame_rnn")
MU_LAW_LEVELS = 256  # the only number of levels that its mu-law has
Q_TYPES = {"mu-law": "mu-law", "linear": "linear-prism"}  # its words -> ours
SINCE_RELU = "3 December 2020"  # since then no ReLU stands after the last layer
LARGEST_TEXT = 1 << 20  # bytes
LONGEST_SEQ = 1 << 20  # samples


# ---------------------------------------------------------------- finding the checkpoint


def _is_prefix(path: Path) -> bool:
    """Whether `path` is what the names of a checkpoint's files begin with."""
    return os.path.isfile(f"{path}.index")


def recognise(path: Path) -> bool:
    """Whether `path` is a checkpoint of PRiSM's SampleRNN, by the names of its files, or a folder with one."""
    return _prefix(path) is not None


def _prefix(path: Path) -> Path | None:
    """The checkpoint that `path` means: of a folder, its newest."""
    if os.path.isdir(path):
        return _newest(path)
    if _is_prefix(path):
        return path
    stem = re.fullmatch(r"(.+)\.(index|data-\d{5}-of-\d{5})", path.name)
    if stem:
        return path.with_name(stem[1])
    return _newest(path.parent) if path.name == "checkpoint" and b"model_checkpoint_path" in _head(path) else None


def _newest(folder: Path) -> Path | None:
    """Of a run's folder; or of the folder of several runs, named by their dates, that of the last one that has any."""
    runs = {when: run for run in folder.glob("*_*") if (when := _date(run.name)) and run.is_dir()}
    folders = [folder, *(runs[when] for when in sorted(runs, reverse=True))]
    return next(filter(None, map(_newest_of_run, folders)), None)


def _newest_of_run(run: Path) -> Path | None:
    """What the file `checkpoint` names, if it is there, else the highest number."""
    named = re.search(rb'^model_checkpoint_path: *"([^"]+)"', _head(run / "checkpoint"), re.M)
    if named:
        # a path on the machine that trained it, perhaps
        prefix = run / re.split(r"[/\\]", named[1].decode(errors="replace"))[-1]
        if _is_prefix(prefix):
            return prefix

    def number(index: Path) -> int:
        digits = re.search(r"-(\d{1,18})\.index$", index.name)
        return int(digits[1]) if digits else -1

    found = max(sorted(run.glob("*.index")), key=number, default=None)
    return found.with_suffix("") if found else None


def _date(name: str) -> datetime | None:
    """When a run began, as the name of its folder says; None if it doesn't."""
    try:
        return datetime.strptime(name, "%d.%m.%Y_%H.%M.%S")
    except ValueError:
        return None


def _head(path: Path) -> bytes:
    """The file's first bytes; none if it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_TEXT)
    except OSError:
        return b""


# ---------------------------------------------------------------- what its files say


def load(path: Path, options: Options) -> Model:
    """Returns the model that a checkpoint holds, or of a folder its newest one. It takes the options sample_rate,
    q_type ("mu-law" or "linear") and final_relu. Raises SopiError with what is wrong with the files or the options."""
    prefix = _prefix(path)
    assert prefix is not None
    record = Record(NAME, prefix, options, takes=("sample_rate", "q_type", "final_relu"))
    bundle = Bundle(prefix)
    shapes = {
        name.removesuffix(SUFFIX): entry.shape
        for name, entry in bundle.entries.items()
        if name.endswith(SUFFIX) and "/.OPTIMIZER_SLOT/" not in name and name.startswith((*TIERS, "sample_mlp"))
    }
    p = Parameters(shapes, lambda name: bundle.read(name + SUFFIX))
    try:
        sizes = _sizes(p)
        for name, value in sizes.items():
            record.found(name, value, "shapes")
        config = _config(prefix.parent, sizes, record)
        weights = _weights(p, config)
    except SopiError as e:
        raise SopiError(f"{prefix}: {e}") from None
    return Model(config, weights, {"import": record.about}, name=prefix.name)


def _sizes(p: Parameters) -> dict[str, Any]:
    """The fields of `Config` that the shapes say."""
    if "sample_mlp/embedding/embeddings" not in p:
        raise SopiError("a TensorFlow checkpoint without sample_mlp/embedding/embeddings, expected PRiSM's SampleRNN")
    (small, dim), (large, _) = (p.shape(f"{tier}/inputs/kernel", 2) for tier in TIERS)
    bias = "frame_rnn/rnn/layer_0/cell/bias"
    return {
        "frame_sizes": [small, large],
        "dim": dim,
        "rnn_type": "gru" if len(p.shapes.get(bias, ())) == 2 else "lstm",
        "num_rnn_layers": sum(bool(re.fullmatch(r"frame_rnn/rnn/layer_\d+/cell/kernel", name)) for name in p.shapes),
        "q_levels": p.shape("sample_mlp/embedding/embeddings", 2)[0],
        "skip_conn": "frame_rnn/rnn/layer_0_skip_out/kernel" in p,
    }


def _config(run: Path, sizes: dict[str, Any], record: Record) -> Config:
    """The config of a checkpoint with these sizes, from what lies beside it in the folder `run`, and the options."""
    Config(**sizes)  # no absurd ones
    lookback = sizes["frame_sizes"][-1]
    told, source = _told(run, sizes, record)

    seq_len = told.get("seq_len")
    if not isinstance(seq_len, int) or not lookback <= seq_len <= LONGEST_SEQ or seq_len % lookback:
        seq_len = 0

    q_type, levels = str(told.get("q_type")).lower(), sizes["q_levels"]
    if levels != MU_LAW_LEVELS:
        q_type, source = "linear", f"{levels} levels, and mu-law has {MU_LAW_LEVELS}"
    q_type = str(record.choose("q_type", "mu-law", q_type if q_type in Q_TYPES else None, source))
    if q_type not in Q_TYPES or (q_type == "mu-law" and levels != MU_LAW_LEVELS):
        raise SopiError(f"q_type is {q_type!r} with {levels} levels, expected linear, or mu-law with {MU_LAW_LEVELS}")

    rate = re.search(rb"--sample_rate[ =](\d{1,9})\b", _head(run / "args.txt"))
    final_relu = record.choose("final_relu", False, note=f"as PRiSM has it since {SINCE_RELU}")
    return Config(
        **sizes,
        seq_len=seq_len,
        q_type=Q_TYPES[q_type],
        emb_size=0,
        sample_rate=record.choose(
            "sample_rate", 22050, int(rate[1]) if rate else None, "args.txt", "as PRiSM plays unless told"
        ),
        sample_relu=[True, True, final_relu],
    )


def _told(run: Path, sizes: dict[str, Any], record: Record) -> tuple[dict[str, Any], str]:
    """The run's `*.config.json` and its name; of several, the one that contradicts the shapes least."""

    def contradictions(told: dict[str, Any]) -> list[str]:
        told = {**told, "rnn_type": str(told.get("rnn_type") or sizes["rnn_type"]).lower()}
        return [name for name, value in sizes.items() if told.get(name) not in (None, value)]

    found = {}
    for path in sorted(run.glob("*.config.json")):
        try:
            values = json.loads(_head(path))
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            found[path.name] = values
        else:
            record.warn(f"{path.name} is not a JSON object and is left aside")
    if not found:
        return {}, ""
    source = min(found, key=lambda name: len(contradictions(found[name])))
    told = found[source]
    for name in contradictions(told):
        record.warn(f"{source} says {name} {told[name]!r}, but the weights are of {sizes[name]}, which counts")
    return told, source


# ---------------------------------------------------------------- the weights


def _weights(p: Parameters, c: Config) -> dict[str, Floats]:
    d, out = c.dim, {}
    for i, tier in enumerate(TIERS):
        out[f"tier{i}.input.weight"] = _rows(p.take(f"{tier}/inputs/kernel", c.frame_sizes[i], d))
        out[f"tier{i}.input.bias"] = p.take(f"{tier}/inputs/bias", d)
        for layer in range(c.num_rnn_layers):
            name, of = f"tier{i}.rnn{layer}", f"{tier}/rnn/layer_{layer}"
            twice = c.skip_conn and layer == 0  # it takes the tier's input twice
            kernel = p.take(f"{of}/cell/kernel", (2 if twice else 1) * d, c.gates * d)
            out[f"{name}.{'below' if layer else 'input'}"] = _gates(c, kernel[:d] + kernel[d:] if twice else kernel)
            out[f"{name}.recurrent"] = _gates(c, p.take(f"{of}/cell/recurrent_kernel", d, c.gates * d))
            if c.rnn_type == "lstm":
                out[f"{name}.bias"] = p.take(f"{of}/cell/bias", 4 * d)
            else:
                of_input, of_state = _gates(c, p.take(f"{of}/cell/bias", 2, 3 * d)).T
                out[f"{name}.bias"] = of_input + np.where(np.arange(3 * d) < 2 * d, of_state, 0)
                out[f"{name}.candidate"] = of_state[2 * d :]
            out[f"{name}.initial"] = np.zeros(c.state_size)
            if c.skip_conn:
                out[f"{name}.output"] = _rows(p.take(f"{of}_skip_out/kernel", d, d))
        if c.skip_conn:
            out[f"tier{i}.output_bias"] = p.take(f"{tier}/rnn/layer_0_skip_out/bias", d)
        out[f"tier{i}.up.weight"] = p.take(f"{tier}/upsample", c.ratio(i), d, d).astype(np.float32)
        out[f"tier{i}.up.bias"] = np.zeros((c.ratio(i), d))

    def layer_of_sample(name: str, width: int) -> tuple[Floats, Floats]:
        return _rows(p.take(f"sample_mlp/{name}/kernel", d, width)), p.take(f"sample_mlp/{name}/bias", width)

    out["sample.tables"], out["tier0.up.weight"], out["tier0.up.bias"] = fold.below(
        p.take("sample_mlp/embedding/embeddings", c.q_levels, c.q_levels),
        p.take("sample_mlp/inputs/kernel", c.frame_sizes[0], c.q_levels, d),
        out["tier0.up.weight"],
        out["tier0.up.bias"],
        [layer_of_sample("hidden1", d)],
    )
    for k, (name, width) in enumerate((("hidden2", d), ("outputs", c.q_levels))):
        out[f"sample.layer{k}.weight"], out[f"sample.layer{k}.bias"] = layer_of_sample(name, width)
    p.check_all_taken()
    return {name: np.ascontiguousarray(w, np.float32) for name, w in out.items()}


def _rows(kernel: Floats) -> Floats:
    """Keras's [in, out] -> [out, in]."""
    return np.ascontiguousarray(kernel.T, np.float32)


def _gates(config: Config, kernel: Floats) -> Floats:
    """Keras's [in, G*D] -> [G*D, in]: of a GRU, the blocks z r n become r z n."""
    if config.rnn_type == "gru":
        z, r, n = np.split(kernel, 3, axis=1)
        kernel = np.concatenate([r, z, n], axis=1)
    return _rows(kernel)
