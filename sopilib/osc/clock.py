"""When a host takes which frame, from the times of its callbacks."""

from __future__ import annotations

from collections import deque

__all__ = ["HostClock"]

INTERVAL = 200_000_000  # ns of which the least delayed callback counts
INTERVALS = 50  # that are remembered
STEEPEST = 1e-3  # of the nominal rate that a host's clock may be off
JUMP = 2_000_000  # ns: more than that off twice, and the host has lost or gained frames
PAUSE = 500_000_000  # ns without a callback after which nothing is known any more


class HostClock:
    """A host's callbacks come at best when they should, and otherwise late, by a scheduler's whim or because several
    blocks are computed at once. So the earliest ones say where the host would be at a given time; a line through them
    smooths what is left, to some microseconds."""

    def __init__(self) -> None:
        self.rate = 0.0
        """Hz, nominal; 0: nothing is known."""
        self._present: tuple[int, float] | None = None  # ns, and how much later than nominal, of this interval's best
        self._ends = self._last = 0
        self._past: deque[tuple[int, float]] = deque(maxlen=INTERVALS)
        self._strange = 0
        self._origin = (0, 0)  # ns, frame
        self._line = (0.0, 0.0)  # ns late at the origin, and per ns

    def observe(self, frame: int, ns: int, rate: float) -> None:
        """A callback that began at `ns` brought the host to `frame`."""
        if rate != self.rate or ns - self._last > PAUSE:
            self.rate, self._origin, self._present, self._ends = rate, (ns, frame), None, 0
            self._past.clear()
        self._last = ns
        late = (ns - self._origin[0]) - (frame - self._origin[1]) * 1e9 / rate
        if self._present is None or late < self._present[1]:
            self._present = (ns, late)
            if not self._past:
                self._fit()
        if ns >= self._ends:
            self._end_interval(ns)

    def _end_interval(self, ns: int) -> None:
        self._ends = ns + INTERVAL
        assert self._present is not None
        best, self._present = self._present, None
        off = abs(best[1] - self._late(best[0])) > JUMP
        self._strange = self._strange + 1 if off else 0
        if self._strange == 1 and self._past:
            return
        if self._strange:
            self._past.clear()
            self._strange = 0
        self._past.append(best)
        self._fit()

    def _late(self, ns: int) -> float:
        return self._line[0] + self._line[1] * (ns - self._origin[0])

    def _fit(self) -> None:
        points = list(self._past) or [self._present or (0, 0.0)]
        n = len(points)
        x0 = self._origin[0]
        mean_x = sum(x - x0 for x, _ in points) / n
        mean_y = sum(y for _, y in points) / n
        square = sum((x - x0 - mean_x) ** 2 for x, _ in points)
        slope = sum((x - x0 - mean_x) * (y - mean_y) for x, y in points) / square if n >= INTERVALS // 5 else 0.0
        slope = max(-STEEPEST, min(STEEPEST, slope))
        self._line = (mean_y - slope * mean_x, slope)

    def frame_at(self, ns: int) -> int | None:
        """The frame that the host takes at this time of the monotonic clock; None if nothing is known of the host."""
        if not self.rate:
            return None
        return self._origin[1] + round((ns - self._origin[0] - self._late(ns)) * self.rate / 1e9)
