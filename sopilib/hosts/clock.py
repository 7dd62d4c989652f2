"""No sound card: performers play at the pace of the system's clock, and nobody hears them."""

from __future__ import annotations

from collections.abc import Sequence

from sopilib.live import Performer
from sopilib.native import _native

__all__ = ["BLOCK", "ClockHost"]

BLOCK = 64
"""Frames that are taken at once where nothing else says how many."""
USUAL_RATE = 48000.0  # Hz


class ClockHost:
    """Takes the sound of performers block by block at the pace of the system's clock.

    performers  whose sound it takes
    rate        Hz; None: 48000
    channels    of the output, over which the performers' channels are added up
    keep        frames of the output that are kept for `take`; 0: none
    """

    name = "nothing"

    def __init__(self, performers: Sequence[Performer], rate: float | None, channels: int, keep: int = 0) -> None:
        self.rate = rate or USUAL_RATE
        self._output = _native.Output([p.ring for p in performers], channels)
        self._output.start_clock(self.rate, BLOCK, keep)

    def close(self) -> None:
        """Stops the clock. The performers then wait for another host."""
        self._output.stop_clock()
