"""What happens, told to those who watch: each status event, what changed since it was last told, and warnings."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from sopilib.errors import print_fault
from sopilib.live.state import State
from sopilib.native import _native

__all__ = ["Status", "Teller"]

Status = Callable[..., None]
"""Called with the kind of an event, one of `commands.STATUS`, and its values."""

SELDOM = 5  # looks at the stream for each telling of what changes slowly
SETTLED = 1.0  # seconds without a block after which DSP counts as off
SAMPLES = 64  # of the input, that are looked at
EXPLAINED = 1.0  # s after an error in which a number that comes in is part of what was wrong
QUIETEST = -100.0  # dB that silence is told as
GAPS = 3  # underruns after which the latency is doubted


class Teller:
    """Tells the status events of one performer.

    name    stands before its lines on the console
    lock    the performer's: held while the watchers are called, so that they hear one event at a time and in order
    stream, state  what is told of
    status  the first watcher, if there is one

    A watcher that raises, whatever it raises, stops nothing: that is printed, and the others are told all the same.
    """

    def __init__(
        self, name: str, lock: threading.RLock, stream: _native.Stream, state: State, status: Status | None
    ) -> None:
        self._name, self._lock, self._stream, self._state = name, lock, stream, state
        self._watchers: tuple[Status, ...] = () if status is None else (status,)
        self._settings_watchers: tuple[Callable[..., None], ...] = ()
        self._told: dict[str, Any] = {}
        self._position, self._since = 0, time.monotonic()  # of the host, and since when it stands there
        self._reported = 0.0  # when level and rtf were told last, s of the monotonic clock
        self._looks = 0
        self._said_off = False
        self._rate = 0.0
        self._warned_latency: float | None = None
        self._latency_from = (0.0, 0)  # the present one, and how many underruns there were before
        self._erred = -math.inf  # when an error was told last, s of the monotonic clock
        self._constant = 0.0  # what came in all the time at the last look
        self._calling: int | None = None  # the thread that calls watchers
        self.closed = False
        """Nothing is told any more."""

    def watch(self, status: Status) -> None:
        """Tells `status` too, from now on."""
        self._watchers = (*self._watchers, status)

    def unwatch(self, status: Status) -> None:
        """Tells `status` no more."""
        self._watchers = tuple(w for w in self._watchers if w != status)

    def watch_settings(self, changed: Callable[..., None]) -> None:
        """As `Performer.watch_settings`."""
        self._settings_watchers = (*self._settings_watchers, changed)

    def tell(self, kind: str, *values: Any) -> None:
        """Tells an event now."""
        if self.closed:
            return
        if kind == "error":
            self._erred = time.monotonic()
        self._call_all(self._watchers, kind, *values)

    def setting_changed(self, name: str) -> None:
        """Tells that a setting that is kept with a patch has another value."""
        if self.closed:
            return
        self._call_all(self._settings_watchers, name)

    @property
    def calls_from_here(self) -> bool:
        """Whether the calling thread is just telling a watcher something. It then holds the performer's lock, so it
        must not wait for what needs that."""
        return self._calling == threading.get_ident()

    def _call_all(self, watchers: tuple[Callable[..., None], ...], *values: Any) -> None:
        with self._lock:
            before, self._calling = self._calling, threading.get_ident()
            try:
                for watcher in watchers:
                    self._call(watcher, *values)
            finally:
                self._calling = before

    def _call(self, watcher: Callable[..., None], *values: Any) -> None:
        try:
            watcher(*values)
        except KeyboardInterrupt:
            raise  # Ctrl-C is meant for the program
        except BaseException:  # sys.exit() and a cancelled task too: the thread that tells goes on
            print_fault(f"{self._name}: the status callback failed at {values[0]}:")

    def tell_changed(self, kind: str, *values: Any) -> None:
        """Tells an event if its values are not those that were told last."""
        if self._told.get(kind) != values:
            self._told[kind] = values
            self.tell(kind, *values)

    def tell_everything(self) -> None:
        """Tells of the stream whatever `look` tells when it changes."""
        stats = self._stream.stats()
        self._told.clear()
        self._tell_stats(stats)
        self._report(stats)
        self.tell("burst", int(stats["burst"]))

    def look(self) -> None:
        """Looks at the stream, and tells what has changed since the last look."""
        stats = self._stream.stats()
        position, rate = int(stats["position"]), float(stats["sample_rate"])
        if position != self._position:
            self._position, self._since = position, time.monotonic()
            self._said_off = False
        if rate != self._rate:
            if self._rate:  # the same latency is another number of frames now
                self.tell("latency", self._state.latency, round(self._state.latency / 1000 * rate))
            self._rate = rate
        report, now = self._state.report / 1000, time.monotonic()
        if report and now - self._reported >= report:
            self._reported = now
            self._report(stats)
        self._looks += 1
        if self._looks % SELDOM == 0:
            self._tell_stats(stats)
        self.check_latency(stats)
        self._check_input(position)

    def _check_input(self, position: int) -> None:
        """Warns if all that comes in is one number: in Pd, one that was sent to a signal inlet."""
        heard = self._stream.heard(position, SAMPLES)
        constant = float(heard[0]) if len(heard) == SAMPLES and (heard == heard[0]).all() else 0.0
        before, self._constant = self._constant, constant
        explained = time.monotonic() - self._erred < EXPLAINED
        if constant not in (0.0, before) and not explained:
            self.tell(
                "warning",
                f"{constant:g} came in, and goes on as a signal: a number alone says nothing, expected a message such "
                f"as temperature {constant:g}; send 0 to end it",
            )

    def _tell_stats(self, stats: dict[str, Any]) -> None:
        self.tell_changed("underruns", int(stats["underruns"]))
        rate = float(stats["sample_rate"])
        worst = 1000 * stats["worst_late"] / rate if rate else 0.0
        self.tell_changed("late", int(stats["late"]), round(worst, 1))

    def _report(self, stats: dict[str, Any]) -> None:
        if stats["rtf"] > 0:
            self.tell_changed("rtf", float(f"{stats['rtf']:.2g}"))
        peak = self._stream.peak()
        self.tell_changed("level", round(max(QUIETEST, 20 * math.log10(peak)), 1) if peak > 0 else QUIETEST)

    # ---------------------------------------------------------------- warnings

    def check_dsp(self, name: str) -> None:
        """Warns once, until it is on again, that the host computes no sound and nothing of this message is heard."""
        standing = time.monotonic() - self._since
        if self._stream.freewheel or self._said_off or self._stream.now != self._position or standing < SETTLED:
            return
        self._said_off = True
        self.tell("warning", f"DSP is off: {name} is heard when it is on")

    def check_latency(self, stats: dict[str, Any]) -> None:
        """Warns, once for each latency, if it is shorter than what the host takes at once again and again, or has
        taken of late if there are underruns."""
        latency = self._state.latency
        if self._latency_from[0] != latency:
            self._latency_from = latency, stats["underruns"]
        if not stats["sample_rate"] or self._stream.freewheel or self._warned_latency == latency:
            return
        gaps = stats["underruns"] - self._latency_from[1] >= GAPS
        burst = stats["largest_burst"] if gaps else stats["burst"]
        floor = 1000 * (burst + stats["reserve"]) / stats["sample_rate"] + 1
        if latency < floor:
            self._warned_latency = latency
            self.tell(
                "warning",
                f"latency {latency:g} ms is below what this host takes at once ({burst} frames): "
                "the sound has gaps (underruns) and messages come too late, expected at least "
                f"{math.ceil(floor)} ms",
            )
