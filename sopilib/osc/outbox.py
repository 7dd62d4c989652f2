"""What is sent back: each address to each target at most 30 times a second, and always its last value."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from sopilib.osc.packet import encode

__all__ = ["INTERVAL", "Outbox", "Target"]

INTERVAL = 1 / 30  # s
MOST_WAITING = 4096
IP_RECVERR = 11  # Linux: tells an unconnected socket which target refused

Target = tuple[str, int]
"""Numeric host, port."""


class Outbox:
    """refused  called with a target that can't be reached"""

    def __init__(self, sock: socket.socket, refused: Callable[[Target], None]) -> None:
        self._socket, self._refused = sock, refused
        self._sent: dict[tuple[Target, str], float] = {}
        self._waiting: dict[tuple[Target, str], tuple[Any, ...]] = {}
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)

    def put(self, target: Target, address: str, values: tuple[Any, ...], now: float) -> None:
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

    @property
    def idle(self) -> bool:
        return not self._waiting

    def forget(self, target: Target) -> None:
        for key in [k for k in self._waiting if k[0] == target]:
            del self._waiting[key]

    def _send(self, key: tuple[Target, str], values: tuple[Any, ...], now: float) -> None:
        target, address = key
        self._sent[key] = now
        packet = encode(address, *values)
        try:
            try:
                self._socket.sendto(packet, target)
            except ConnectionError:  # that an earlier packet was refused
                self.take_refusals()
                self._socket.sendto(packet, target)
        except BlockingIOError:  # the network is slower than we are: the next value will do
            pass
        except OSError:  # no way there
            self._refused(target)

    def take_refusals(self) -> None:
        """Reads which targets have said that nobody listens there."""
        while sys.platform == "linux":
            try:
                _, _, _, target = self._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            self._refused((target[0], target[1]))
