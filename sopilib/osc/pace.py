"""Messages that make something anew, at a pace that the machine can keep."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from sopilib.live.commands import Command
from sopilib.osc.names import controls, names

__all__ = ["Pace", "rate_of"]

NAMES = 20  # messages a second of one command that go for models, arrays or files
ACTS = 100  # messages a second of one command that is no knob

T = TypeVar("T")


class Pace(Generic[T]):
    """Of each kind of item so many a second go through, and as many at once. Of those that come faster, the last waits
    until it may go, and the others are lost. Rates are per second; `now` is in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._left: dict[Hashable, tuple[float, float]] = {}  # how many may go, as of when
        self._waiting: dict[Hashable, tuple[float, T]] = {}

    def admit(self, kind: Hashable, rate: float, item: T, now: float) -> bool:
        """Whether an item of this kind may go now. If not, it waits, in place of one of its kind that waited before."""
        if kind not in self._waiting and self._take(kind, rate, now):
            return True
        self._waiting[kind] = (rate, item)
        return False

    def due(self, now: float) -> Iterator[T]:
        """The items that have waited long enough; they no longer wait."""
        for kind, (rate, item) in list(self._waiting.items()):
            if self._take(kind, rate, now):
                del self._waiting[kind]
                yield item

    def _take(self, kind: Hashable, rate: float, now: float) -> bool:
        left, when = self._left.get(kind, (rate, now))
        left = min(rate, left + (now - when) * rate)
        self._left[kind] = (left - 1 if left >= 1 else left, now)
        return left >= 1


def rate_of(command: Command, arguments: Sequence[Any]) -> int | None:
    """How many such messages a second one instance gets; None: any number."""
    if names(command, arguments):
        return NAMES
    knob = any(a.kind in ("float", "level", "sound", "message") for a in controls(command))
    return None if knob else ACTS
