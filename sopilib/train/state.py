"""The state of a run on disk: RUN/state.pt, from which training goes on as if nothing had happened.

The file holds the config, the settings, weights, optimiser, where every lane is and what its RNN remembers, the
progress and the best score. It is replaced as a whole. All randomness of training is a function of the seed, the step
and the lane; so a run that was stopped at any moment, even in the middle of a write, goes on from its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from pathlib import Path
from typing import Any

import torch

from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.model import Config
from sopilib.names import for_shell, shown
from sopilib.train.settings import LATER, Settings

NAME = "state.pt"


def exists(folder: Path) -> bool:
    """True if the run in `folder` has a state to go on from."""
    return (folder / NAME).exists()


def write(folder: Path, config: Config, settings: Settings, state: dict[str, Any]) -> None:
    """Replaces the state of the run in `folder`. `state` holds tensors, numbers, texts, and lists and dictionaries of
    them; the config and the settings are added to it. OSError leaves the former state as it was."""
    buffer = io.BytesIO()
    torch.save({"config": config.to_dict(), "settings": dataclasses.asdict(settings), **state}, buffer)
    write_whole(folder / NAME, buffer.getbuffer())


def read(folder: Path, config: Config, settings: Settings) -> dict[str, Any]:
    """The state of the run in `folder`, its tensors on the CPU. What an older version didn't know of a config or of
    settings has its default. Raises SopiError if the file is damaged, or the state belongs to another config, or to
    other settings than those that may be given anew (`LATER`)."""
    try:
        state = torch.load(folder / NAME, map_location="cpu", weights_only=True)
        had = Config.from_dict(state["config"]).to_dict()
    except OSError as e:
        raise SopiError(f"{shown(folder / NAME)}: can't be read ({e.strerror or e})") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        raise SopiError(
            f"{shown(folder / NAME)}: cut short or damaged, so this run can't go on: begin another one from its best "
            f"model, --from {for_shell(folder / (folder.name + '.safetensors'))}"
        ) from None
    for name, value in config.to_dict().items():
        if had[name] != value:
            raise _another_run(folder, name, had[name], value)
    state["settings"] = {**dataclasses.asdict(Settings()), **state["settings"]}
    for name, value in dataclasses.asdict(settings).items():
        if name not in LATER and state["settings"][name] != value:
            raise _another_run(folder, name, state["settings"][name], value)
    return state


def _another_run(folder: Path, name: str, theirs: object, ours: object) -> SopiError:
    return SopiError(
        f"{folder} holds a run with {name} {theirs!r}, not {ours!r}: give the same options, or another folder"
    )
