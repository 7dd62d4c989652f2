"""The pictures of docs/how-it-works.md, made from the shipped models:

    python docs/pictures/how_it_works.py [--into FOLDER]

It needs what training needs (matplotlib). Each picture shows one idea.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import soundfile
from matplotlib import pyplot
from matplotlib.patches import FancyBboxPatch
from PIL import Image

import sopilib
from sopilib import Config, Engine, Model
from sopilib.model.quantise import Quantiser

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[1] / "models"
INK, ACCENT, SECOND, PALE = "#222222", "#c2410c", "#1d4ed8", "#e7e5e4"

pyplot.rcParams.update(
    {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "savefig.dpi": 100,
        "figure.constrained_layout.use": True,
    }
)


def save(figure: pyplot.Figure, name: str) -> None:
    into.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, metadata={"Software": None})
    pyplot.close(figure)
    Image.open(drawn).convert("RGB").quantize(128).save(into / f"{name}.png", optimize=True)  # a third of the bytes


def heard(name: str) -> tuple[Model, np.ndarray]:
    """A shipped model, and the sound that comes with it."""
    sound, rate = soundfile.read(MODELS / name / f"{name}.flac", dtype="float32")
    model = sopilib.load(MODELS / name / f"{name}.safetensors")
    assert rate == model.config.sample_rate
    return model, sound


def clocks() -> None:
    """The tiers as three clocks over the same 192 samples of a tabla stroke."""
    model, sound = heard("tabla")
    small, large = model.config.frame_sizes
    n = 3 * large
    loud = int(np.argmax(np.abs(sound[: 4 * model.config.sample_rate])))
    begin = max(0, loud - large)
    figure, axes = pyplot.subplots(4, 1, figsize=(9, 4.6), sharex=True, height_ratios=[1, 1, 1, 1.6])
    rows = (
        (large, f"slow tier: ticks every {large} samples", SECOND),
        (small, f"fast tier: ticks every {small} samples", ACCENT),
        (1, "sample level: for each sample", INK),
    )
    for axis, (size, title, colour) in zip(axes, rows):
        for at in range(0, n, size):
            if size == 1:
                axis.plot([at, at], [0.2, 0.8], color=colour, linewidth=0.8)
            else:
                box = FancyBboxPatch(
                    (at + 0.8, 0.15), size - 1.6, 0.7, "round,pad=0,rounding_size=2", mutation_aspect=0.02
                )
                box.set(facecolor=colour, alpha=0.25, edgecolor=colour)
                axis.add_patch(box)
                axis.annotate("", (at + size, 0.0), (at + size, 0.5), arrowprops={"arrowstyle": "->", "color": colour})
        axis.set(ylim=(0, 1), yticks=[])
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.tick_params(bottom=False)
        axis.set_title(title, loc="left", color=colour, fontsize=10)
    axes[3].plot(sound[begin : begin + n], color=INK, linewidth=1, marker=".", markersize=2)
    axes[3].set(xlabel=f"samples, {model.config.sample_rate // 1000} of them a millisecond", xlim=(0, n), yticks=[])
    axes[3].set_title("the sound", loc="left", fontsize=10)
    axes[3].spines["left"].set_visible(False)
    save(figure, "clocks")


def chances() -> None:
    """The chances of the next sample at one moment of the voice model's own sound, at three temperatures."""
    model, sound = heard("voice")
    loud = int(np.argmax(np.abs(sound[: 4 * model.config.sample_rate]))) + 40
    begin = (loud // model.config.lookback - 30) * model.config.lookback
    codes = model.encode(sound[begin : loud + 1])
    logits = Engine(model, precision="f32").teacher_force(codes[None])[0, -1].astype(np.float64)
    figure, axes = pyplot.subplots(1, 3, figsize=(9, 2.8), sharey=True)
    for axis, temperature in zip(axes, (0.5, 1.0, 1.5)):
        chance = np.exp((logits - logits.max()) / temperature)
        chance /= chance.sum()
        axis.bar(np.arange(len(chance)), 100 * chance, width=1.0, color=ACCENT if temperature == 1 else SECOND)
        near = int(np.argmax(logits))
        axis.set(xlim=(near - 40, near + 40), xlabel="which of the 256 levels is next")
        axis.set_title(f"temperature {temperature}", loc="left", fontsize=10)
    axes[0].set_ylabel("chance in %")
    save(figure, "chances")


def staircase() -> None:
    """Sixteen levels, even ones and those of mu-law, and what a quiet sine becomes of each."""
    x = np.linspace(-1, 1, 4001)
    sine = 0.12 * np.sin(np.linspace(0, 4 * np.pi, 600))
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2))
    for kind, colour in (("linear", SECOND), ("mu-law-centred", ACCENT)):
        coding = Quantiser(kind, 16)
        name = "even steps" if kind == "linear" else "mu-law"
        axes[0].plot(x, coding.table()[coding.encode(x)], color=colour, label=name)
        axes[1].plot(coding.table()[coding.encode(sine)], color=colour, label=name)
    axes[0].plot(x, x, color=PALE, zorder=0)
    axes[0].set(xlabel="sample", ylabel="what is left of it")
    axes[0].set_title("16 levels", loc="left", fontsize=10)
    axes[0].legend(frameon=False)
    axes[1].plot(sine, color=PALE, zorder=0)
    axes[1].set(xticks=[], ylabel="sample")
    axes[1].set_title("a quiet tone in 16 levels", loc="left", fontsize=10)
    save(figure, "staircase")


