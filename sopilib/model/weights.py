"""The canonical model: numpy arrays plus a config. Every checkpoint, ours or a peer's, becomes one of these.

Tier 0 has the smallest frames. D = dim, W = mlp_dim, n = frame size, G = gates (GRU r z n, LSTM i f g o),
r = vectors a tier hands down per frame, V = width of those (D, or W from tier 0), q = q_levels, f = frame_sizes[0],
F = features.

    tier{i}.input.weight      [D, n]      the frame u = frame_scale * q + frame_offset, if the tier has an input layer
    tier{i}.input.bias        [D]
    tier0.input.features      [D, F]      the mean of the features of the samples that the frame predicts, if F > 0
    tier{i}.rnn{l}.input      [G*D, D|n]  from the tier's input: layer 0, and every layer if skip_style is "full"
    tier{i}.rnn{l}.below      [G*D, D]    from the layer below: layers 1 and up
    tier{i}.rnn{l}.recurrent  [G*D, D]
    tier{i}.rnn{l}.bias       [G*D]
    tier{i}.rnn{l}.candidate  [D]         GRU with reset after: the recurrent bias of n, inside the reset's product
    tier{i}.rnn{l}.initial    [D | 2D]    state at the start: h, or h then c
    tier{i}.rnn{l}.output     [D, D]      to the tier's output, with skip_conn; else the last layer is the output
    tier{i}.output_bias       [D]         with skip_conn
    tier{i}.up.weight         [r, V, D]   vector k of the frame conditions the k-th part of the next frame
    tier{i}.up.bias           [r, V]
    sample.tables             [f, q, W]   row of each of the f codes before, oldest first; they are summed
    sample.layer{k}.weight    [out, in]
    sample.layer{k}.bias      [out]       the last layer's outputs are the q logits
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sopilib.errors import SopiError
from sopilib.model.config import Config
from sopilib.model.emphasis import emphasised, undone
from sopilib.model.quantise import Codes, Floats

Array = NDArray[Any]
PLAY = {"temperature": (0.01, 5.0), "rest": (0.0, 5.0), "rest-level": (-90.0, 0.0), "min-p": (0.0, 1.0)}
"""What a model's file may say of how it is best played, by the names of messages, and from where to where."""


