"""From a finished run to a folder under models/: the file, ten seconds to hear, a picture and a card.

    python -m sopilib.train.publish RUN -o models/NAME --licence "..." --about "..." --retrain "..."

For a run that knows no data set (of before `sopi prepare`), name the sounds that it was trained on after RUN: the end
of the last one is scored.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from sopilib import Engine, Model, checkpoint, render, sound
from sopilib.errors import SopiError
from sopilib.score import describe, likelihood, log_mel_distance, tones
from sopilib.train.pictures import spectrograms
from sopilib.train.prepare import Dataset, find_audio

TEMPERATURES = (0.9, 0.95, 1.0)
LISTEN = 1.0


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
    scores = [likelihood(engine, codes) for codes in held_out if len(codes) >= engine.config.lookback]
    return sum(s.bits * s.samples for s in scores) / sum(s.samples for s in scores)


def _generate(model: Model, seconds: float, temperature: float, seed: int) -> np.ndarray:
    engine = Engine(model)
    return np.concatenate(list(render.blocks(engine, seconds, temperature, seed)), axis=1)[0]


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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sopilib.train.publish", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("audio", nargs="*", help="what it was trained on")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to make; its name is the model's")
    parser.add_argument("--licence", required=True)
    parser.add_argument("--about", required=True, help="a sentence on the recordings")
    parser.add_argument("--retrain", required=True, help="the command that trained it")
    parser.add_argument("--others", nargs="*", default=[], help="other recordings, to compare the spectrum with")
    parser.add_argument("--precision", default="float16", help="of the file: float32, float16 or int8")
    args = parser.parse_args(argv)
    try:
        trained = checkpoint.load(args.run)
        name, rate = args.output.name, trained.config.sample_rate
        corpus, held_out_sound = _recordings(args.run, args.audio, trained)
        args.output.mkdir(parents=True, exist_ok=True)
        path = args.output / f"{name}.safetensors"
        held_out = [trained.encode(s) for s in held_out_sound]
        bits = {p: _bits(Engine(trained, precision=p), held_out) for p in ("f32", "int8", "int4")}
        model = Model(
            trained.config, trained.weights, {**trained.about, "licence": args.licence, "data": args.about}, name
        )
        model.about["training"] = {
            **model.about["training"],
            "held_out_bits": {k: round(b, 4) for k, b in bits.items()},
        }
        checkpoint.save(model, path, args.precision)

        model = checkpoint.load(path)
        played = Engine(model)
        lines = [
            f"Held out: **{bits['f32']:.3f} bits per sample** in f32, {bits['int8']:.3f} in int8,",
            f"{bits['int4']:.3f} in int4;",
            f"{_bits(played, held_out):.3f} in {played.precision}, as it plays, from this {args.precision} file.",
            "",
            "| 30 s each | level | peak | DC | longest silence | tones | spectrum, distance to the recordings |",
            "|---|---|---|---|---|---|---|",
        ]
        others = {
            Path(o).name: np.concatenate([sound.read_audio(f, rate) for f in find_audio([o])]) for o in args.others
        }
        sounds = {"the recordings": corpus} | {f"temperature {t}": _generate(model, 30, t, 1) for t in TEMPERATURES}
        for title, audio in sounds.items():
            d = describe(audio, rate)
            distances = [f"{log_mel_distance(audio, corpus, rate):.1f} dB"]
            distances += [f"{log_mel_distance(audio, x, rate):.1f} to {k}" for k, x in others.items()]
            lines.append(
                f"| {title} | {d.rms_db:.1f} dB | {d.peak_db:.1f} dB | {d.dc:.1e} | {d.longest_silence:.2f} s "
                f"| {tones(audio, rate):.1f} dB | {', '.join(distances)} |"
            )
        ten = sounds[f"temperature {LISTEN}"][: 10 * rate]
        sound.write_audio(args.output / f"{name}.flac", [ten[None]], rate)
        pictures = {"recording": corpus[-10 * rate :], f"model, temperature {LISTEN}": ten}
        spectrograms(pictures, rate, args.output / f"{name}.png")
        (args.output / "README.md").write_text(_card(model, name, args.about, args.licence, lines, args.retrain))
    except SopiError as e:
        parser.exit(1, f"{e}\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
