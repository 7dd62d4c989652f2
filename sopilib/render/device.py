"""On what takes are made: the processor, with the native engine, or a GPU, with the engine for many voices."""

from __future__ import annotations

import warnings

from sopilib import needed
from sopilib.engine import Engine
from sopilib.errors import SopiError, SopiWarning
from sopilib.model import Model

__all__ = ["GPU_VOICES", "engine_on", "voices_on"]

GPU_VOICES = 1024
"""How many takes a GPU makes at once, if its memory holds them."""


def engine_on(device: str, model: Model, precision: str) -> Engine:
    """An engine of one voice on a device: "cpu", "gpu", which is the best there is, or torch's name of one, such as
    "cuda:1" or "mps". Where there is no GPU, "gpu" is the processor, and a SopiWarning says so.

    Raises SopiError if there is no such device, or if it doesn't know that precision.
    """
    if device == "gpu":
        device = _best()
    if device == "cpu":
        return Engine(model, precision=precision)
    try:
        return Engine(model, backend="batch", precision=precision, device=device)
    except ImportError as e:
        raise SopiError(f"a GPU needs PyTorch ({e}): {needed.pip('sopilib[train]')}") from None


def _best() -> str:
    try:
        from sopilib.engine.batch import best_device

        found, why = best_device(), "torch sees no GPU here"
    except ImportError:
        found, why = "", f"a GPU needs PyTorch: {needed.pip('sopilib[train]')}"
    if not found:
        warnings.warn(SopiWarning(f"{why}, so the takes are made on the processor"), stacklevel=2)
    return found or "cpu"


def voices_on(engine: Engine, wanted: int) -> int:
    """How many of so many takes a GPU's engine can make together, as far as its memory goes."""
    from sopilib.engine.batch import fitting

    return fitting(engine.source, min(wanted, GPU_VOICES))
