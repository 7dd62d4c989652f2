"""Whom a server doesn't know yet. The source of a UDP packet can be forged, so that the answer to a small one would be
a large one to somebody who never asked. Therefore an address off this machine gets no more bytes than came from it
until it has spoken again within 10 seconds, which a forged source rarely does. Who subscribes has to show besides that
it is there (`subscribers`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sopilib.osc.port import Target

__all__ = ["AGAIN", "LEASE", "LOCAL", "Strangers"]

AGAIN = 10.0  # s within which an address speaks again, or sends its number back
LEASE = 60.0  # s without a packet after which it is unknown again
LOCAL = ("127.0.0.0/8", "::1/128")
MOST = 512  # addresses that are remembered; of more, who has been silent longest is forgotten
MOST_KEPT = 16  # messages that wait for an address to speak again


class _Address:
    """What is known of one address off this machine."""

    def __init__(self) -> None:
        self.credit = 0  # bytes that came from it, less those that went to it
        self.heard = -AGAIN  # when it spoke last
        self.known_until = 0.0
        self.kept: dict[str, tuple[Any, ...]] = {}


class Strangers:
    """How much may be sent to whom.

    local  networks whose addresses can't be forged from outside, as CIDR: this machine's own, unless a test says so
    """

    def __init__(self, local: Sequence[str] = LOCAL) -> None:
        networks = [ipaddress.ip_network(n) for n in local]

        @lru_cache(1024)
        def is_local(host: str) -> bool:
            address = ipaddress.ip_address(host)
            return any(address.version == n.version and address in n for n in networks)

        self.is_local = is_local
        """Whether a numeric host is in one of the local networks."""
        self._addresses: dict[Target, _Address] = {}  # who spoke last is last

    def hear(self, sender: Target, size: int, now: float) -> dict[str, tuple[Any, ...]]:
        """A packet of `size` bytes came from `sender`, who is not local -> messages that were kept for it, and may go
        now that it has spoken again."""
        found = self._addresses.pop(sender, None) or _Address()
        self._addresses[sender] = found
        if len(self._addresses) > MOST:
            del self._addresses[next(iter(self._addresses))]
        again = now - found.heard <= AGAIN or now < found.known_until
        found.heard = now
        if not again:
            found.credit, found.kept = size, {}
            return {}
        found.credit += size
        found.known_until = now + LEASE
        kept, found.kept = found.kept, {}
        return kept

    def may_get(self, target: Target, size: int, now: float) -> bool:
        """Whether a packet of `size` bytes may go there; if it may, it is counted."""
        if self.is_local(target[0]):
            return True
        found = self._addresses.get(target)
        if found is None:
            return False
        if now < found.known_until:
            return True
        if size > found.credit:
            return False
        found.credit -= size
        return True

    def keep(self, target: Target, address: str, values: tuple[Any, ...]) -> None:
        """Keeps a message for an address that may not get it yet; the last one of each OSC address."""
        found = self._addresses.get(target)
        if found is not None and (address in found.kept or len(found.kept) < MOST_KEPT):
            found.kept[address] = values
