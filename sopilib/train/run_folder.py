"""What a run began with, RUN/run.json, and how a run is begun or gone on with."""

from __future__ import annotations

import dataclasses
import json
import math
import os
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
from sopilib.names import for_shell, shown, unescaped
from sopilib.train import state
from sopilib.train.coding import fitted
from sopilib.train.loop import Run
from sopilib.train.parallel import Group
from sopilib.train.preparation.recordings import digest
from sopilib.train.prepare import Dataset, Preparation, find_audio, is_dataset, prepare
from sopilib.train.settings import DEFAULT, LATER, PRESETS, Settings, from_values, read_values

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
    """What is asked for when a run is begun or gone on with."""

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
    epochs: Mapping[str, int] = field(default_factory=dict)
    """"steps", "every" and "decay_after", counted in epochs: how often all that is trained on is heard."""


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
    return _go_on(folder, wanted, say) if there == "run" else _begin(folder, wanted, group, say)


def _what_is_there(folder: Path) -> str:
    """ "run", "nothing" that a new run would touch, or "something else"."""
    if exists(folder):
        return "run"
    return "something else" if holds_others(folder, ("dataset",)) else "nothing"


def _go_on(folder: Path, wanted: Wanted, say: Callable[[str], None]) -> Run:
    began = read(folder)
    dataset = Dataset(began.dataset)
    _same_sound(folder, wanted, dataset, say)
    if wanted.start and (there := _place(wanted.start)) != began.start:
        raise _another(folder, f"that began with {began.start or 'random weights'}", there, "--from")
    values, asked_by = _asked(wanted)
    values |= _in_steps(wanted, dataset, *from_values({**began.config, **began.settings}))
    had = _flat({**began.config, **began.settings})
    later = {
        name: value for name, value in values.items() if name in (*wanted.values, *wanted.epochs) and name in LATER
    }
    for name, value in _flat({**began.config, **began.settings, **values}).items():
        by = asked_by.get(name, "--config")
        if value == had[name] or (name in LATER and by.startswith("--preset")):  # a preset says how a run begins
            continue
        if name not in LATER:
            raise _another(folder, f"with {name} {had[name]!r}", value, by)
        later.setdefault(name, value)
    start = checkpoint.load(began.start) if began.start and not state.exists(folder) else None
    config, settings = from_values({**began.config, **began.settings}, start.config if start else None)
    return Run(folder, dataset, config, settings, start, began.origin, later)


def _in_steps(wanted: Wanted, dataset: Dataset, config: Config, settings: Settings) -> dict[str, Any]:
    """The settings that were given in epochs, in steps."""
    samples = sum(n for _, n in dataset.segments["train"])
    epoch = math.ceil(samples / (settings.batch * config.seq_len))
    values: dict[str, Any] = {name: count * epoch for name, count in wanted.epochs.items()}
    if "decay_after" in values:
        values["decay_every"] = epoch
        if "schedule" not in wanted.values:
            values["schedule"] = "constant"
    if "every" in values and "preview_every" not in wanted.values:
        values["preview_every"] = values["every"]
    return values


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """All values of the config and the settings that these make."""
    config, settings = from_values(values)
    return {**config.to_dict(), **dataclasses.asdict(settings)}


def _another(folder: Path, had: str, wanted: Any, by: str) -> SopiError:
    """What to raise if another run is asked for than the one that `folder` holds."""
    return SopiError(
        f"{folder} holds a run {had}, not {wanted!r} ({by}): leave that out to go on, or begin another run in a new "
        "folder"
    )


