"""Where takes go: their files' names, what is there already, and what is half done.

The files and `takes.json` lie in one folder. As long as takes are missing there is a hidden folder beside them,
`.takes`, with the numbers of those that are done, and what is wanted only meanwhile. So whatever moment it is killed
at, the next run knows which files are whole and of this plan, and the folder is gone when all of them are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import numpy as np

from sopilib import sound
from sopilib.errors import SopiError
from sopilib.files import refuse_foreign, whole_file, write_whole
from sopilib.locks import one_process
from sopilib.render import plan as plans
from sopilib.render.plan import Heard, Plan, Take

__all__ = ["DESCRIPTION", "File", "Place"]

DESCRIPTION = "takes.json"


class Place:
    """A folder with takes.

    folder       it is made if it isn't there
    description  the name of the file in it that describes the takes

    All methods raise SopiError if the folder can't be read or written.
    """

    def __init__(self, folder: Path, description: str = DESCRIPTION) -> None:
        self.folder = folder
        self.keeps_half = False
        """Whether a take that is broken off is kept as far as it is."""
        self.description = folder / description
        self._meanwhile = folder / f".{Path(description).stem}"
        self._done = self._meanwhile / "done"

    def alone(self) -> AbstractContextManager[None]:
        """Keeps other processes out of it, as long as the block takes. Raises SopiError if one works there."""
        return one_process(self._named, "sopi generate", beside=True)

    @property
    def _named(self) -> Path:
        return self.description

    def begin(self, plan: Plan, overwrite: bool) -> list[Take]:
        """Makes the place ready for a plan -> the takes that are to be made. Raises SopiError if other takes, or other
        files of such names, are there, unless they are to be overwritten."""
        try:
            return self._begin(plan, overwrite)
        except OSError as e:
            raise self._refused(e) from None

    def _begin(self, plan: Plan, overwrite: bool) -> list[Take]:
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self._before(plan, overwrite)
        known = set() if before is None else {take.number for take in before.takes}
        for take in plan.takes:
            if take.number not in known:
                refuse_foreign(self.path(plan, take), sound.is_sound, "sound file", overwrite)
        if before is None:
            shutil.rmtree(self._meanwhile, ignore_errors=True)
        if before is None or self._done.exists():
            done = self._numbers()
            missing = [t for t in plan.takes if t.number not in done or not self.to_write(plan, t).exists()]
        else:
            missing = [t for t in plan.takes if t.number not in known or not self.path(plan, t).exists()]
            if missing and plan.sound.normalise is not None:
                missing = list(plan.takes)  # their gain is that of all together
            done = {take.number for take in plan.takes}
        if missing:
            self._meanwhile.mkdir(exist_ok=True)
            self._write_numbers(done - {take.number for take in missing})
        if before != plan:
            write_whole(self.description, plan.to_json())
        return missing

    def _before(self, plan: Plan, overwrite: bool) -> Plan | None:
        """The plan of the takes that are there already and can stay. Raises SopiError if there are others."""
        if not self.description.exists() or (overwrite and not self._done.exists()):
            return None
        try:
            before = plans.read(self.description)
        except SopiError:
            if overwrite:
                return None
            raise
        if plan.goes_on_from(before):
            return before
        if overwrite:
            return None
        raise SopiError(
            f"{self.description}: other takes are there ({plan.difference(before)}), expected another folder, or "
            "--overwrite to replace them"
        )

    def path(self, plan: Plan, take: Take) -> Path:
        """The file of a take."""
        return self.folder / plan.file(take)

    def to_write(self, plan: Plan, take: Take) -> Path:
        """The file to write a take into: its own, or one where it waits until all are there and their gain is known."""
        if plan.sound.normalise is None:
            return self.path(plan, take)
        return self._meanwhile / f"{take.number}.wav"

    def done(self, takes: Iterable[Take]) -> None:
        """Remembers that what was written of these takes is whole."""
        try:
            with self._done.open("a") as file:
                file.write("".join(f"{take.number}\n" for take in takes))
                file.flush()
                os.fsync(file.fileno())
        except OSError as e:
            raise self._refused(e) from None

    @property
    def unfinished(self) -> bool:
        """Whether something of the takes is still to be done."""
        return self._meanwhile.exists()

    def finish(self) -> None:
        """All takes are there."""
        shutil.rmtree(self._meanwhile, ignore_errors=True)

    def keep(self, heard: Heard, audio: np.ndarray, rate: int) -> None:
        """Keeps a sound that takes go on from, float32 [n], beside them, so that they can be made again."""
        path = self.folder / heard.sound
        if path.exists():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as half, sound.NewSound(half, rate, 1, path, subtype="FLOAT") as file:
                file.write(audio[:, None])
        except OSError as e:
            raise self._refused(e) from None

    def heard(self, heard: Heard, rate: int) -> np.ndarray:
        """What `keep` has kept."""
        return sound.read_audio(self.folder / heard.sound, rate)

    def free(self) -> int:
        """How many bytes the disk has left."""
        folder = self.folder.absolute()
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def _numbers(self) -> set[int]:
        with suppress(FileNotFoundError):
            whole = self._done.read_text().rpartition("\n")[0]
            return {int(line) for line in whole.split() if line.isdigit()}
        return set()

    def _write_numbers(self, numbers: set[int]) -> None:
        write_whole(self._done, "".join(f"{number}\n" for number in sorted(numbers)).encode())

    def _refused(self, e: OSError) -> SopiError:
        return SopiError(f"{self.folder}: {e.strerror or e}, expected a folder that can be written")


class File(Place):
    """One take that is a file of its own, with nothing beside it.

    path  its file
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent, f"{path.name}.json")
        self._path, self.keeps_half = path, True

    def begin(self, plan: Plan, overwrite: bool) -> list[Take]:
        """As that of a folder."""
        refuse_foreign(self._path, sound.is_sound, "sound file", overwrite)
        try:
            (self.folder if plan.sound.normalise is None else self._meanwhile).mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise self._refused(e) from None
        return list(plan.takes)

    @property
    def _named(self) -> Path:
        return self._path

    def path(self, plan: Plan, take: Take) -> Path:
        """The file."""
        return self._path

    def keep(self, heard: Heard, audio: np.ndarray, rate: int) -> None:
        """Nothing lies beside the file."""

    def done(self, takes: Iterable[Take]) -> None:
        """Nothing is to be remembered."""
