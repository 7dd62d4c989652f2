"""The figures, pictures and sounds of the exercises' solutions, made from the models and sounds that come along:

    python docs/exercises/solutions.py [NUMBER ...] [--into FOLDER]

It prints the tables that stand in the pages. With --into it also writes pictures and sounds, and needs matplotlib.
The same seeds give the same samples on every machine, so the figures are those of the pages; a test compares them.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

import sopilib
from sopilib import Engine, Model
from sopilib.model.emphasis import emphasised, undone
from sopilib.model.quantise import Quantiser
from sopilib.score.rhythm import onsets

ROOT = Path(__file__).resolve().parents[2]
Rows = Iterator[tuple[object, ...]]
"""The rows of a table, its title first."""


# ---------------------------------------------------------------- what they share


def model(name: str) -> Model:
    return sopilib.load(ROOT / "models" / name / f"{name}.safetensors")


def held_out(name: str) -> np.ndarray:
    """A sound of 16 kHz that no model has learnt from."""
    return soundfile.read(ROOT / "tests" / "fixtures" / f"{name}_held_out.flac", dtype="float32")[0]


def db(x: float) -> float:
    return 20 * float(np.log10(max(x, 1e-9)))


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def brightness(audio: np.ndarray, rate: int) -> float:
    """The middle of a sound's spectrum in Hz: as much energy lies above it as below."""
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    return float(np.searchsorted(np.cumsum(power), power.sum() / 2) * rate / len(audio))


def played(m: Model, seconds: float, seeds: list[int], **setting: object) -> np.ndarray:
    """What a model plays, a voice for each seed: float32 (voices, n)."""
    engine = Engine(m, voices=len(seeds))
    engine.reset(seeds)
    return m.decode(engine.generate(round(seconds * m.config.sample_rate), **setting))  # type: ignore[arg-type]


def parting(a: np.ndarray, b: np.ndarray) -> str:
    """After how many samples two sounds are no longer the same."""
    differ = np.flatnonzero(a != b)
    return f"after {differ[0]} samples" if len(differ) else "never"


# ---------------------------------------------------------------- the exercises

TEMPERATURES = (0.6, 0.8, 1.0, 1.2, 1.5)


def exercise_01() -> Rows:
    """The same seed at five temperatures."""
    m = model("tabla")
    sounds = played(m, 6, [1] * len(TEMPERATURES), temperature=np.array(TEMPERATURES)[:, None])
    yield "temperature", "strokes a second", "level", "middle of the spectrum"
    for t, sound in zip(TEMPERATURES, sounds):
        strokes, level, middle = onsets(sound, 16_000), db(rms(sound)), brightness(sound, 16_000)
        yield t, f"{strokes:.1f}", f"{level:.0f} dB", f"{middle:.0f} Hz"


def exercise_02() -> Rows:
    """When two performances part, one thing being different."""
    m = model("tabla")
    first, other = played(m, 2, [7, 8])
    again = played(m, 2, [7])[0]
    warmer = played(m, 2, [7], temperature=1.01)[0]
    firm, firm_other = played(m, 2, [7, 8], top_k=1)
    yield "left", "right", "they part"
    yield "seed 7", "seed 7", parting(first, again)
    yield "seed 7", "seed 8", parting(first, other)
    yield "seed 7", "seed 7, temperature 1.01", parting(first, warmer)
    yield "seed 7, top-k 1", "seed 8, top-k 1", parting(firm, firm_other)


HEARD = (0.004, 0.1, 1.0, 4.0)


def surprise(m: Model, codes: np.ndarray, heard: float) -> str:
    """Bits per sample of the last 20 ms of codes, int32 (voices, n), when `heard` seconds before it went
    through the whole model. The samples before these are its history, and left no trace in its memory."""
    rate = m.config.sample_rate
    before, last = round(heard * rate), rate // 50
    engine = Engine(m, voices=len(codes))
    given = codes[:, codes.shape[1] - m.config.lookback - before - last :]
    logits = engine.teacher_force(given)[:, before:].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    true = np.take_along_axis(logits, codes[:, -last:, None], -1)[..., 0]
    return f"{np.mean(np.log2(np.exp(logits).sum(-1)) - true / np.log(2)):.2f}"


