"""What a model's file says of it, in the words of docs/model.md: for `sopi info` and for cards, which call it alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sopilib.model.weights import Model


def summary(model: Model) -> dict[str, str]:
    """A line by its name for each thing that the file says: coding, training, what it went on from, held out, played,
    stillness, licence. What it doesn't say, or not as it should, has no line."""
    about = model.about
    lines: dict[str, Callable[[], str]] = {
        "coding": lambda: _coding(model),
        "training": lambda: trained(about["training"]),
        "went on from": lambda: f"{about['from']['name']}, {trained(about['from']['about']['training'])}",
        "held out": lambda: held_out(about["training"]),
        "played": lambda: ", ".join(f"{name} {value:g}" for name, value in model.play.items()),
        "stillness": lambda: "moves by less than {:g} dB for {:g} s at most".format(*model.stillness or ()),
        "licence": lambda: str(about["licence"]),
    }
    found = {name: _said(line) for name, line in lines.items()}
    return {name: line for name, line in found.items() if line}


def trained(training: Mapping[str, Any]) -> str:
    """How long a model was trained, by its `about["training"]`. Raises KeyError and the like if that doesn't say it."""
    each = training["samples_seen"] // (training["steps"] * training["batch"])
    return (
        f"{training['steps']} steps of {training['batch']} x {each} samples, {training['samples_seen'] / 1e6:.0f} M in "
        f"all, in {training['seconds'] / 60:.0f} minutes"
    )


def held_out(training: Mapping[str, Any]) -> str:
    """How well a model predicts what was held out, by its `about["training"]`: bits per sample, for each precision if
    it was published, and density bits. Raises KeyError and the like if that doesn't say it."""
    bits = training["held_out_bits"]
    each = bits if isinstance(bits, dict) else {"f32": bits}
    said = [f"{each['f32']:.3f} bits per sample in f32"]
    said += [f"{value:.3f} in {precision}" for precision, value in each.items() if precision != "f32"]
    density = training.get("held_out_density_bits")
    also = f" ({density:.3f} density bits)" if isinstance(density, float) else ""
    return f"{training['held_out_seconds']:g} s, {', '.join(said)}{also}"


def _coding(model: Model) -> str:
    c = model.config
    poles = " ".join(f"{a:.3g}" for a in c.emphasis)
    return f"{c.q_type} {c.q_levels}, {f'emphasis {poles}' if poles else 'no emphasis'}, {c.sample_rate} Hz"


def _said(line: Callable[[], str]) -> str:
    try:
        return line()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError):
        return ""  # a file that another program made
