"""From a finished run to a folder under models/: the file, ten seconds to hear, a picture and a card, README.md."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sopilib import Engine, Model, checkpoint, sound
from sopilib.checkpoint.native import is_model
from sopilib.engine.blocks import blocks
from sopilib.errors import SopiError
from sopilib.files import refuse_foreign, write_whole
from sopilib.names import shown
from sopilib.score import describe, likelihood, log_mel_distance, stillness, tones
from sopilib.train.pictures import spectrograms
from sopilib.train.prepare import Dataset, find_audio

TEMPERATURES = (0.9, 0.95, 1.0)
"""Those of the sounds that the card measures."""
LISTEN = 1.0
"""That of the sound to hear."""


@dataclass(frozen=True)
class Words:
    """What a model's card says beside its figures, and how its file is stored."""

    licence: str
    """Of the model, and where it comes from."""
    about: str
    """A sentence on the recordings."""
    retrain: str
    """The command that trained it."""
    others: list[str] = field(default_factory=list)
    """Other recordings, with which the spectrum of what it makes is compared."""
    precision: str = "float16"
    """How the weights are stored: float32, float16 or int8."""


def publish(run: Path, output: Path, words: Words, audio: list[str], overwrite: bool = False) -> list[str]:
    """Makes the folder `output`, whose name becomes the model's, from the folder of a finished run.

    audio      what it was trained on, for a run that knows no data set (of before `sopi prepare`): the end of the last
               file is scored
    overwrite  replaces the files of a model that was published there before

    Returns the card's lines with figures. Raises SopiError if the run can't be read, something can't be written, or
    another file would be lost.
    """
    name = output.name
    trained = checkpoint.load(run)
    if "training" not in trained.about:
        raise SopiError(f"{run}: doesn't say how it was trained, expected a run of `sopi train`")
    corpus, held_out_sound = _recordings(run, audio, trained)
    for suffix, kind, is_kind in (
        (".safetensors", "sopilib model", is_model),
        (".flac", "sound file", sound.is_sound),
        (".png", "picture", lambda path: path.read_bytes().startswith(b"\x89PNG")),
    ):
        refuse_foreign(output / f"{name}{suffix}", is_kind, kind, overwrite)
    card = output / "README.md"
    refuse_foreign(card, lambda path: path.read_bytes().startswith(f"# {name}\n".encode()), "model's card", overwrite)
    try:
        output.mkdir(parents=True, exist_ok=True)
        held_out = [trained.encode(s) for s in held_out_sound]
        if trained.stillness is None and (still := stillness([corpus], trained.config.sample_rate)):
            trained = dataclasses.replace(trained, about={**trained.about, "stillness": still._asdict()})
        model, lines = _save(trained, output / f"{name}.safetensors", words, held_out)
        heard, ten = _compare(model, corpus, words.others)
        lines += heard
        rate = model.config.sample_rate
        sound.write_audio(output / f"{name}.flac", [ten[None]], rate)
        pictures = {"recording": corpus[-10 * rate :], f"model, temperature {LISTEN}": ten}
        spectrograms(pictures, rate, output / f"{name}.png")
        write_whole(card, _card(model, name, words.about, words.licence, lines, words.retrain).encode())
    except OSError as e:
        raise SopiError(f"{output}: could not be written ({e.strerror or e})") from None
    return lines


def _recordings(run: Path, audio: list[str], trained: Model) -> tuple[np.ndarray, list[np.ndarray]]:
    """All sound of the run, float [n], and the stretches of it that were held out."""
    if audio:
        files = [sound.read_audio(f, trained.config.sample_rate) for f in find_audio(audio)]
        seconds = trained.about["training"]["held_out_seconds"]
        return np.concatenate(files), [files[-1][-round(seconds * trained.config.sample_rate) :]]
    try:
        dataset = Dataset(json.loads((run / "run.json").read_text())["dataset"])
    except (OSError, ValueError, KeyError) as e:
        raise SopiError(f"{run}: knows no data set ({e}), so name the sounds that it was trained on") from None
    held_out = [np.array(dataset.audio[a : a + n]) for a, n in dataset.segments["validation"]]
    return np.array(dataset.audio), held_out