def without_history(m: Model, codes: np.ndarray) -> np.ndarray:
    """The same with silence up to the last 20 ms."""
    silent = codes.copy()
    silent[:, : -(m.config.sample_rate // 50)] = m.encode(np.zeros(1))
    return silent


def places(m: Model, name: str) -> np.ndarray:
    """Twelve passages of 4.1 seconds of a held-out sound as codes, int32 (12, n)."""
    codes, rate = m.encode(held_out(name)), m.config.sample_rate
    return np.stack([codes[begin:][: round(4.1 * rate)] for begin in range(0, 12 * 20_000, 20_000)])


def exercise_03() -> Rows:
    """How surprised models are by the true next 20 ms, after they have heard more or less of what was before."""
    models = {name: model(name) for name in ("tabla", "drums")}
    codes = {name: places(m, name) for name, m in models.items()}
    yield "it has heard", "tabla: bits per sample of the next 20 ms", "drums"
    yield "nothing", *(surprise(m, without_history(m, codes[name]), 0) for name, m in models.items())
    for seconds in HEARD:
        yield f"{seconds:g} s", *(surprise(m, codes[name], seconds) for name, m in models.items())


def exercise_06() -> Rows:
    """What the fader of the phone becomes."""
    yield "fader", "temperature"
    for x in (0, 0.25, 0.5, 0.75, 1):
        yield x, f"{0.3 * np.exp(1.9 * x):.2f}"


def exercise_07() -> Rows:
    """How far the sound jumps where a slice of an eighth of a second begins, without a fade and with one of 5 ms."""
    sound = played(model("tabla"), 2, [1])[0]
    slices = sound.reshape(16, -1)
    jump = float(np.abs(slices[:, 0] - np.roll(slices[:, -1], 3)).max())
    ramp = np.minimum(1, np.minimum(np.arange(2000), np.arange(2000)[::-1]) / 80)
    faded = slices * ramp
    smooth = float(np.abs(faded[:, 0] - np.roll(faded[:, -1], 3)).max())
    yield "edges of the slices", "largest jump"
    yield "as they are cut", f"{jump:.3f}"
    yield "with a fade of 5 ms", f"{smooth:.3f}"


def coded(sound: np.ndarray, kind: str, levels: int, poles: list[float]) -> np.ndarray:
    """A sound as it comes back from its codes."""
    quantiser = Quantiser(kind, levels)
    codes = quantiser.encode(emphasised(sound, poles))
    if not poles:
        return quantiser.table()[codes]
    return undone(codes[None], quantiser.table(), poles, 1.0, np.zeros((1, len(poles)), np.float32))[0]


def exercise_10() -> Rows:
    """How far the loss lies below the sound, in dB, for a loud voice and one of a tenth."""
    voice = held_out("voice")[:64_000]
    yield "levels", "kind of levels", "loud", "a tenth as loud"
    for levels in (16, 64, 256):
        for name, kind, poles in (
            ("even", "linear", []),
            ("mu-law", "mu-law-centred", []),
            ("mu-law, emphasis", "mu-law-centred", [0.85]),
        ):
            below = []
            for gain in (1.0, 0.1):
                sound = (gain * voice).astype(np.float32)
                below.append(f"{db(rms(sound)) - db(rms(sound - coded(sound, kind, levels, poles))):.0f} dB")
            yield levels, name, *below


def exercise_12() -> Rows:
    """The tabla at temperatures that make no sense, and held there by top-k."""
    m = model("tabla")
    yield "temperature", "top-k", "level", "middle of the spectrum"
    for temperature, top_k in ((1.0, 0), (2.0, 0), (3.0, 0), (5.0, 0), (5.0, 5)):
        sound = played(m, 2, [3], temperature=temperature, top_k=top_k)[0]
        yield temperature, top_k or "all", f"{db(rms(sound)):.0f} dB", f"{brightness(sound, 16_000):.0f} Hz"


def exercise_13() -> Rows:
    """The faulty priming beside the true one: a history alone, and a history that went through the memory."""
    m = model("tabla")
    codes = places(m, "tabla")
    yield "what the model was given", "bits per sample of the next 20 ms"
    yield "nothing", surprise(m, without_history(m, codes), 0)
    yield f"{m.config.lookback} samples as its history, as in old programs", surprise(m, codes, 0)
    yield "a second, through its memory", surprise(m, codes, 1)


EXERCISES: dict[str, Callable[[], Rows]] = {
    name.removeprefix("exercise_"): made for name, made in list(globals().items()) if name.startswith("exercise_")
}


# ---------------------------------------------------------------- pictures and sounds


def write(into: Path) -> None:
    """All pictures and sounds of the solutions, into a folder: each sound at 16 kHz and of 4 seconds at most."""
    m = model("tabla")
    rate = m.config.sample_rate
    rising = np.interp(np.arange(8 * rate) / rate, [0, 8], [0.6, 1.5])[None]
    swept = played(m, 8, [1], temperature=rising)[0]
    picture(into / "01-sweep.png", swept, rate, {"temperature": rising[0]})
    keep(into / "01-sweep.flac", swept[3 * rate : 7 * rate], rate)

    engine = Engine(m)
    engine.prime(m.encode(held_out("tabla")[2 * rate : 6 * rate])[None])
    answer = m.decode(engine.generate(2 * rate))[0]
    keep(into / "03-call-and-answer.flac", np.concatenate([held_out("tabla")[4 * rate : 6 * rate], answer]), rate)

    turns = np.repeat([1.0, 3.0, 5.0, 5.0], rate)
    engine.reset(3)
    parts = [engine.generate(rate, temperature=t, top_k=k) for t, k in ((1.0, 0), (3.0, 0), (5.0, 0), (5.0, 5))]
    bent = m.decode(np.concatenate(parts, axis=1))[0]
    picture(into / "12-bent.png", bent, rate, {"temperature, the last second with top-k 5": turns})
    keep(into / "12-bent.flac", bent, rate)


def keep(path: Path, sound: np.ndarray, rate: int) -> None:
    soundfile.write(path, sound, rate, subtype="PCM_16")


def picture(path: Path, sound: np.ndarray, rate: int, curve: dict[str, np.ndarray]) -> None:
    """A control over time, the sound's envelope, and its spectrogram."""
    import matplotlib
    from PIL import Image

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, figsize=(9, 5.4), sharex=True, layout="constrained", height_ratios=[1, 1, 2])
    seconds = np.arange(len(sound)) / rate
    ((name, values),) = curve.items()
    axes[0].plot(seconds, values, color="#c2410c")
    axes[0].set_title(name, loc="left", fontsize=10)
    axes[1].plot(seconds, sound, color="#222222", linewidth=0.4)
    axes[1].set_title("the sound", loc="left", fontsize=10)
    with np.errstate(divide="ignore"):
        axes[2].specgram(sound, NFFT=512, Fs=rate, noverlap=384, cmap="magma", vmin=-120, vmax=-40)
    axes[2].set(xlabel="seconds", ylabel="Hz")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80, metadata={"Software": None})
    pyplot.close(figure)
    Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)


def table(number: str) -> list[str]:
    """The lines of the table that an exercise's page has."""
    title, *rows = EXERCISES[number]()
    lines = [f"| {' | '.join(map(str, row))} |" for row in (title, *rows)]
    return [lines[0], "|" + "---|" * len(title), *lines[1:]]


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("numbers", nargs="*", metavar="NUMBER", help=f"{', '.join(EXERCISES)}; default: all")
    reader.add_argument("--into", type=Path, metavar="FOLDER", help="write pictures and sounds there")
    given = reader.parse_args()
    for each in given.numbers or EXERCISES:
        print(f"{each}\n", *table(each), "", sep="\n")
    if given.into:
        given.into.mkdir(parents=True, exist_ok=True)
        write(given.into)