def hiss() -> None:
    """Spectrum of a sound, and of the noise that coding it in 256 levels adds, without emphasis and with it."""
    model, sound = heard("voice")
    rate = model.config.sample_rate
    sound = sound[: 8 * rate] / np.abs(sound).max() * 0.9
    plain = Model.random(Config(sample_rate=rate, q_type="mu-law-centred", dim=16))
    emphasised = Model.random(Config(sample_rate=rate, q_type="mu-law-centred", dim=16, emphasis=[0.85]))
    figure, axis = pyplot.subplots(figsize=(9, 3.2))

    def curve(signal: np.ndarray, label: str, colour: str) -> None:
        size = 1024
        frames = np.lib.stride_tricks.sliding_window_view(signal, size)[:: size // 2] * np.hanning(size)
        power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0) / np.sum(np.hanning(size) ** 2)
        axis.plot(np.fft.rfftfreq(size, 1 / rate) / 1000, 10 * np.log10(power + 1e-12), color=colour, label=label)

    curve(sound, "the sound", "#a8a29e")
    for coding, label, colour in ((plain, "noise of 256 levels", SECOND), (emphasised, "with emphasis", ACCENT)):
        noise = coding.decode(coding.encode(sound))[: len(sound)] - sound
        curve(noise, label, colour)
    axis.set(xlabel="kHz", ylabel="dB", xlim=(0, rate / 2000))
    axis.legend(frameon=False, loc="upper right")
    save(figure, "hiss")


def temperatures() -> None:
    """Four seconds of the tabla model from one seed, at three temperatures."""
    model, _ = heard("tabla")
    rate = model.config.sample_rate
    engine = Engine(model)
    figure, axes = pyplot.subplots(3, 1, figsize=(9, 5), sharex=True)
    for axis, temperature in zip(axes, (0.6, 1.0, 1.5)):
        engine.reset(1)
        sound = model.decode(engine.generate(4 * rate, temperature))[0]
        with np.errstate(divide="ignore"):
            axis.specgram(sound, NFFT=512, Fs=rate, noverlap=384, cmap="magma", vmin=-120, vmax=-40)
        axis.set(
            yticks=[0, rate // 4, rate // 2], yticklabels=["0", str(rate // 4000), str(rate // 2000)], ylabel="kHz"
        )
        axis.set_title(f"temperature {temperature}", loc="left", fontsize=10)
    axes[-1].set_xlabel("seconds")
    save(figure, "temperatures")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=HERE, help="folder; default: beside this file")
    into = parser.parse_args().into
    for picture in (clocks, chances, staircase, hiss, temperatures):
        picture()
