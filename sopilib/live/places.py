"""Where the files are that messages name: models, sounds, recordings, snapshots."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from sopilib import library
from sopilib.errors import SopiError
from sopilib.live.messages import Numeral
from sopilib.names import shown

__all__ = ["SNAPSHOTS", "Places", "first_free"]

SNAPSHOTS = ".snapshots.safetensors"
"""The end of the name of each file of snapshots: so that it can't take the place of anything else."""


_PROMISED: set[Path] = set()
"""What `first_free` gave."""
_NAMING = threading.Lock()


class Places:
    """Finds the files that messages name.

    folder  where relative names are looked up first, and where the folder `recordings` is; None: the current folder

    A message that is `confined` came from a network: it reaches models by their names, and otherwise only files in the
    folder of recordings. All methods raise SopiError for a name that is not allowed or that nothing has.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.others: Sequence[Path] = ()
        """Folders of the host's in which relative names are looked up next, unless a message is confined."""

    @property
    def recordings(self) -> Path:
        """The folder of recordings. It need not be there yet."""
        return (self.folder or Path.cwd()) / "recordings"

    @staticmethod
    def name(wanted: str) -> str:
        """The name of the model that was meant, if Pd has made a number of it: it takes 007 and 7 for the same."""
        if not isinstance(wanted, Numeral):
            return wanted
        names = [name for name in library.available() if _number(name) == _number(wanted)]
        if len(names) > 1:
            raise SopiError(
                f"load {wanted}: Pd takes the names {' and '.join(names)} for one number, expected the path of the "
                "model, or give it a name with a letter"
            )
        return names[0] if names else wanted

    def model(self, wanted: str, confined: bool) -> str | Path:
        """The path of a model, or what `checkpoint.load` finds by this name."""
        _check(wanted)
        if confined:
            models = library.available()
            if wanted not in models:
                raise SopiError(f"no model {wanted!r}, expected one of {', '.join(models)}")
            return models[wanted]
        if not os.path.isabs(wanted):
            for folder in (*([] if self.folder is None else [self.folder]), *self.others):
                if library.exists(folder / wanted):
                    return folder / wanted
        return wanted

    def sound(self, name: str, confined: bool) -> Path:
        """The path of a sound file that is there."""
        path = self._confined(name) if confined else self._beside(name)
        if not os.path.isfile(path) and not confined:
            further = [Path(os.path.expanduser(name)), *(folder / name for folder in self.others)]
            path = next((p for p in further if os.path.isfile(p)), path)
        if not os.path.isfile(path):
            raise SopiError(f"seed {name}: no such array or file, expected a number, an array or a sound file")
        return path

    def recording(self, name: str, confined: bool) -> str:
        """The name of a new recording, which may be a path if the message is not confined."""
        _check(name)
        return self._confined(name).name if confined else os.path.expanduser(name)

    def new_file(self, name: str | None, confined: bool, pattern: str, suffix: str) -> Path:
        """The path of a file that is not there yet, with this suffix, in the folder of recordings if it is no whole
        path; without a name the first free one of the pattern."""
        if name is None:
            return first_free(self.recordings, pattern)
        path = Path(self.recording(name, confined))
        path = self.recordings / (path if path.suffix.lower() == suffix else path.with_name(path.name + suffix))
        if os.path.lexists(path):
            raise SopiError(f"{path}: there is such a file already, expected the name of a new one")
        return path

    def score(self, name: str, confined: bool) -> Path:
        """The path of a score that is there: in the folder of recordings, or beside the patch."""
        path = self._confined(name) if confined else self.recordings / os.path.expanduser(name)
        if not path.is_file() and not confined:
            path = self._beside(name)
        if not path.is_file():
            raise SopiError(
                f"render: no score {name!r}, expected a file that score start has written, or a number of seconds"
            )
        return path

    def told(self, path: Path) -> str:
        """A path as it is told: with the folder of recordings before it, if it is in that."""
        return f"{self.recordings.name}/{path.name}" if path.parent == self.recordings else str(path)

    def snapshots_to_save(self, name: str, confined: bool) -> Path:
        """The path of a file of snapshots that may be there already or not. Its name ends in SNAPSHOTS, whatever was
        asked for."""
        path = self._confined(name) if confined else self._beside(name)
        if not path.name.endswith(SNAPSHOTS):
            path = path.with_name(path.name.removesuffix(".safetensors") + SNAPSHOTS)
        if confined:
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def snapshots_to_load(self, name: str, confined: bool) -> Path:
        """The path of the file of snapshots that was saved under this name, or else of the file that has just it."""
        exact = self._confined(name) if confined else self._beside(name)
        saved = self.snapshots_to_save(name, confined)
        return saved if os.path.isfile(saved) else exact

    def shown(self, path: Path) -> str:
        """A path as it is told: without the folder, if it is in it."""
        folder = (self.folder or Path.cwd()).absolute()
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)

    def _beside(self, name: str) -> Path:
        _check(name)
        path = Path(os.path.expanduser(name))
        return path if self.folder is None or path.is_absolute() else self.folder / path

    def _confined(self, name: str) -> Path:
        if "/" in name or "\\" in name or name.startswith((".", "~")) or not shown(name).isprintable():
            raise SopiError(f"{name!r} is a path, expected the name of a file in the folder {self.recordings.name}")
        return self.recordings.absolute() / name


def first_free(folder: Path, pattern: str) -> Path:
    """The first path of the pattern, which has a place for a number from 1, that is no file yet and was promised to
    nobody in this process: two objects may ask at once, and the files come to be later."""
    numbered = (folder / pattern.format(number) for number in itertools.count(1))
    with _NAMING:
        path = next(path for path in numbered if path not in _PROMISED and not os.path.lexists(path))
        _PROMISED.add(path)
    return path


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None


def _check(name: str) -> None:
    """Raises SopiError for what can't be in the name of any file."""
    try:
        possible = b"\0" not in os.fsencode(name)
    except UnicodeError:
        possible = False
    if not possible:
        raise SopiError(f"{name!r} can't be the name of a file")
