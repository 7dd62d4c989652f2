"""Settings that may be changed while a run works: RUN/live.json, which an editor can write at any time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sopilib.errors import SopiError
from sopilib.files import write_whole
from sopilib.train.parallel import Group
from sopilib.train.settings import LIVE, Settings

NAME = "live.json"


class LiveSettings:
    """Watches the live.json of the run in `folder`. The first process of `group` reads it for all."""

    def __init__(self, folder: Path, group: Group) -> None:
        self.path, self.group = folder / NAME, group
        self._seen = 0
        """When the file had last been changed as it was read or written here, in ns; 0: it is to be read."""

    def write(self, settings: Settings) -> None:
        """Replaces the file by the present values of `settings`. Raises OSError if it can't be written."""
        if self.group.rank == 0:
            live = {name: getattr(settings, name) for name in LIVE}
            write_whole(self.path, (json.dumps(live, indent=1) + "\n").encode())
        self._seen = self._changed()

    def look_again(self) -> None:
        """Lets the next `read` take what the file says, even if it hasn't changed since it was last read."""
        self._seen = 0

    def read(self, settings: Settings, say: Callable[[str], None]) -> Settings:
        """The settings after what the file says, if it has changed since it was last read. A file with mistakes is told
        to `say` and left aside. All processes of the group have to call this together."""
        news: dict[str, Any] | None = None
        if self.group.rank == 0 and (changed := self._changed()) != self._seen:
            self._seen = changed
            try:
                after = settings.with_live(json.loads(self.path.read_text()))
                news = {n: getattr(after, n) for n in LIVE if getattr(after, n) != getattr(settings, n)}
                if news:
                    say(f"{NAME}: " + ", ".join(f"{k} is {v}" for k, v in news.items()))
            except (OSError, ValueError, TypeError, SopiError) as e:
                say(f"{NAME} is left aside until it changes again ({e})")
        news = self.group.gather(news)[0]
        return settings.with_live(news) if news else settings

    def _changed(self) -> int:
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0
