"""SampleRNN in PyTorch by a2aaron: two tiers, LSTM, and a sample level without a ReLU (its code drops the results of
those that it computes), so that all of that level folds into tables and one matrix.

A checkpoint holds weights but neither the sample rate nor the quantiser, which comes from the one file trained on:
a step is its range divided by q - 1 (negative: high codes are low), code 0 its maximum. The run's `_ground_truth.wav`
is that file as codes decode to it, so its samples lie on the code grid, and it says both exactly.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from sopilib.checkpoint.importers.record import Options, Parameters, Record, newest
from sopilib.checkpoint.readers import torch_file
from sopilib.errors import SopiError
from sopilib.model import Config, Model, fold
from sopilib.names import for_library

Floats = NDArray[np.float32]

NAME = "a2aaron"
DESCRIPTION = "a run folder, or one of its *_epoch_*_iter_*_model.pt"

RNN, MLP = "frame_level_rnn", "sample_predictor"
BLOCK = 1 << 20  # samples of a sound read at once
LOUDEST = 100.0  # sample
OFF_GRID = 2.0**-13  # how far from the code grid a level may lie, as in a file of 16 bits, but no more than
OFF_GRID_STEPS = 1 / 8  # of a step


# ---------------------------------------------------------------- finding the checkpoint


def recognise(path: Path) -> bool:
    """Whether `path` is a checkpoint of a2aaron's SampleRNN, or a folder with one. Nothing in it is run."""
    file = _file(path)
    return file is not None and torch_file.mentions(file, f"{RNN}.lstm.")


def _file(path: Path) -> Path | None:
    """The checkpoint that `path` means: of a folder, its newest."""
    if os.path.isdir(path):
        return newest([path], r".*_epoch_(\d+)_iter_(\d+)_model\.pt")
    return path if os.path.isfile(path) else None


def load(path: Path, options: Options) -> Model:
    """Returns the model that a checkpoint holds, or of a folder its newest one. It takes the options sample_rate, and
    sound or lowest and highest. Raises SopiError with what is wrong with the file or the options."""
    file = _file(path)
    assert file is not None
    record = Record(NAME, file, options, takes=("sample_rate", "sound", "lowest", "highest"))
    try:
        value = torch_file.read(file)
        p = torch_file.parameters(value.get("model", value) if isinstance(value, dict) else value)
        sizes = _sizes(p)
        for name, value in sizes.items():
            record.found(name, value, "shapes")
        Config(**sizes)  # no absurd ones
        quantiser = _quantiser(file, sizes["q_levels"], options, record)
        config = Config(
            **sizes,
            seq_len=0,
            q_type="affine",
            q_scale=quantiser.step,
            q_offset=quantiser.offset,
            emb_size=0,
            sample_rate=record.choose("sample_rate", 16000, quantiser.rate, quantiser.source),
            mlp_dim=sizes["q_levels"],
            input_layer=False,
            frame_scale=2 * quantiser.step,
            frame_offset=2 * quantiser.step * quantiser.offset,
            sample_relu=[False],
        )
        weights = _weights(p, config)
    except SopiError as e:
        raise SopiError(f"{file}: {e}") from None
    return Model(config, weights, {"import": record.about}, name=file.stem)


def _sizes(p: Parameters) -> dict[str, Any]:
    """The fields of `Config` that names and shapes say."""
    rows, frame = p.shape(f"{RNN}.lstm.weight_ih_l0", 2)
    return {
        "frame_sizes": [frame],
        "dim": rows // 4,
        "rnn_type": "lstm",
        "num_rnn_layers": len([n for n in p.shapes if re.fullmatch(rf"{RNN}\.lstm\.weight_hh_l\d+", n)]),
        "q_levels": p.shape(f"{MLP}.embed.weight", 2)[0],
    }


# ---------------------------------------------------------------- the quantiser


class Quantiser(NamedTuple):
    """How codes become audio: a code plus `offset`, times `step`; and what told so."""

    step: float
    """How much louder or softer, in audio of -1 to 1, a code is than the one before it; negative: softer."""
    offset: int
    """What is added to a code: audio is (code + offset) * step."""
    rate: int | None = None
    """Samples a second, if a sound told it."""
    source: str = ""
    """The file that said this; empty: nobody did."""


def _quantiser(file: Path, q: int, options: Options, record: Record) -> Quantiser:
    """From what the user gave, else the run's ground truth, else full scale, with a warning."""
    if options.lowest is not None or options.highest is not None:
        if options.sound is not None:
            raise SopiError("both a sound and a range are given, expected one of them")
        if options.lowest is None or options.highest is None:
            raise SopiError("one of lowest and highest is given, expected both: the range of the sound trained on")
        return Quantiser(*_of_range(options.lowest, options.highest, q))
    if options.sound is not None:
        sound = Path(os.path.expanduser(options.sound))
        heard = _heard(sound, q)
        known = Quantiser(
            *(_grid(heard.levels, q) or _of_range(heard.lowest, heard.highest, q)), heard.rate, sound.name
        )
    else:
        known = _of_ground_truth(file, q, record)
    if known.source:
        record.found("q_scale", known.step, known.source)
        record.found("q_offset", known.offset, known.source)
    return known


