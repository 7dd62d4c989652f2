"""What was sent to a performer, kept so that a take of it can be written down as a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Journal", "Note", "Take"]

MOST = 100_000
"""Messages that are kept; of more the first are forgotten, and a take that begins before is in doubt."""
LONGEST_TAIL = 0.12  # s that the music before may sound on after another seed
SILENT = frozenset({"freewheel", "record", "tick", "report", "status", "models", "score", "render"})
"""Messages that change no sample."""


class Note(NamedTuple):
    """One message, and the host frame at which it took effect less the latency."""

    frame: int
    selector: str
    atoms: tuple[Any, ...]


@dataclass(frozen=True)
class _Start:
    """A moment from which the sound can be made again without what was before."""

    frame: int
    notes: int
    """How many notes there were before."""
    settings: dict[str, Any]
    playing: bool
    slips: int


@dataclass
class Take:
    """A take that is being written down.

    path   of the score that it becomes
    shown  how that is told
    t      host frame at which it began
    end    at which it ended; None: it goes on
    """

    path: Path
    shown: str
    t: int
    end: int | None = None


class Journal:
    """The messages of one performer since it was made, or since the last seed that lies behind the takes to come.

    settings  what was set when it was made
    slips     counts what the same messages would not do again: underruns, messages that came too late
    """

    def __init__(self, settings: dict[str, Any], slips: Callable[[], int]) -> None:
        self._slips = slips
        self._start = _Start(0, 0, settings, False, 0)
        self._next: _Start | None = None
        self._notes: list[Note] = []
        self._busy: float = 0.0
        self._doubts: dict[str, int] = {}

    def note(self, frame: int, selector: str, *atoms: Any) -> None:
        """A message took effect, `frame` being what its t would have been if it had done so `latency` after it."""
        if selector in SILENT:
            return
        self._notes.append(Note(frame, selector, atoms))
        if len(self._notes) > MOST:
            self.doubt("more was played before it than is kept", frame)
            self._notes = self._notes[MOST // 2 :]
            self._next = None

    def doubt(self, why: str, frame: int) -> None:
        """Something happened at this host frame that no score can say."""
        self._doubts[why] = frame

    def busy(self, until: float) -> None:
        """What goes on until this host frame depends on what was before it."""
        self._busy = max(self._busy, until)

    def fresh(self, frame: int, settings: dict[str, Any], playing: bool) -> None:
        """At this host frame music begins that depends on nothing but these settings, unless something is going on."""
        if frame >= self._busy:
            self._next = _Start(frame, len(self._notes), settings, playing, self._slips())

    def forget(self, t: int, latency: float, rate: float) -> None:
        """Forgets what can't be heard at host frame t any more."""
        start = self._next
        if start is None or t < start.frame + (latency + LONGEST_TAIL) * rate:
            return
        self._start, self._next = start, None
        self._notes = self._notes[start.notes :]
        self._doubts = {why: frame for why, frame in self._doubts.items() if frame >= start.frame}

    def written(self, begin: int, end: int) -> tuple[dict[str, Any], list[Note], int, str]:
        """Of the take from host frame `begin` to `end`: the settings before its first message, the messages, the frame
        at which it begins, both counted from there, and why it may sound otherwise when it is performed again."""
        start = self._start
        first = Note(0, "generate" if start.playing else "stop", ())
        notes = [Note(max(0, n.frame - start.frame), n.selector, n.atoms) for n in self._notes if n.frame < end]
        doubts = [why for why, frame in self._doubts.items() if frame <= end]
        if start.frame and any(n.selector == "grid" for n in notes):
            doubts.append("the lines of its grid were counted from before it")
        if self._slips() != start.slips:
            doubts.append("there were underruns, messages that came too late, or crossfades cut short to be in time")
        return start.settings, [first, *notes], begin - start.frame, "; ".join(doubts)
