"""How to train. `Settings` say how, while `sopilib.Config` says what; presets set both."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sopilib.errors import SopiError
from sopilib.model import Config

CHOICES = {
    "optimiser": ("adam", "adamw", "sgd", "rmsprop"),
    "schedule": ("steady", "cosine", "linear", "constant"),
    "clip_by": ("norm", "value"),
    "precision": ("auto", "float32", "bfloat16", "float16"),
    "monitor": ("held_out_bits", "train_bits", "held_out_accuracy", "train_accuracy"),
}
LIVE = (
    *("steps", "lr", "every", "preview_every", "previews", "preview_seconds", "preview_temperatures", "preview_from"),
    *("preview_offset", "keep", "keep_previewed", "patience"),
)
"""Settings that a run reads again from its live.json while it works."""
LATER = (*LIVE, "threads", "device", "log_every")
"""Settings that may be given anew when a run goes on."""


def option(default: Any, help: str) -> Any:
    """Makes a field of a dataclass that is also an option of a command, with its default and its help."""
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass
class Settings:
    """How a model is trained. The fields are also the options of `sopi train`, with these helps. Raises SopiError for
    values that are out of range or unknown."""

    steps: int = option(6000, "updates in all")
    batch: int = option(32, "lanes: excerpts that are learnt at the same time")
    excerpt: float = option(8.0, "seconds that a lane plays, its memory carried on, before it jumps elsewhere")
    optimiser: str = option("adam", "adam, adamw, sgd or rmsprop")
    lr: float = option(2e-3, "learning rate at its highest")
    schedule: str = option(
        "steady",
        "of the learning rate: steady until two thirds are done, then in a straight line to zero at the last step; "
        "cosine or linear, to zero from the beginning; or constant",
    )
    warm_up: int = option(100, "steps in which the learning rate rises from zero")
    decay_after: int = option(0, "steps after which the learning rate shrinks, by a tenth each time; 0: never")
    decay_every: int = option(1000, "steps from one such time to the next")
    momentum: float | None = option(None, "of sgd, where it is 0.9 by default, and of rmsprop, where it is 0")
    weight_decay: float = option(0.0, "for adamw")
    clip: float = option(1.0, "largest gradient")
    clip_by: str = option("norm", "norm: the gradient as a whole; value: each of its numbers")
    precision: str = option("auto", "of matrix products: float32, bfloat16, float16 (GPU); auto: the fastest here")
    weight_norm: bool = option(False, "each output's weights as a direction and a length (Dadabots)")
    learn_initial: bool = option(True, "the state at the start of a sound is learnt, rather than zero")
    forget_bias: float = option(1.0, "LSTM: how open the forget gates are at first (Dadabots: 3)")
    rnn_dropout: float = option(0.0, "share of each RNN layer's inputs that is left out in training")
    seed: int = option(0, "same seed, same training")
    device: str = option("auto", "cpu, cuda, cuda:1...; auto: a GPU if there is one")
    threads: int = option(0, "processor threads; 0: torch decides")
    compile: bool = option(False, "torch.compile: minutes at the start, then faster where steps are short")
    every: int = option(250, "steps from one validation and checkpoint to the next")
    log_every: int = option(25, "steps from one line of the log to the next")
    keep: int = option(3, "checkpoints to keep as models that play, besides the best: the last so many; 0: all")
    keep_previewed: bool = option(True, "keep those that have previews too; default: unless --keep is given")
    monitor: str = option("held_out_bits", "what best means: held_out_bits, train_bits, or ..._accuracy of either")
    patience: int = option(0, "stop after so many validations without a better one; 0: never")
    preview_every: int = option(1000, "steps from one set of previews to the next; 0: none")
    previews: int = option(1, "sounds for each temperature")
    preview_seconds: float = option(4.0, "length of each")
    preview_temperatures: list[float] = option([0.9, 1.0], "of the previews")
    preview_from: str = option("", "a sound file that the previews go on from")
    preview_offset: float = option(0.0, "seconds of it that are left out before")

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            self._check(name, value)

    def _check(self, name: str, value: Any) -> None:
        default = next(f for f in dataclasses.fields(self) if f.name == name)
        if value is None and default.default is None:
            return
        of = str(default.type).removesuffix(" | None")
        kind = {"int": int, "float": (int, float), "bool": bool, "str": str}.get(of, list)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):  # type: ignore[arg-type]
            raise SopiError(f"{name} is {value!r}, expected {default.metadata['help']}")
        if name in CHOICES and value not in CHOICES[name]:
            raise SopiError(f"{name} is {value!r}, expected one of {', '.join(CHOICES[name])}")
        at_least_one = ("steps", "batch", "every", "log_every", "decay_every")
        numbers = value if isinstance(value, list) else [value] if isinstance(value, (int, float)) else []
        for number in numbers:
            if not isinstance(number, (int, float)) or not math.isfinite(number) or number < (name in at_least_one):
                raise SopiError(f"{name} is {value!r}, expected {1 if name in at_least_one else 0} or more")
        above_zero = ("lr", "clip", "excerpt", "preview_seconds", "preview_temperatures")
        if name in above_zero and not all(n > 0 for n in numbers):
            raise SopiError(f"{name} is {value!r}, expected above 0")
        if name in ("rnn_dropout", "momentum") and value is not None and value >= 1:
            raise SopiError(f"{name} is {value!r}, expected less than 1")

    def with_live(self, values: Mapping[str, Any]) -> Settings:
        """These settings with what live.json says in their place. Raises SopiError for one that may not change while a
        run works, or for a value out of range."""
        for name in values:
            if name not in LIVE:
                raise SopiError(f"{name} can't change while a run works, only {', '.join(LIVE)}")
        return dataclasses.replace(self, **values)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, from 0, in a run that always had so many steps. It rises in a straight line
        while it warms up, then falls to zero at the last step, stays, or stays and then falls."""
        if step < self.warm_up:
            return self.lr * (step + 1) / self.warm_up
        done = min(1.0, (step - self.warm_up) / max(1, self.steps - self.warm_up))
        lr = self.lr
        if self.decay_after and step >= self.decay_after:  # as PRiSM's reduce_learning_rate_after
            lr *= math.exp(-0.1 * (1 + (step - self.decay_after) // self.decay_every))
        if self.schedule == "steady":
            return lr * min(1.0, 3 * (1 - done))
        if self.schedule == "cosine":
            return lr * 0.5 * (1 + math.cos(math.pi * done))
        return lr * (1 - done) if self.schedule == "linear" else lr


DEFAULT = "live"
"""The preset where none is named."""
_PRISM = {"frame_sizes": [16, 64], "dim": 1024, "num_rnn_layers": 4, "sample_relu": [False, True, True, False]}
_PRISM_TRAINING = {"lr": 1e-3, "schedule": "constant", "warm_up": 0, "clip": 5.0, "batch": 128, "learn_initial": False}
_LIVE = {
    **{"frame_sizes": [16, 64], "frame_input": "audio", "rnn_type": "gru", "emb_size": 64},
    **{"q_type": "mu-law-centred", "emphasis_hz": 414.0},
}
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "live-small": (
        "plays in real time on anything, also several at once",
        {**_LIVE, "dim": 256, "mlp_dim": 128, "num_rnn_layers": 1, "lr": 4e-3},
    ),
    "live": (
        "the models that come with sopilib; plays in real time on a laptop",
        {**_LIVE, "dim": 448, "mlp_dim": 256, "num_rnn_layers": 1},
    ),
    "live-large": (
        "the most that plays in real time on a laptop; train it on a GPU",
        {**_LIVE, "dim": 768, "mlp_dim": 256, "num_rnn_layers": 2},
    ),
    "prism": ("PRiSM's default", {**_PRISM, **_PRISM_TRAINING, "rnn_type": "gru"}),
    "lstm-linear-skip": (
        "the course's, of that name",
        {**_PRISM, **_PRISM_TRAINING, "rnn_type": "lstm", "q_type": "linear", "skip_conn": True},
    ),
    "gru-linear-skip": (
        "the course's, of that name",
        {**_PRISM, **_PRISM_TRAINING, "rnn_type": "gru", "q_type": "linear", "skip_conn": True},
    ),
    "dadabots": (
        "Dadabots' best: two tiers, five LSTM layers",
        {
            "frame_sizes": [16],
            "dim": 1024,
            "rnn_type": "lstm",
            "num_rnn_layers": 5,
            "skip_conn": True,
            "skip_style": "full",
            "input_layer": False,
            "sample_relu": [False, True, True, False],
            "weight_norm": True,
            "forget_bias": 3.0,
            "lr": 1e-3,
            "schedule": "constant",
            "warm_up": 0,
            "clip_by": "value",
            "batch": 128,
        },
    ),
}
"""By name, what a preset is for, and its values: those of `Config` and of `Settings`, which share no name."""
_COURSE = {"learning_rate": "lr", "batch_size": "batch", "dropout": "rnn_dropout", "optimizer": "optimiser"}


def read_values(path: Path) -> dict[str, Any]:
    """Reads values by the names of options from a JSON file, such as the course's *.config.json. Raises SopiError if it
    can't be read or holds no JSON object."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise SopiError(f"{path}: not a readable JSON file ({e})") from None
    if not isinstance(values, dict):
        raise SopiError(f"{path}: expected a JSON object")
    return values


def from_values(
    values: Mapping[str, Any], model: Config | None = None, asked_by: Mapping[str, str] | None = None
) -> tuple[Config, Settings]:
    """Makes a config and settings from one flat mapping, such as a preset's values, the course's *.config.json, or the
    options of a command.

    values  by the names of fields of `Config` and `Settings`, or the course's names for them; None: not given.
            emphasis_hz stands for emphasis with one pole whose corner is at so many Hz, where emphasis isn't given
    model   the config of a model to go on with; `values` can change its seq_len, but not its shape
    asked_by  by name, what asked for the value, such as "--preset live", for what is said of an impossible one

    Raises SopiError that names an unknown or an impossible value.
    """
    values = {_COURSE.get(name, name): value for name, value in values.items() if value is not None}
    how = {f.name for f in dataclasses.fields(Settings)}
    corner = values.pop("emphasis_hz", None)
    if corner and "emphasis" not in values:
        rate = values.get("sample_rate", Config.sample_rate if model is None else model.sample_rate)
        if not all(isinstance(x, int | float) and x > 0 for x in (corner, rate)):
            raise SopiError(f"emphasis_hz is {corner!r} at sample_rate {rate!r}, expected two numbers above 0")
        values["emphasis"] = [math.exp(-2 * math.pi * corner / rate)]
    settings = {name: value for name, value in values.items() if name in how}
    what = {name: value for name, value in values.items() if name not in how}
    if model is not None:
        for name, value in what.items():
            if name != "seq_len" and Config.from_dict({**model.to_dict(), name: value}) != model:
                by = (asked_by or {}).get(name, name)
                raise SopiError(
                    f"{by}: {name} is {value!r}, but the model to go on with has {getattr(model, name, None)!r}: "
                    f"leave {by.partition(' ')[0]} out, as it keeps its shape"
                )
        what = {**model.to_dict(), "emb_size": 0, **{k: v for k, v in what.items() if k == "seq_len"}}
    config = Config.from_dict(what)
    if model is None and "seq_len" not in what:
        config = dataclasses.replace(config, seq_len=max(1, Config.seq_len // config.lookback) * config.lookback)
    if config.seq_len % config.lookback:
        raise SopiError(f"seq_len is {config.seq_len}, expected a multiple of the largest frame, {config.lookback}")
    return config, Settings(**settings)
