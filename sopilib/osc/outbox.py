"""What is sent back: each address to each target at most 30 times a second, and always its last value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sopilib.osc.packet import encode
from sopilib.osc.port import Port, Target
from sopilib.osc.strangers import Strangers

__all__ = ["INTERVAL", "Outbox"]

INTERVAL = 1 / 30  # s
MOST_WAITING = 4096


class Outbox:
    """Sends messages through a port. Nobody who might not have asked for them gets more bytes than came from there:
    what is put for a stranger waits until `strangers` knows it.

    subscribed  says whether a target has subscribed, and so may get everything
    refused     called with a target that can't be reached
    """

    def __init__(
        self,
        port: Port,
        strangers: Strangers,
        subscribed: Callable[[Target], bool],
        refused: Callable[[Target], None],
    ) -> None:
        self._port, self._strangers, self._subscribed, self._refused = port, strangers, subscribed, refused
        self._sent: dict[tuple[Target, str], float] = {}
        self._waiting: dict[tuple[Target, str], tuple[Any, ...]] = {}

    def put(self, target: Target, address: str, values: tuple[Any, ...], now: float) -> None:
        """Sends a message now, or when 1/30 s has passed since the last one of its address to this target; a newer one
        takes the place of one that waits. `now` is in seconds of the monotonic clock, as everywhere here."""
        key = (target, address)
        if key not in self._waiting and now - self._sent.get(key, -1.0) >= INTERVAL:
            self._send(key, values, now)
        elif key in self._waiting or len(self._waiting) < MOST_WAITING:
            self._waiting[key] = values

    def flush(self, now: float) -> None:
        """Sends what has waited long enough."""
        for key in [k for k in self._waiting if now - self._sent.get(k, -1.0) >= INTERVAL]:
            self._send(key, self._waiting.pop(key), now)
        if len(self._sent) > MOST_WAITING:
            self._sent = {k: at for k, at in self._sent.items() if now - at < INTERVAL}

    def forget(self, target: Target) -> None:
        """Drops what waits for a target."""
        for key in [k for k in self._waiting if k[0] == target]:
            del self._waiting[key]

    def send(self, target: Target, packet: bytes) -> None:
        """Sends a packet at once, whoever it is for."""
        try:
            try:
                self._port.send(packet, target)
            except ConnectionError:  # that an earlier packet was refused
                self.take_refusals()
                self._port.send(packet, target)
        except BlockingIOError:  # the network is slower than we are: the next value will do
            pass
        except OSError:  # no way there
            self._refused(target)

    def take_refusals(self) -> None:
        """Drops those of whom the system says that nobody listens there."""
        for target in self._port.refusals():
            self._refused(target)

    def _send(self, key: tuple[Target, str], values: tuple[Any, ...], now: float) -> None:
        target, address = key
        packet = encode(address, *values)
        if self._subscribed(target) or self._strangers.may_get(target, len(packet), now):
            self._sent[key] = now
            self.send(target, packet)
        else:
            self._strangers.keep(target, address, values)