def _of_ground_truth(file: Path, q: int, record: Record) -> Quantiser:
    """That of the run, which has the same name up to the epoch, or is the only one in the folder."""
    own = file.with_name(re.split(r"_epoch_\d+_iter_", file.name)[0] + "_ground_truth.wav")
    found = [own] if os.path.isfile(own) else list(file.parent.glob("*_ground_truth.wav"))
    if len(found) == 1:
        try:
            heard = _heard(found[0], q)
            grid = _grid(heard.levels, q)
            if grid:
                return Quantiser(*grid, heard.rate, found[0].name)
            record.warn(f"the samples of {found[0].name} lie on no grid of {q} codes, it is left aside")
        except SopiError as e:
            record.warn(f"{e}, it is left aside")
    record.warn(
        "the range of the sound that it was trained on is not known, -1 to 1 is assumed: else give option sound"
    )
    return Quantiser(*_of_range(-1.0, 1.0, q))


def _of_range(lowest: float, highest: float, q: int) -> tuple[float, int]:
    """As the system quantises a file with these extremes, in float32."""
    low, high = np.float32(lowest), np.float32(highest)
    if not -LOUDEST <= low < high <= LOUDEST:
        raise SopiError(f"a range of samples from {low:g} to {high:g}, expected one like -1 to 1")
    step = (low - high) / np.float32(q - 1)
    return float(step), int(np.trunc(high / step))


class Heard(NamedTuple):
    """What the left channel of a sound says."""

    lowest: float
    highest: float
    levels: Floats | None
    """The values that samples take, ascending; None: more than there are codes."""
    rate: int


def _heard(path: Path, q: int) -> Heard:
    lowest, highest = math.inf, -math.inf
    levels: Floats | None = np.empty(0, np.float32)
    try:
        with soundfile.SoundFile(for_library(path)) as sound:
            for block in sound.blocks(BLOCK, dtype="float32", always_2d=True):
                left = block[:, 0]
                lowest, highest = min(lowest, float(left.min())), max(highest, float(left.max()))
                if levels is not None:
                    levels = np.union1d(levels, left)
                    levels = levels if len(levels) <= q else None
            rate = sound.samplerate
    except (soundfile.LibsndfileError, RuntimeError, OSError) as e:
        raise SopiError(f"{path}: not a readable sound file ({e})") from None
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise SopiError(f"{path}: no samples, or some that are not finite")
    return Heard(lowest, highest, levels, rate)


def _grid(levels: Floats | None, q: int) -> tuple[float, int] | None:
    """Step and offset of decoded audio with these levels; None if they are on no grid. The whole range is q - 1 steps,
    of which rounding towards zero at both ends leaves from q - 2 to q."""
    if levels is None or len(levels) < 2:
        return None
    for steps in (q - 1, q - 2, q):
        step = (float(levels[0]) - float(levels[-1])) / max(steps, 1)
        numbers = np.rint(levels / step)
        if np.abs(levels - numbers * step).max() < min(OFF_GRID, OFF_GRID_STEPS * abs(step)):
            farthest = int(np.abs(numbers).argmax())
            near = np.float32(levels[farthest] / numbers[farthest])
            # of the few float32 that round to this level, the one that gives all of them
            exact = [s for s in _neighbours(near) if np.array_equal(numbers.astype(np.float32) * s, levels)]
            return float((exact or [near])[0]), int(numbers.min())
    return None


def _neighbours(x: np.float32) -> list[np.float32]:
    """x and the two float32 on each side of it."""
    below, above = (np.nextafter(x, np.float32(end)) for end in (-1, 1))
    return [x, below, above, np.nextafter(below, np.float32(-1)), np.nextafter(above, np.float32(1))]


# ---------------------------------------------------------------- the weights


def _weights(p: Parameters, c: Config) -> dict[str, Floats]:
    d, q, f = c.dim, c.q_levels, c.frame_sizes[0]
    out: dict[str, Floats] = {}
    for layer in range(c.num_rnn_layers):
        rnn, lstm = f"tier0.rnn{layer}", f"{RNN}.lstm"
        into = p.take(f"{lstm}.weight_ih_l{layer}", 4 * d, d if layer else f)
        out[f"{rnn}.below" if layer else f"{rnn}.input"] = into
        out[f"{rnn}.recurrent"] = p.take(f"{lstm}.weight_hh_l{layer}", 4 * d, d)
        out[f"{rnn}.bias"] = p.take(f"{lstm}.bias_ih_l{layer}", 4 * d) + p.take(f"{lstm}.bias_hh_l{layer}", 4 * d)
        out[f"{rnn}.initial"] = np.zeros(2 * d, np.float32)
    up, up_bias = p.take(f"{RNN}.linear.weight", f * d, d), p.take(f"{RNN}.linear.bias", f * d)

    embedding = p.take(f"{MLP}.embed.weight", q, p.shape(f"{MLP}.embed.weight", 2)[1])
    width = embedding.shape[1]
    first = p.take(f"{MLP}.linear_1.weight", d, f * width).reshape(d, f, width).transpose(1, 2, 0)
    first_bias = p.take(f"{MLP}.linear_1.bias", d)
    rest = [
        (p.take(f"{MLP}.linear_{k}.weight", rows, d), p.take(f"{MLP}.linear_{k}.bias", rows))
        for k, rows in ((2, d), (3, d), (4, q))
    ]
    p.check_all_taken()
    below = fold.below(embedding, first, up.reshape(f, d, d), up_bias.reshape(f, d) + first_bias, rest)
    out["sample.tables"], out["tier0.up.weight"], out["tier0.up.bias"] = below.tables, below.up_weight, below.up_bias
    return out
