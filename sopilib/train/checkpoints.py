"""The models that a run leaves while it trains: RUN/<name>.safetensors, the best so far, and RUN/checkpoints/."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sopilib import checkpoint
from sopilib.model import Config, Model
from sopilib.train.prepare import Dataset
from sopilib.train.settings import Settings


def keep(folder: Path, model: Model, step: int, best: bool, count: int) -> None:
    """Writes the model of a step into the run in `folder`, and in place of the best one too if it is the `best`. Of the
    others the last `count` are kept, or all if `count` is 0. Raises OSError if a file can't be written."""
    models = folder / "checkpoints"
    models.mkdir(exist_ok=True)
    checkpoint.save(model, models / f"step{step:07}.safetensors")
    if best:
        checkpoint.save(model, folder / f"{folder.name}.safetensors")
    if count:
        for old in sorted(models.glob("step*.safetensors"))[:-count]:
            old.unlink()


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
    scores   of the last checkpoint, in bits a sample or as a share
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