def _same_sound(folder: Path, wanted: Wanted, dataset: Dataset, say: Callable[[str], None]) -> None:
    """Raises SopiError if a run on this data set is asked to go on with another one, or with other recordings; tells
    `say` of recordings that have come since."""
    has = Preparation(**dataset.about["preparation"])
    for name, value in wanted.preparation.items():
        if getattr(has, name) != value:
            flag = "--" + name.replace("_", "-")
            raise _another(folder, f"on sound prepared with {name} {getattr(has, name)!r}", value, flag)
    if len(wanted.audio) == 1 and is_dataset(wanted.audio[0]):
        if Path(wanted.audio[0]).resolve() != dataset.folder.resolve():
            raise _another(folder, f"on the data set {dataset.folder}", wanted.audio[0], "the sound")
        return
    if not wanted.audio:
        return
    try:
        files = find_audio(wanted.audio)
    except SopiError as e:
        say(f"{e}; the run goes on with {dataset.folder}")
        return
    new = _new_files(files, dataset)
    if new and len(new) == len(files):
        raise _another(folder, f"on the recordings in {dataset.folder}", shown(new[0]), "the sound")
    if new:
        more = f" and {len(new) - 5} more" if len(new) > 5 else ""
        say(
            f"{', '.join(map(shown, new[:5]))}{more}: came after this run had begun, which doesn't hear that; "
            f"to train on all, begin another one: sopi train {' '.join(map(for_shell, wanted.audio))} -o NEW --from "
            f"{for_shell(folder)}"
        )


def _new_files(files: Sequence[Path], dataset: Dataset) -> list[Path]:
    """Those of the files that the data set wasn't made from, by name or else by content."""
    sources = dataset.about["sources"]
    known = {os.path.abspath(unescaped(s["file"])) for s in sources}
    contents = {s.get("sha256") for s in sources}
    return [f for f in files if os.path.abspath(f) not in known and digest(f) not in contents]


def _asked(wanted: Wanted, begins: bool = False) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that were asked for, and by name what asked for each. A run that `begins` has a preset in any case."""
    preset = wanted.preset or (DEFAULT if begins and not (wanted.config or wanted.start) else None)
    values: dict[str, Any] = {}
    asked_by: dict[str, str] = {}
    for given, by in (
        (PRESETS[preset][1] if preset else {}, f"--preset {preset}"),
        (read_values(wanted.config) if wanted.config else {}, f"--config {wanted.config}"),
    ):
        values |= given
        asked_by |= dict.fromkeys(given, by)
    values |= wanted.values
    asked_by |= {name: "--" + name.replace("_", "-") for name in wanted.values}
    if "keep" in wanted.values and "keep_previewed" not in wanted.values:
        values["keep_previewed"] = False  # who says how many means all of them
    return values, asked_by


def _begin(folder: Path, wanted: Wanted, group: Group, say: Callable[[str], None]) -> Run:
    start = checkpoint.load(wanted.start) if wanted.start else None
    values, asked_by = _asked(wanted, begins=True)
    if start is not None:
        values["features"] = start.config.features
    config, settings = from_values(values, start.config if start else None, asked_by)
    dataset = _dataset(folder, wanted, config, group, say)
    if start is None and config.features != len(dataset.feature_names):
        config = dataclasses.replace(config, features=len(dataset.feature_names))
    if start is None:
        config = fitted(config, dataset)
    in_steps = _in_steps(wanted, dataset, config, settings)
    settings = dataclasses.replace(settings, **in_steps)
    if group.rank == 0:
        where = str(dataset.folder.resolve())
        write(folder, Beginning(config.to_dict(), dataclasses.asdict(settings), where, *_origin(wanted.start, start)))
    group.gather(None)
    later = {name: value for name, value in {**wanted.values, **in_steps}.items() if name in LATER}
    return Run(folder, dataset, config, settings, start, _origin(wanted.start, start)[1], later)


def _origin(name: str | None, model: Model | None) -> tuple[str | None, dict[str, Any] | None]:
    """Where a model lies, and its name and `about`."""
    if name is None or model is None:
        return None, None
    return _place(name), {"name": model.name, "about": model.about}


def _place(name: str) -> str:
    """Where to find a model again from any folder."""
    return str(Path(name).resolve() if Path(name).exists() else name)


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
