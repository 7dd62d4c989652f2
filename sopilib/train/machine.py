"""What this machine can do for training: which device and precision, and how much memory."""

from __future__ import annotations

import ctypes
import math
import os

import torch

from sopilib.errors import SopiError
from sopilib.model import Config, shapes
from sopilib.train.network.sample_level import PIECE_CPU, PIECE_GPU
from sopilib.train.settings import Settings

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt


def device(name: str) -> str:
    """The name of a torch device, such as "cpu" or "cuda:0". "auto" becomes a GPU if there is one. Raises SopiError if
    there is no such device here."""
    if name == "auto":
        # each of the processes that torchrun started on a machine has its own
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as e:
        raise SopiError(f"device is {name!r}, which can't be used here ({str(e).splitlines()[0]})") from None
    return name


def precision(name: str, device: str) -> str:
    """The type of matrix products on a device: "float32", "bfloat16" or "float16". "auto" becomes bfloat16 where the
    processor or GPU has instructions for it, float16 on older GPUs, and else float32. Raises SopiError for float16
    without a GPU."""
    if name == "float16" and not device.startswith("cuda"):
        raise SopiError("precision is float16, which needs a GPU: expected float32, bfloat16 or auto")
    if name != "auto":
        return name
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    # torch has no public name for this yet
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bfloat16" if any(test() for test in tests if test) else "float32"


def keep_memory() -> None:
    """Keeps memory that is freed with the process: a step asks for the same large arrays as the one before, and new
    pages cost more than the arithmetic on them. This works with glibc; elsewhere nothing happens."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    except (OSError, AttributeError):
        pass


def arithmetic(config: Config) -> float:
    """How many multiplications and additions a sample takes on the way forward, in training, where tables and a linear
    first layer are folded."""
    c, total = config, 0.0
    for i, n in enumerate(c.frame_sizes):
        below = c.num_rnn_layers * c.gates * c.dim * 2 * c.dim + c.skip_conn * c.num_rnn_layers * c.dim**2
        total += (below + c.dim * n + c.ratio(i) * c.width_below(i) * c.dim) / n
    layers = len(c.sample_relu) - 1
    hidden = max(0, layers - 1 - (not c.sample_relu[0]))
    return total + hidden * c.mlp_dim**2 + bool(layers) * c.mlp_dim * c.q_levels


def parameters(config: Config) -> int:
    """How many weights a model of this config has."""
    return sum(math.prod(shape) for shape in shapes(config).values())


def memory(config: Config, settings: Settings, lanes: int) -> int:
    """About how many bytes a step needs with so many lanes: for weights, gradients, the optimiser's moments, and what
    is kept on the way forward for the way back."""
    c, low = config, 4 if settings.precision == "float32" else 2
    moments = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 1}[settings.optimiser]
    samples = lanes * c.seq_len
    frames = sum(samples / n for n in c.frame_sizes)
    of_frames = frames * c.num_rnn_layers * c.dim * (4 * (2 * c.gates + 3) + 2 * low * (c.gates + 2))
    handed_down = 3 * low * samples * (c.mlp_dim + sum(c.dim / n for n in c.frame_sizes[:-1]))
    piece = min(samples, PIECE_CPU if settings.device == "cpu" else PIECE_GPU)
    of_pieces = piece * (4 * c.q_levels * 4 + 2 * len(c.sample_relu) * c.mlp_dim * 4)
    return int((4 * (2 + moments) + low) * parameters(c) + of_frames + handed_down + of_pieces)
