"""Messages with a timetag, kept until shortly before they are to be heard."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import NamedTuple

from sopilib.osc.packet import Message, ntp_to_unix_ns
from sopilib.osc.port import Target
from sopilib.osc.troubles import Troubles

__all__ = ["Due", "Schedule"]

LEAD = 0.05  # s before its latency that a message with a timetag is handled
MOST_WAITING = 4096  # messages with a timetag
HORIZON = 600  # s: a timetag further ahead is a wrong clock


class Due(NamedTuple):
    """A message whose time to be handled has come."""

    at: int | None
    """ns of the monotonic clock at which it is to be heard; None: as soon as may be"""
    message: Message
    sender: Target


class Schedule:
    """Times are in ns of the monotonic clock. What is wrong with a timetag is told to `troubles`."""

    def __init__(self, troubles: Troubles) -> None:
        self._troubles = troubles
        self._waiting: list[tuple[int, int, Due]] = []  # heap: when to handle it, order of arrival
        self._order = itertools.count()

    def add(self, message: Message, sender: Target, latency: float) -> None:
        """Takes a message that has a timetag; if its time has come, or is that of a wrong clock, it is due at once,
        after those that have waited. `latency`: ms from a message to its sound."""
        assert message.time is not None
        now = time.monotonic_ns()
        at = now + ntp_to_unix_ns(message.time) - time.time_ns()
        if at - now > HORIZON * 1e9:
            ahead = (at - now) / 1e9
            self._troubles.add(
                "far", f"a timetag is {ahead:.0f} s ahead and applies at once: set the clock of {sender[0]}"
            )
            self._push(now, Due(None, message, sender))
            return
        too_late = (now - at) / 1e9 + latency / 1e3
        if too_late > 0:
            self._troubles.add("late", f"a timetag came {too_late:.3f} s too late: is the clock of {sender[0]} right?")
        due = at - round(latency * 1e6 + LEAD * 1e9)
        if due > now and len(self._waiting) >= MOST_WAITING:
            line = f"{MOST_WAITING} messages wait for their time already: the others are dropped"
            self._troubles.add("waiting", line)
            return
        self._push(max(due, now), Due(at, message, sender))

    def _push(self, when: int, due: Due) -> None:
        heapq.heappush(self._waiting, (when, next(self._order), due))

    def next(self) -> Due | None:
        """The message whose time has come first; None: none has."""
        if self._waiting and self._waiting[0][0] <= time.monotonic_ns():
            return heapq.heappop(self._waiting)[2]
        return None

    def seconds(self, most: float) -> float:
        """How long until there is a next one, at most so many seconds."""
        if not self._waiting:
            return most
        return max(0.0, min(most, (self._waiting[0][0] - time.monotonic_ns()) / 1e9))
