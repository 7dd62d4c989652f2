"""The engine: from weights and a state to codes.

`Engine(model)` runs on the CPU in C++ (`backend="native"`), for many voices at once on a GPU (`backend="batch"`), or
step by step in torch (`backend="torch"`). The last is slow, and is the reference that the others are tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sopilib.engine import pack
from sopilib.errors import SopiError
from sopilib.model import Model

__all__ = ["Engine"]

PRECISIONS = {"native": ("auto", "f32", "int8", "int4"), "batch": ("auto", "f32", "f16"), "torch": ("auto", "f32")}
State = dict[str, Any]


class Engine:
    """A model that runs: its weights, and the states of `voices` voices, which don't hear each other.

    voices           1 to 1024
    backend          "native", "batch" or "torch"
    precision        "f32"; "int8": weights and vectors in 8 bits, sums exact; "int4": the same, but the frame tiers'
                     weights in 4 bits; "f16", with batch: matrices in float16; "auto": f16 with batch, else int4 for
                     large models and int8 for others, by the model's shape alone. `engine.precision` is what was chosen
    threads          cores that one call may use, 1 to 64; their number changes no bit of the result
    instruction_set  of the native engine: "auto", or "avx512", "avx_vnni", "avx2", "neon_i8mm", "neon", "plain"
    device           of torch, such as "cuda:0" or "mps"

    The same seed gives the same codes for any split into calls, any number of threads, and whatever the other voices
    do; on a GPU as far as its products don't depend on how many voices there are. What is wrong with an argument, of
    any method, raises SopiError.
    """

    def __init__(
        self,
        model: Model,
        voices: int = 1,
        backend: str = "native",
        precision: str = "auto",
        threads: int = 1,
        instruction_set: str = "auto",
        device: str = "cpu",
    ) -> None:
        if not 1 <= voices <= 1024:
            raise SopiError(f"voices is {voices}, expected 1 to 1024")
        if not 1 <= threads <= 64:
            raise SopiError(f"threads is {threads}, expected 1 to 64")
        if backend not in PRECISIONS:
            raise SopiError(f"backend is {backend!r}, expected one of {', '.join(PRECISIONS)}")
        if precision not in PRECISIONS[backend]:
            expected = ", ".join(PRECISIONS[backend])
            raise SopiError(f"precision is {precision!r}, expected with the {backend} backend one of {expected}")
        self.model, self.config, self.voices, self.backend = model, model.config, voices, backend
        self.origin: object = None
        """What has to live as long as this engine or a clone of it, if something has."""
        self.source: Any
        if backend == "native":
            from sopilib.native import _native

            if _native.instruction_set(instruction_set) is None:
                raise SopiError(f"instruction_set is {instruction_set!r}: not known or not in this processor")
            self.precision = pack.precision(model.config, precision)
            weights = pack.native_weights(model, self.precision)
            self.source = _native.NativeEngine(weights, voices, threads, instruction_set)
        elif backend == "batch":
            from sopilib.engine.batch import BatchEngine

            self.precision = "f16" if precision == "auto" else precision
            self.source = BatchEngine(model, voices, device, self.precision == "f16")
        else:
            from sopilib.engine.reference import ReferenceEngine

            self.precision = "f32"
            self.source = ReferenceEngine(model, voices, device)

    @property
    def description(self) -> dict[str, str]:
        """All of it that decides about samples, the model apart: backend and precision, and of where it runs the
        instruction set in f32, and torch's kind of device."""
        said = {"backend": self.backend, "precision": self.precision}
        if self.backend != "native":
            return {**said, "device": str(self.source.device).partition(":")[0]}
        return {**said, "instruction_set": self.source.instruction_set} if self.precision == "f32" else said

    def clone(self, voices: int | None = None, threads: int | None = None) -> Engine:
        """A second engine with the same weights, shared and not copied, and a fresh state. `voices` or `threads` None
        means as many as this one has."""
        twin = object.__new__(Engine)
        twin.__dict__.update(self.__dict__)
        twin.voices = self.voices if voices is None else voices
        more = () if threads is None or self.backend != "native" else (threads,)
        twin.source = self.source.clone(twin.voices, *more)
        return twin

    def reset(self, seed: int | Sequence[int] = 0) -> None:
        """Starts anew: with `lookback` codes of silence as history, frame phase 0, initial RNN states, and for each
        voice its own random stream of `seed`, 0 to 2**64 - 1. Of several seeds, one for each voice, a voice gets the
        stream that the only voice of an engine has with that seed."""
        seeds = [seed] if isinstance(seed, (int, np.integer)) else list(seed)
        for number in seeds:
            if not 0 <= number < 1 << 64:
                raise SopiError(f"seed is {number}, expected 0 to 2**64 - 1")
        self.source.reset(int(seeds[0]) if seeds else 0)
        if isinstance(seed, (int, np.integer)):
            return
        if len(seeds) != self.voices:
            raise SopiError(f"{len(seeds)} seeds, expected one for each of {self.voices} voices")
        state = self.source.state()
        # the stream of voice v is that of voice 0 with a seed larger by v times this (native/engine/random.hpp)
        streams = [(int(number) - 0x9E3779B97F4A7C15 * v) % (1 << 64) for v, number in enumerate(seeds)]
        state["seed"] = np.array(streams, np.uint64)
        self.source.set_state(state)

    def teacher_force(self, codes: object, features: object = None) -> np.ndarray:
        """Predicts codes that are given: returns float32 logits (voices, n, q_levels) for codes[:, lookback:].

        The first `lookback` codes replace the history without running through the RNN, and frames begin anew there. So
        a sequence and the next one that overlaps it by `lookback` carry on exactly, if n is a multiple of it.

        codes     int (voices, lookback + n)
        features  of a model with conditioning: (voices, n, F) of codes[:, lookback:]; or (voices, lookback + n, F),
                  whose first `lookback` are not used; or (voices, frames, F), the mean of each frame of
                  `frame_sizes[0]` codes of codes[:, lookback:]; None: zeros
        """
        checked = self._codes(codes)
        if checked.shape[1] < self.config.lookback:
            raise SopiError(f"{checked.shape[1]} codes, expected at least the lookback of {self.config.lookback}")
        logits = self.source.teacher_force(checked, self._features_of_frames(features, checked.shape[1]))
        if self.config.log_softmax:
            logits -= logits.max(-1, keepdims=True)
            logits -= np.log(np.exp(logits, dtype=np.float64).sum(-1, keepdims=True)).astype(np.float32)
        return logits

    def prime(self, codes: object, features: object = None) -> None:
        """Appends any length of past, int (voices, n), and runs it through all tiers, without logits. `features` are as
        in `generate`."""
        self.source.prime(self._codes(codes), self._held_features(features))

    def generate(
        self,
        n: int,
        temperature: object = 1.0,
        top_k: object = 0,
        top_p: object = 1.0,
        min_p: object = 0.0,
        features: object = None,
        rest: object = 0.0,
        rest_level: object = -30.0,
    ) -> np.ndarray:
        """Draws n codes for each voice from softmax(logits / temperature), and returns them, int32 (voices, n).

        temperature  above 0: a number, (voices, 1), (1, n) or (voices, n)
        top_k        only the k likeliest codes are drawn; 0: all. This and all but features: a number or (voices,)
        top_p        then only the smallest set of codes that has this share of their mass, above 0, at most 1: all
        min_p        then only codes at least this times as likely as the likeliest, 0 (all) to 1
        features     of a model with conditioning, held for these n samples: (F,) or (voices, F); None: zeros
        rest         the temperature where the last 512 samples of a voice are quieter than `rest_level`, so that rare
                     beginnings don't become rarer than silence; 0: its own temperature there too
        rest_level   in dB below full scale, -90 to 0

        Of equally likely codes the lower comes first.
        """
        if n < 0:
            raise SopiError(f"n is {n}, expected 0 or more samples")
        t = np.asarray(temperature, np.float32)
        if not (np.isfinite(t).all() and (t > 0).all()):
            raise SopiError("temperature must be a number above 0")
        try:
            full = np.ascontiguousarray(np.broadcast_to(t, (self.voices, n)))
        except ValueError:
            raise SopiError(
                f"temperature has shape {t.shape}, expected a number or a shape that fits ({self.voices}, {n})"
            ) from None
        return self.source.generate(
            full,
            self._each_voice("top_k", top_k, np.int32, lambda k: (k >= 0) & (k <= 4096), "0 (all) to 4096 codes"),
            self._each_voice("top_p", top_p, np.float32, lambda p: (p > 0) & (p <= 1), "a share above 0 and up to 1"),
            self._each_voice("min_p", min_p, np.float32, lambda p: (p >= 0) & (p <= 1), "0 to 1"),
            self._each_voice("rest", rest, np.float32, lambda t: (t >= 0) & (t < np.inf), "0 (off) or a temperature"),
            self._each_voice("rest_level", rest_level, np.float32, lambda d: (d >= -90) & (d <= 0), "-90 to 0 dB"),
            self._held_features(features),
        )

    def _each_voice(
        self, name: str, value: object, kind: type[np.generic], valid: Callable[[np.ndarray], np.ndarray], expected: str
    ) -> np.ndarray:
        given = np.asarray(value, np.float64)
        if given.shape not in ((), (self.voices,)):
            raise SopiError(f"{name} has shape {given.shape}, expected a number or ({self.voices},)")
        if not valid(given).all() or (issubclass(kind, np.integer) and (given % 1 != 0).any()):
            raise SopiError(f"{name} is {value}, expected {expected}")
        return np.ascontiguousarray(np.broadcast_to(given, self.voices), kind)

    def state(self) -> State:
        """Everything that a bit-exact continuation needs, as numpy arrays; both backends use the same names.

        position (samples since frames began, modulo lookback), history int32 (voices, lookback), seed and drawn
        uint64 (voices,), tier{i}.rnn{l} float32 (voices, D or 2D), tier{i}.output float32 (voices, D), recent int32
        (voices, 512), how loud each voice was; of a model with emphasis also emphasis float32 (voices, poles), which is
        the `memory` that `model.decode` goes on from.
        """
        return self.source.state()

    def set_state(self, state: State) -> None:
        """Goes on from what `state` gave, of this engine or another one of the same shape and number of voices. Without
        recent and emphasis in it, these are what the history makes of them."""
        mine = self.source.state()
        if set(mine) - set(state) <= {"recent", "emphasis"}:
            mine = {name: value for name, value in mine.items() if name in state}
        if set(state) != set(mine):
            raise SopiError("this state is of a model of another shape")
        checked: State = {}
        for name, value in mine.items():
            if name == "position":
                checked[name] = int(state[name]) % self.config.lookback
                continue
            array = np.ascontiguousarray(state[name], value.dtype)
            if array.shape != value.shape:
                raise SopiError(f"state {name} has shape {array.shape}, expected {value.shape}")
            checked[name] = array
        self.model.check_codes(checked["history"])
        self.source.set_state(checked)

    def _features(self, features: object) -> np.ndarray:
        if not self.config.features:
            raise SopiError("features given, but this model has no conditioning")
        try:
            given = np.asarray(features, np.float64)
        except (TypeError, ValueError):
            raise SopiError("features are no array of numbers") from None
        if not np.isfinite(given).all():
            raise SopiError("features hold values that are not finite")
        return given

    def _held_features(self, features: object) -> np.ndarray:
        """Features that are held for a call, float32 (voices, F)."""
        shape = (self.voices, self.config.features)
        if features is None:
            return np.zeros(shape, np.float32)
        given = self._features(features)
        if given.shape not in (shape, shape[1:]):
            raise SopiError(f"features have shape {given.shape}, expected {shape[1:]} or {shape}")
        return np.ascontiguousarray(np.broadcast_to(given, shape), np.float32)

    def _features_of_frames(self, features: object, length: int) -> np.ndarray:
        """The features of each frame of the lowest tier, for `length` codes with the lookback: float32 (voices, frames,
        F)."""
        size, voices, width = self.config.frame_sizes[0], self.voices, self.config.features
        n = length - self.config.lookback
        frames = -(-n // size)
        if features is None:
            return np.zeros((voices, frames, width), np.float32)
        given = self._features(features)
        expected = [(voices, count, width) for count in (n, length, frames)]
        if given.shape not in expected:
            raise SopiError(f"features have shape {given.shape}, expected one of {', '.join(map(str, expected))}")
        if given.shape[1] != frames:
            of_targets, given = given[:, given.shape[1] - n :], np.empty((voices, frames, width))
            for k in range(frames):
                given[:, k] = of_targets[:, k * size : (k + 1) * size].mean(1)
        return np.ascontiguousarray(given, np.float32)

    def _codes(self, codes: object) -> np.ndarray:
        checked = self.model.check_codes(codes)
        if checked.ndim != 2 or checked.shape[0] != self.voices:
            raise SopiError(f"codes have shape {checked.shape}, expected ({self.voices}, n)")
        return checked

    def __repr__(self) -> str:
        where = getattr(self.source, "instruction_set", "torch")
        return f"<Engine {self.model.name}: {self.backend} ({where}), {self.precision}, {self.voices} voice(s)>"
