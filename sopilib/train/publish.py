"""From a finished run to a folder under models/: the file, half a minute to hear, a picture and a card, README.md."""

from __future__ import annotations

import dataclasses
import functools
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sopilib import Engine, Model, checkpoint, sound
from sopilib.checkpoint.native import is_model
from sopilib.engine.blocks import blocks
from sopilib.errors import SopiError
from sopilib.files import refuse_foreign, write_whole
from sopilib.model.summary import summary
from sopilib.model.weights import PLAY
from sopilib.names import shown
from sopilib.score import Likelihood, likelihood, log_mel_distance, stillness
from sopilib.score.imitation import Recordings
from sopilib.score.measures import all_figures, pieces
from sopilib.train.pictures import spectrograms
from sopilib.train.prepare import Dataset, find_audio

TEMPERATURES = (0.8, 0.9, 1.0)
"""Those of the sounds that the card measures."""
TAKE = 30.0
"""Seconds of each."""
SEEN = 10.0
"""Seconds of each that the picture shows."""
LISTEN = 1.0
"""That of the sound to hear, where nothing else is said."""


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
    play: Mapping[str, float] = field(default_factory=dict)
    """How it is best played, by the names in `PLAY`, which its file then says. The sounds of the card are made so."""

    def __post_init__(self) -> None:
        for name, value in self.play.items():
            low, high = PLAY[name]
            if not low <= value <= high:
                raise SopiError(f"{name} is {value:g}, expected {low:g} to {high:g}")


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
    refuse_foreign(
        card, lambda path: path.read_bytes().startswith(f"# {shown(name)}\n".encode()), "model's card", overwrite
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
        held_out = [trained.encode(s) for s in held_out_sound]
        if trained.stillness is None and (still := stillness([corpus], trained.config.sample_rate)):
            trained = dataclasses.replace(trained, about={**trained.about, "stillness": still._asdict()})
        model, lines = _save(trained, output / f"{name}.safetensors", words, held_out)
        rate = model.config.sample_rate
        made = {t: _generate(model, TAKE, t, 1) for t in sorted({*TEMPERATURES, _listen(model)})}
        lines += _compare(model, corpus, made, words.others)
        sound.write_audio(output / f"{name}.flac", [made[_listen(model)][None]], rate)
        seen = {"recording": corpus[-round(SEEN * rate) :]}
        seen |= {f"model, temperature {t:g}": made[t][: round(SEEN * rate)] for t in TEMPERATURES}
        spectrograms(seen, rate, output / f"{name}.png")
        write_whole(card, _card(model, name, words.about, words.licence, lines, words.retrain))
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


def _scored(engine: Engine, held_out: list[np.ndarray]) -> Likelihood:
    """How well all these stretches of codes together are predicted. Raises SopiError if none is as long as the
    lookback."""
    scores = [likelihood(engine, codes) for codes in held_out if len(codes) >= engine.config.lookback]
    if not scores:
        raise SopiError("nothing was held out from training that could be scored: train with --validation")
    return functools.reduce(operator.add, scores)


def _generate(model: Model, seconds: float, temperature: float, seed: int) -> np.ndarray:
    engine = Engine(model)
    sampling = {name.replace("-", "_"): value for name, value in model.play.items() if name != "temperature"}
    return np.concatenate(list(blocks(engine, seconds, temperature, seed, None, **sampling)), axis=1)[0]


def _listen(model: Model) -> float:
    """The temperature of the sound to hear."""
    return model.play.get("temperature", LISTEN)


def _card(model: Model, name: str, about: str, licence: str, lines: list[str], retrain: str) -> str:
    t = model.about["training"]
    said = [f"- *{what}*: {line}" for what, line in summary(model).items() if what != "licence"]
    return "\n".join(
        [
            f"# {name}",
            "",
            about,
            "",
            f"`{name}.safetensors`: `{model!r}`",
            "",
            f"![Above: the recordings. Below: the model.]({name}.png)",
            "",
            f"To hear the model, play `{name}.flac`: the first {TAKE:g} seconds of seed 1 at temperature "
            f"{_listen(model):g}. To play the model yourself, type `make play` and choose it in the list.",
            "",
            "## Figures",
            "",
            *said,
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
    """Writes the file. Returns the model as it loads from there, and the line on how well it predicts as it plays."""
    scores = {p: _scored(Engine(trained, precision=p), held_out) for p in ("f32", "int8", "int4")}
    about = {**trained.about, "licence": words.licence, "data": words.about}
    if words.play:
        about["play"] = dict(words.play)
    bits = {name: round(score.bits, 4) for name, score in scores.items()}
    density = round(scores["f32"].density_bits, 4)
    about["training"] = {**about["training"], "held_out_bits": bits, "held_out_density_bits": density}
    checkpoint.save(Model(trained.config, trained.weights, about, path.stem), path, words.precision)
    model = checkpoint.load(path)
    played = Engine(model)
    bits_now = _scored(played, held_out).bits
    return model, [
        f"- *as it plays*: {bits_now:.3f} bits per sample, in {played.precision} from this {words.precision} file",
        "",
    ]


def _compare(model: Model, corpus: np.ndarray, made: Mapping[float, np.ndarray], others: list[str]) -> list[str]:
    """Lines of a table on what the model has made at some temperatures, beside the recordings; all float [n]."""
    rate, recordings = model.config.sample_rate, Recordings(model, [corpus], [], TAKE)
    sounds = {f"temperature {t}": audio for t, audio in made.items()}
    columns = {"the recordings": recordings.figures(pieces([corpus], round(TAKE * rate)), judged=False)}
    columns |= {title: recordings.figures([audio], judged=False) for title, audio in sounds.items()}
    lines = [f"| {TAKE:g} s each | {' | '.join(columns)} | good is |", f"|{'---|' * (len(columns) + 2)}"]
    for figure in all_figures(rate):
        cells = [figure.shown(c.mean, c.spread) for c in columns.values()]
        if any(cells):
            lines.append(f"| {figure.heading} | {' | '.join(cells)} | {figure.good} |")
    for other in others:
        theirs = np.concatenate([sound.read_audio(f, rate) for f in find_audio([other])])
        far = [f"{log_mel_distance(audio, theirs, rate):.1f}" for audio in (corpus, *sounds.values())]
        lines.append(f"| spectrum, distance to {shown(Path(other).name)}, dB | {' | '.join(far)} | far |")
    return lines