def _bits(engine: Engine, held_out: list[np.ndarray]) -> float:
    """The bits per sample of all these stretches of codes together. Raises SopiError if none is as long as the
    lookback."""
    scores = [likelihood(engine, codes) for codes in held_out if len(codes) >= engine.config.lookback]
    if not scores:
        raise SopiError("nothing was held out from training that could be scored: train with --validation")
    return sum(s.bits * s.samples for s in scores) / sum(s.samples for s in scores)


def _generate(model: Model, seconds: float, temperature: float, seed: int) -> np.ndarray:
    engine = Engine(model)
    return np.concatenate(list(blocks(engine, seconds, temperature, seed)), axis=1)[0]


def _trained(t: dict[str, Any]) -> str:
    each = t["samples_seen"] // (t["steps"] * t["batch"])
    return (
        f"{t['steps']} steps of {t['batch']} x {each} samples, {t['samples_seen'] / 1e6:.0f} M in all, "
        f"in {t['seconds'] / 60:.0f} minutes"
    )


def _card(model: Model, name: str, about: str, licence: str, lines: list[str], retrain: str) -> str:
    t = model.about["training"]
    origin = model.about.get("from", {})
    before = origin.get("about", {}).get("training")
    went_on = [f"It went on from `{origin['name']}`, {_trained(before)}."] if before else []
    return "\n".join(
        [
            f"# {name}",
            "",
            about,
            "",
            f"`{name}.safetensors`: {model!r}",
            "",
            f"![Above: the recordings. Below: the model.]({name}.png)",
            "",
            f"Hear it: `{name}.flac`, ten seconds at temperature {LISTEN}, seed 1. "
            "Play it: `make play`, and choose it in the list.",
            "",
            "## Figures",
            "",
            f"Training: {_trained(t)}.",
            *went_on,
            f"{t['held_out_seconds']:g} s of the recordings are held out.",
            "",
            *lines,
            "",
            "## Licence",
            "",
            licence,
            "",
            "## Training it again",
            "",
            "```",
            retrain,
            "```",
            "",
            "Files: " + ", ".join(f"`{f['file']}` (sha256 {f['sha256'][:12]}...)" for f in t["files"]) + ".",
            "",
        ]
    )


def _save(trained: Model, path: Path, words: Words, held_out: list[np.ndarray]) -> tuple[Model, list[str]]:
    """Writes the file. Returns the model as it loads from there, and the lines on how well it predicts."""
    bits = {p: _bits(Engine(trained, precision=p), held_out) for p in ("f32", "int8", "int4")}
    about = {**trained.about, "licence": words.licence, "data": words.about}
    about["training"] = {**about["training"], "held_out_bits": {k: round(b, 4) for k, b in bits.items()}}
    checkpoint.save(Model(trained.config, trained.weights, about, path.stem), path, words.precision)
    model = checkpoint.load(path)
    played = Engine(model)
    return model, [
        f"Held out: **{bits['f32']:.3f} bits per sample** in f32, {bits['int8']:.3f} in int8,",
        f"{bits['int4']:.3f} in int4;",
        f"{_bits(played, held_out):.3f} in {played.precision}, as it plays, from this {words.precision} file.",
        "",
    ]


def _compare(model: Model, corpus: np.ndarray, others: list[str]) -> tuple[list[str], np.ndarray]:
    """Lines of a table on what the model makes beside the recordings, float [n]; and ten seconds of it to hear."""
    rate = model.config.sample_rate
    lines = [
        "| 30 s each | level | peak | DC | longest silence | tones | spectrum, distance to the recordings |",
        "|---|---|---|---|---|---|---|",
    ]
    also = {shown(Path(o).name): np.concatenate([sound.read_audio(f, rate) for f in find_audio([o])]) for o in others}
    sounds = {"the recordings": corpus} | {f"temperature {t}": _generate(model, 30, t, 1) for t in TEMPERATURES}
    for title, audio in sounds.items():
        d = describe(audio, rate)
        distances = [f"{log_mel_distance(audio, corpus, rate):.1f} dB"]
        distances += [f"{log_mel_distance(audio, x, rate):.1f} to {k}" for k, x in also.items()]
        lines.append(
            f"| {title} | {d.rms_db:.1f} dB | {d.peak_db:.1f} dB | {d.dc:.1e} | {d.longest_silence:.2f} s "
            f"| {tones(audio, rate):.1f} dB | {', '.join(distances)} |"
        )
    return lines, sounds[f"temperature {LISTEN}"][: 10 * rate]
