"""What a run began with, RUN/run.json, and how a run is begun or gone on with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sopilib import checkpoint
from sopilib.errors import SopiError
from sopilib.files import holds_others, write_whole
from sopilib.locks import one_process
from sopilib.model import Config, Model
from sopilib.train import state
from sopilib.train.coding import fitted
from sopilib.train.loop import Run
from sopilib.train.parallel import Group
from sopilib.train.prepare import Dataset, Preparation, is_dataset, prepare
from sopilib.train.settings import DEFAULT, LATER, PRESETS, from_values, read_values

NAME = "run.json"


@dataclass(frozen=True)
class Beginning:
    """What a run began with."""

    config: Mapping[str, Any]
    """The values of its `Config`. A run of an older version may lack some, which then have their defaults."""
    settings: Mapping[str, Any]
    """The values of its `Settings`, likewise."""
    dataset: str
    """The folder of its data set."""
    start: str | None
    """The model, by name or file, whose weights it began with; None if they were random."""
    origin: Mapping[str, Any] | None
    """Name and `about` of that model."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for when a run is begun or gone on with. A run that goes on looks at `values` alone, for it has all
    else from its beginning."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Values of `Config` and `Settings` that were given."""
    audio: Sequence[str] = ()
    """Sound files, folders and patterns; or the folder of one data set."""
    preparation: Mapping[str, Any] = field(default_factory=dict)
    """Values of `Preparation` that were given, for a data set that is made from `audio`."""
    preset: str | None = None
    """A key of `PRESETS`; None: `DEFAULT`, unless there is a `config` or a `start`."""
    config: Path | None = None
    """A JSON file of values that go before the preset's; `values` go before both."""
    start: str | None = None
    """A model, by name or file, to go on training."""


def exists(folder: Path) -> bool:
    """True if a run was begun in `folder`."""
    return (folder / NAME).exists()


def read(folder: Path) -> Beginning:
    """What the run in `folder` began with. Raises SopiError if it holds none that can be read."""
    try:
        values = json.loads((folder / NAME).read_text())
        return Beginning(values["config"], values["settings"], values["dataset"], values["start"], values["from"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise SopiError(f"{folder / NAME}: not what `sopi train` wrote at the beginning of a run ({e})") from None


def write(folder: Path, beginning: Beginning) -> None:
    """Makes the folder of a run, which says what it began with. Raises SopiError if it can't be written."""
    values = dataclasses.asdict(beginning)
    values["from"] = values.pop("origin")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / NAME, (json.dumps(values, indent=1) + "\n").encode())
    except OSError as e:
        raise SopiError(f"{folder / NAME}: could not be written ({e.strerror or e})") from None


@contextmanager
def alone(folder: Path, group: Group) -> Iterator[None]:
    """Keeps other trainings out of the run in `folder` for as long as the block takes. All processes of `group` call
    this together. Raises SopiError if another one works there."""
    with ExitStack() as stack:
        refused = None
        if group.rank == 0:
            try:
                stack.enter_context(one_process(folder, "sopi train"))
            except SopiError as e:
                refused = str(e)
        refused = group.gather(refused)[0]
        if refused:
            raise SopiError(refused)
        yield


def open_run(folder: Path, wanted: Wanted, group: Group, say: Callable[[str], None] = print) -> Run:
    """Goes on with the run in `folder`, or begins one there. All processes of `group` call this together. What there is
    to know of a data set that is made goes to `say`.

    Raises SopiError if there is no run and no sound, the folder holds something else, or what is asked for is
    impossible or not what the run has.
    """
    # looked at by one process: the others may come when it has begun already
    there = group.gather(_what_is_there(folder))[0]
    if there == "something else":
        raise SopiError(f"{folder}: there are files in it, but no run to go on with, expected the name of a new folder")
    return _go_on(folder, wanted) if there == "run" else _begin(folder, wanted, group, say)


def _what_is_there(folder: Path) -> str:
    """ "run", "nothing" that a new run would touch, or "something else"."""
    if exists(folder):
        return "run"
    return "something else" if holds_others(folder, ("dataset",)) else "nothing"


def _go_on(folder: Path, wanted: Wanted) -> Run:
    began = read(folder)
    start = checkpoint.load(began.start) if began.start and not state.exists(folder) else None
    values = {**began.config, **began.settings, **wanted.values}
    config, settings = from_values(values, start.config if start else None)
    later = {name: value for name, value in wanted.values.items() if name in LATER}
    return Run(folder, Dataset(began.dataset), config, settings, start, began.origin, later)


def _begin(folder: Path, wanted: Wanted, group: Group, say: Callable[[str], None]) -> Run:
    start = checkpoint.load(wanted.start) if wanted.start else None
    preset = wanted.preset or (None if wanted.config or start else DEFAULT)
    values = {
        **(PRESETS[preset][1] if preset else {}),
        **(read_values(wanted.config) if wanted.config else {}),
        **wanted.values,
    }
    if start is not None:
        values["features"] = start.config.features
    config, settings = from_values(values, start.config if start else None)
    dataset = _dataset(folder, wanted, config, group, say)
    if start is None and config.features != len(dataset.feature_names):
        config = dataclasses.replace(config, features=len(dataset.feature_names))
    if start is None:
        config = fitted(config, dataset)
    if group.rank == 0:
        where = str(dataset.folder.resolve())
        write(folder, Beginning(config.to_dict(), dataclasses.asdict(settings), where, *_origin(wanted.start, start)))
    group.gather(None)
    later = {name: value for name, value in wanted.values.items() if name in LATER}
    return Run(folder, dataset, config, settings, start, _origin(wanted.start, start)[1], later)


def _origin(name: str | None, model: Model | None) -> tuple[str | None, dict[str, Any] | None]:
    """Where to find a model again from any folder, and its name and `about`."""
    if name is None or model is None:
        return None, None
    return str(Path(name).resolve() if Path(name).exists() else name), {"name": model.name, "about": model.about}


def _dataset(folder: Path, wanted: Wanted, config: Config, group: Group, say: Callable[[str], None]) -> Dataset:
    """The data set that is named, or else a new one in the run's folder."""
    audio, asked = wanted.audio, dict(wanted.preparation)
    if not audio:
        raise SopiError(f"{folder}: no run to go on with, so give sound to train on")
    if len(audio) == 1 and is_dataset(audio[0]):
        if asked:
            raise SopiError(f"{audio[0]} is a data set: --{next(iter(asked)).replace('_', '-')} belongs to prepare")
        return Dataset(audio[0])
    made = folder / "dataset"
    if group.rank == 0 and not is_dataset(made):
        dataset = prepare(audio, made, Preparation(**asked, sample_rate=config.sample_rate))
        say((dataset.folder / "summary.txt").read_text().rstrip("\n"))
    group.gather(None)
    return Dataset(made)
