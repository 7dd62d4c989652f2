"""The models that a run leaves while it trains: RUN/<name>.safetensors, the best so far, and RUN/checkpoints/."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sopilib import checkpoint
from sopilib.errors import SopiError
from sopilib.model import Config, Model
from sopilib.train.prepare import Dataset
from sopilib.train.settings import Settings


def keep(folder: Path, model: Model, step: int, best: bool, count: int, previewed: bool) -> None:
    """Writes the model of a step into the run in `folder`, and in place of the best one too if it is the `best`. Of the
    others the last `count` are kept, or all if `count` is 0, and, if `previewed` is True, those whose sounds lie in
    previews/. Raises OSError if a file can't be written."""
    models = folder / "checkpoints"
    models.mkdir(exist_ok=True)
    checkpoint.save(model, _of_step(folder, step))
    if best:
        checkpoint.save(model, folder / f"{folder.name}.safetensors")
    heard = {path.stem for path in (folder / "previews").glob("step*.png")} if previewed else set()
    if count:
        for old in sorted(models.glob("step*.safetensors"))[:-count]:
            if old.stem not in heard:
                old.unlink()


def use(folder: Path, step: int) -> Path:
    """Makes the model of a step the one that the run in `folder` has made, and gives its file. Raises SopiError if
    there is no such checkpoint, or the file can't be written."""
    file = folder / f"{folder.name}.safetensors"
    chosen = _of_step(folder, step)
    if not chosen.exists():
        kept = ", ".join(str(int(p.stem[4:])) for p in sorted(chosen.parent.glob("step*.safetensors"))) or "none"
        raise SopiError(f"{folder}: no checkpoint of step {step}, expected one of those that were kept: {kept}")
    model = checkpoint.load(chosen)
    try:
        checkpoint.save(Model(model.config, model.weights, model.about, folder.name), file)
    except OSError as e:
        raise SopiError(f"{file}: could not be written ({e.strerror or e})") from None
    return file


def _of_step(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step{step:07}.safetensors"


def provenance(
    dataset: Dataset,
    config: Config,
    settings: Settings,
    step: int,
    seconds: float,
    scores: Mapping[str, float],
    origin: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a model's `about` says of how it was trained: on which sound, with which settings, how long, and how well.

    step     how many steps it has learnt, in `seconds` seconds
    scores   of the last checkpoint, in bits per sample or as a share
    origin   name and `about` of the model that training went on from; None if it began at random
    """
    sources = [s for s in dataset.about["sources"] if "sha256" in s]
    about: dict[str, Any] = {
        "training": {
            "steps": step,
            "batch": settings.batch,
            "samples_seen": step * settings.batch * config.seq_len,
            "seconds": round(seconds),
            "held_out_seconds": round(dataset.seconds("validation"), 3),
            **{k: round(v, 4) for k, v in scores.items()},
            "settings": {k: v for k, v in dataclasses.asdict(settings).items() if not k.startswith("preview")},
            "files": [{"file": Path(s["file"]).name, "sha256": s["sha256"]} for s in sources],
        },
        "data": {"preparation": dataset.about["preparation"], "gain": dataset.about["gain"]},
    }
    if dataset.stillness is not None:
        about["stillness"] = dataset.stillness._asdict()
    if config.features:
        about["features"] = dataset.about["features"]
    if origin is not None:
        about["from"] = dict(origin)
    return about
