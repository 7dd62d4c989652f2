"""What a model is, in the words of the course's `*.config.json`."""

from __future__ import annotations

import dataclasses
import math
import numbers
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sopilib.errors import SopiError
from sopilib.model.quantise import CENTRED, QUANTISERS, Quantiser

RNN_TYPES = ("gru", "lstm")
SKIP_STYLES = ("output", "full")
FRAME_INPUTS = ("code", "audio")
_LARGEST = {
    "seq_len": 1 << 20,
    "dim": 1 << 14,
    "num_rnn_layers": 64,
    "q_levels": 4096,
    "sample_rate": 1 << 20,
    "mlp_dim": 1 << 14,
}
_MOST_FEATURES = 1 << 12
MOST_POLES = 2


def _need(ok: bool, what: str) -> None:
    if not ok:
        raise SopiError(f"config: {what}")


def _is_whole(x: object) -> bool:
    return isinstance(x, int) and not isinstance(x, bool)


def _is_number(x: object) -> bool:
    return isinstance(x, numbers.Real) and not isinstance(x, bool) and math.isfinite(x)


@dataclass(frozen=True)
class Config:
    """The shape of a SampleRNN.

    `frame_sizes` are the samples in a frame of each frame tier, ascending, each a multiple of the one before. The
    sample level looks back `frame_sizes[0]` samples; a model looks back `lookback` = `frame_sizes[-1]`.

    Raises SopiError that names a field if its value is impossible.
    """

    seq_len: int = 1024
    """Samples per truncated back-propagation, a multiple of the largest frame; 0: the least such from 1024 up."""
    frame_sizes: list[int] = field(default_factory=lambda: [16, 64])
    dim: int = 1024
    """Width of every frame tier's RNN."""
    rnn_type: str = "gru"
    num_rnn_layers: int = 1
    """RNN layers in each tier."""
    q_type: str = "mu-law"
    q_levels: int = 256
    q_scale: float = 0.0
    q_offset: int = 0
    """Of q_type "affine", where audio is (code + q_offset) * q_scale."""
    emphasis: list[float] = field(default_factory=list)
    """Shares a of the sample before that are taken from each sample before it is coded, x[n] - a x[n-1] for each of
    these poles in turn, and that come back where it is heard. None: samples are coded as they are. Poles of 0 are left
    out."""
    level: float = 1.0
    """What is heard is so many times what was coded."""
    emb_size: int = 256
    """Width of the code embedding that folds into the sample level's tables; 0: the tables are trained directly."""
    skip_conn: bool = False
    sample_rate: int = 16000
    """Hz. Not in the older systems' files, hence their octave errors."""
    mlp_dim: int = 0
    """Width of the sample level; 0: `dim`."""
    skip_style: str = "output"
    """With `skip_conn`: "output" sums every layer into the tier's output (PRiSM); "full" also feeds the tier's
    input to every layer (Theano)."""
    gru_reset_after: bool = True
    """The reset gate multiplies after the recurrent matmul (PyTorch, Keras) or before it (Theano)."""
    input_layer: bool = True
    """A linear layer takes the frame (and the upper tier's output is added to it); False: the largest frame goes
    straight into its RNN (Theano, a2aaron)."""
    features: int = 0
    """Conditioning features per sample, such as loudness; the lowest tier hears their mean over the frame ahead."""
    frame_input: str = "code"
    """What a frame tier sees of a sample, u: "code", as the older systems do, or "audio", the sample itself. They
    differ where the levels are not even: of mu-law codes an RNN can't tell a sum of tones as easily as of audio."""
    frame_gain: float = 2.0
    """With `frame_input` "audio", u = frame_gain * the sample as it is coded, before emphasis is undone."""
    frame_scale: float = 0.0
    frame_offset: float = -2.0
    """With `frame_input` "code", u = frame_scale * code + frame_offset. Scale 0: 4 / q_levels, so that u is in
    [-2, 2)."""
    sample_relu: list[bool] = field(default_factory=lambda: [True, True, False])
    """ReLU after the sum of tables and conditioning, then after each layer of the sample level. No layers: the sum is
    the logits."""
    log_softmax: bool = False
    """The logits are log-probabilities (deepsound): what `Engine.teacher_force` gives is normalised."""

    def __post_init__(self) -> None:
        set_, need = object.__setattr__, _need
        for name in ("frame_sizes", "emphasis", "sample_relu"):
            value = getattr(self, name)
            need(isinstance(value, list | tuple), f"{name} is {value!r}, expected a list")
        need(
            all(_is_number(n) and n % 1 == 0 for n in self.frame_sizes),
            f"frame_sizes is {self.frame_sizes!r}, expected whole numbers",
        )
        need(all(map(_is_number, self.emphasis)), f"emphasis is {self.emphasis!r}, expected numbers")
        flags = [(name, getattr(self, name)) for name in ("skip_conn", "gru_reset_after", "input_layer", "log_softmax")]
        for name, value in [*flags, *(("sample_relu", each) for each in self.sample_relu)]:
            need(isinstance(value, bool | np.bool_), f"{name} is {value!r}, expected true or false")
        set_(self, "rnn_type", str(self.rnn_type).lower())
        set_(self, "frame_sizes", [int(n) for n in self.frame_sizes])
        set_(self, "emphasis", [float(a) for a in self.emphasis if a != 0])
        set_(self, "sample_relu", [bool(r) for r in self.sample_relu])
        if self.seq_len == 0 and self.frame_sizes and self.lookback > 0:
            set_(self, "seq_len", self.lookback * -(-1024 // self.lookback))
        if self.mlp_dim == 0:
            set_(self, "mlp_dim", self.dim)
        if self.frame_scale == 0 and _is_whole(self.q_levels) and self.q_levels:
            set_(self, "frame_scale", 4.0 / self.q_levels)
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            need(
                _is_whole(value) and 0 < value <= most,
                f"{name} is {value!r}, expected a whole number from 1 to {most}",
            )
        need(_is_whole(self.emb_size) and self.emb_size >= 0, f"emb_size is {self.emb_size!r}, expected 0 or more")
        sizes = self.frame_sizes
        need(
            bool(sizes) and all(n > 0 for n in sizes) and all(b % a == 0 and b > a for a, b in zip(sizes, sizes[1:])),
            f"frame_sizes is {sizes}, expected ascending sizes, each a multiple of the one before",
        )
        need(self.lookback <= 1 << 16, f"frame_sizes is {sizes}, expected at most 65536 samples in a frame")
        need(self.rnn_type in RNN_TYPES, f"rnn_type is {self.rnn_type!r}, expected one of {', '.join(RNN_TYPES)}")
        self._check_coding()
        need(self.skip_style in SKIP_STYLES, f"skip_style is {self.skip_style!r}, expected {' or '.join(SKIP_STYLES)}")
        need(
            self.frame_input in FRAME_INPUTS,
            f"frame_input is {self.frame_input!r}, expected {' or '.join(FRAME_INPUTS)}",
        )
        need(
            _is_whole(self.features) and 0 <= self.features <= _MOST_FEATURES,
            f"features is {self.features!r}, expected a whole number from 0 to {_MOST_FEATURES}",
        )
        need(not self.features or self.has_input_layer(0), "features need an input layer in the lowest tier")
        need(
            0 < len(self.sample_relu) <= 65,
            f"sample_relu has {len(self.sample_relu)} entries, expected one for the sum and each of up to 64 layers",
        )
        need(
            len(self.sample_relu) > 1 or self.mlp_dim == self.q_levels,
            f"mlp_dim is {self.mlp_dim}, expected q_levels ({self.q_levels}) without layers in the sample level",
        )

    def _check_coding(self) -> None:
        _need(self.q_type in tuple(QUANTISERS), f"q_type is {self.q_type!r}, expected one of {', '.join(QUANTISERS)}")
        _need(2 <= self.q_levels <= 4096, f"q_levels is {self.q_levels}, expected 2 to 4096")
        _need(
            _is_number(self.q_scale) and (self.q_type != "affine" or 1e-9 < abs(self.q_scale) < 1e3),
            f"q_scale is {self.q_scale!r}, expected the size of a step of audio",
        )
        _need(
            _is_whole(self.q_offset) and abs(self.q_offset) <= 1 << 20,
            f"q_offset is {self.q_offset!r}, no offset",
        )
        _need(
            len(self.emphasis) <= MOST_POLES and all(0 < a <= 0.999 for a in self.emphasis),
            f"emphasis is {self.emphasis}, expected at most {MOST_POLES} numbers above 0, at most 0.999",
        )
        _need(
            not self.emphasis or self.q_type in CENTRED,
            f"q_type is {self.q_type!r}, whose silence is not exactly 0, which emphasis needs: expected "
            f"{', '.join(CENTRED)}, or no emphasis",
        )
        for name in ("level", "frame_gain"):
            value = getattr(self, name)
            _need(
                _is_number(value) and 1e-6 <= value <= 1e6,
                f"{name} is {value!r}, expected a number above 0",
            )
        for name in ("frame_scale", "frame_offset"):
            value = getattr(self, name)
            _need(_is_number(value) and abs(value) <= 1e6, f"{name} is {value!r}, expected a number from -1e6 to 1e6")

    @property
    def lookback(self) -> int:
        """How many samples of past a model needs before it can predict: those of the largest frame."""
        return self.frame_sizes[-1]

    @property
    def q_zero(self) -> int:
        """The code of silence."""
        return self.quantiser.zero

    @property
    def quantiser(self) -> Quantiser:
        """How this model writes audio as codes."""
        return Quantiser(self.q_type, self.q_levels, self.q_scale, self.q_offset)

    @property
    def gates(self) -> int:
        """How many blocks of rows an RNN matrix has, one for each gate: r, z and n of a GRU, i, f, g and o of an
        LSTM."""
        return 3 if self.rnn_type == "gru" else 4

    @property
    def state_size(self) -> int:
        """How many floats an RNN layer remembers: h, or h then c."""
        return self.dim if self.rnn_type == "gru" else 2 * self.dim

    def has_input_layer(self, tier: int) -> bool:
        """True if tier `tier` has an input layer. A tier below another one always has one, for that is where the upper
        tier's vector is added."""
        return self.input_layer or tier + 1 < len(self.frame_sizes)

    def ratio(self, tier: int) -> int:
        """How many vectors tier `tier` (0 has the smallest frames) hands down for each of its frames."""
        return self.frame_sizes[tier] // (self.frame_sizes[tier - 1] if tier else 1)

    def width_below(self, tier: int) -> int:
        """How wide the vectors are that tier `tier` hands down."""
        return self.dim if tier else self.mlp_dim

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name, for JSON; `from_dict` gives the same config back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Makes a config from the values of a JSON file. Raises SopiError for names that it doesn't know, except those
        that the course's files hold and nothing needs."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known - {"rnn_dropout"})
        if unknown:
            raise SopiError(f"config: unknown field {unknown[0]!r}, expected only {', '.join(sorted(known))}")
        try:
            return cls(**{k: v for k, v in values.items() if k in known})
        except (TypeError, ValueError, OverflowError) as e:
            raise SopiError(f"config: {e}") from None