class Stillness(NamedTuple):
    """How still the recordings of a model ever are, as `sopilib.score.stillness` finds it."""

    below: float
    """dB: two seconds in which less moves are still."""
    longest: float
    """Seconds that the recordings stay so."""


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight of a model with this config, in the order in which they are stored."""
    c = config
    out: dict[str, tuple[int, ...]] = {}
    for i, n in enumerate(c.frame_sizes):
        t = f"tier{i}"
        d_in = c.dim if c.has_input_layer(i) else n
        if c.has_input_layer(i):
            out[f"{t}.input.weight"] = (c.dim, n)
            out[f"{t}.input.bias"] = (c.dim,)
        if i == 0 and c.features:
            out[f"{t}.input.features"] = (c.dim, c.features)
        for layer in range(c.num_rnn_layers):
            r = f"{t}.rnn{layer}"
            if layer == 0 or (c.skip_conn and c.skip_style == "full"):
                out[f"{r}.input"] = (c.gates * c.dim, d_in)
            if layer:
                out[f"{r}.below"] = (c.gates * c.dim, c.dim)
            out[f"{r}.recurrent"] = (c.gates * c.dim, c.dim)
            out[f"{r}.bias"] = (c.gates * c.dim,)
            if c.rnn_type == "gru" and c.gru_reset_after:
                out[f"{r}.candidate"] = (c.dim,)
            out[f"{r}.initial"] = (c.state_size,)
            if c.skip_conn:
                out[f"{r}.output"] = (c.dim, c.dim)
        if c.skip_conn:
            out[f"{t}.output_bias"] = (c.dim,)
        out[f"{t}.up.weight"] = (c.ratio(i), c.width_below(i), c.dim)
        out[f"{t}.up.bias"] = (c.ratio(i), c.width_below(i))
    out["sample.tables"] = (c.frame_sizes[0], c.q_levels, c.mlp_dim)
    count = len(c.sample_relu) - 1
    for k in range(count):
        rows = c.q_levels if k == count - 1 else c.mlp_dim
        out[f"sample.layer{k}.weight"] = (rows, c.mlp_dim)
        out[f"sample.layer{k}.bias"] = (rows,)
    return out


def frame_table(config: Config) -> Floats:
    """What a frame tier sees of each code, float32 [q_levels]."""
    if config.frame_input == "audio":
        return np.float32(config.frame_gain) * config.quantiser.table()
    codes = np.arange(config.q_levels, dtype=np.float32)
    return codes * np.float32(config.frame_scale) + np.float32(config.frame_offset)


@dataclass
class Model:
    """A trained SampleRNN.

    config   its shape
    weights  float32, named and shaped as the page on a model's file (docs/reference/file.md) has them
    about    what is kept in the file besides, such as the licence, how it was trained, and how it is best played
    name     that of its file

    Raises SopiError if the weights don't fit the config.
    """

    config: Config
    weights: dict[str, Array]
    about: dict[str, Any] = field(default_factory=dict)
    name: str = "model"

    def __post_init__(self) -> None:
        want = shapes(self.config)
        missing, extra = [k for k in want if k not in self.weights], [k for k in self.weights if k not in want]
        if missing or extra:
            what = f"weight {missing[0]!r} is missing" if missing else f"weight {extra[0]!r} is unknown"
            raise SopiError(f"{self.name}: {what}, so the weights don't fit the config")
        for key, shape in want.items():
            if self.weights[key].shape != shape:
                raise SopiError(
                    f"{self.name}: {key} has shape {self.weights[key].shape}, expected {shape} by the config"
                )
        self.weights = {key: self.weights[key] for key in want}
        self._decode = self.config.quantiser.table()

    @classmethod
    def random(cls, config: Config, seed: int = 0) -> Model:
        """A model with weights of a plausible size, for tests and benchmarks. The same seed gives the same weights."""
        rng = np.random.default_rng(seed)
        weights: dict[str, Array] = {}
        for key, shape in shapes(config).items():
            fan_in = shape[-1] if len(shape) > 1 else 16
            scale = 0.3 if key == "sample.tables" else 0.1 if len(shape) == 1 else 1.0
            weights[key] = (scale * rng.standard_normal(shape, dtype=np.float32) * np.float32(fan_in**-0.5)).astype(
                np.float32
            )
        return cls(config, weights, name="random")

    def encode(self, audio: object) -> Codes:
        """float audio in [-1, 1] at `config.sample_rate`, any shape -> int32 codes, same shape. Where the model has
        emphasis, time is the last axis, and each line is a whole take with silence before it."""
        c = self.config
        if c.level == 1 and not c.emphasis:
            return c.quantiser.encode(audio)
        return c.quantiser.encode(emphasised(np.asarray(audio, np.float32) / np.float32(c.level), c.emphasis))

    def decode(self, codes: object, memory: Floats | None = None) -> Floats:
        """int codes, any shape -> float32 audio in [-1, 1], same shape. Codes outside [0, q_levels) raise.

        Where the model has emphasis, time is the last axis, and each line is a whole take. To decode it block by block,
        give each block the same `memory`, which `silence` makes: it is changed to where the block ends.
        """
        checked, c = self.check_codes(codes), self.config
        if not c.emphasis:
            return self._decode[checked] if c.level == 1 else np.float32(c.level) * self._decode[checked]
        shape = checked.shape[:-1]
        memory = self.silence(*shape) if memory is None else memory
        if memory.dtype != np.float32 or memory.shape != (*shape, len(c.emphasis)):
            raise SopiError(
                f"memory is {memory.dtype} {memory.shape}, expected float32 {(*shape, len(c.emphasis))} as "
                f"model.silence{shape} gives it"
            )
        return undone(checked, self._decode, c.emphasis, c.level, memory)

    def silence(self, *shape: int) -> Floats:
        """What `decode` remembers where nothing was heard before, float32 (*shape, poles), for codes (*shape, n)."""
        return np.zeros((*shape, len(self.config.emphasis)), np.float32)

    @property
    def decode_table(self) -> Floats:
        """float32 [q_levels]: the audio value of each code, before emphasis is undone."""
        return self._decode

    def check_codes(self, codes: object) -> Codes:
        """Gives the codes as int32, copied if need be. Raises SopiError if one is outside [0, q_levels) or is no
        integer."""
        array = np.asarray(codes)
        if array.size and array.dtype.kind not in "iu":
            raise SopiError(
                f"codes are {array.dtype}, expected integers in [0, {self.config.q_levels}): use model.encode(audio)"
            )
        if array.size and (array.min() < 0 or array.max() >= self.config.q_levels):
            raise SopiError(f"codes span {array.min()} to {array.max()}, expected [0, {self.config.q_levels})")
        return np.ascontiguousarray(array, np.int32)

    @property
    def play(self) -> dict[str, float]:
        """How it is best played, as far as its file says so: `about["play"]`, with numbers for some of `PLAY`. What is
        no such number is left out."""
        said = self.about.get("play")
        found = said if isinstance(said, dict) else {}
        numbers = {name: found[name] for name in PLAY if isinstance(found.get(name), (int, float))}
        return {name: float(x) for name, x in numbers.items() if PLAY[name][0] <= x <= PLAY[name][1]}

    @property
    def stillness(self) -> Stillness | None:
        """How still its recordings ever are, if its file says so: `about["stillness"]`, {"below": dB, "longest": s}.
        None, too, where these are no such numbers."""
        said = self.about.get("stillness")
        values = [said.get(name) for name in Stillness._fields] if isinstance(said, dict) else []
        found = [float(x) for x in values if isinstance(x, (int, float)) and 0 <= x <= 3600]
        return Stillness(*found) if len(found) == 2 and found[0] > 0 else None

    @property
    def parameters(self) -> int:
        """How many weights there are."""
        return sum(w.size for w in self.weights.values())

    def __repr__(self) -> str:
        c = self.config
        skip = f", skip {c.skip_style}" if c.skip_conn else ""
        return (
            f"<Model {self.name}: {c.num_rnn_layers} {c.rnn_type} layer(s) of {c.dim} at {c.frame_sizes}{skip}, "
            f"sample level {c.mlp_dim}, {c.q_type} {c.q_levels}, {c.sample_rate} Hz, "
            f"{self.parameters / 1e6:.1f} M weights>"
        )
