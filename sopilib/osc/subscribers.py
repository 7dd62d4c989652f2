"""Who hears what changes, and until when."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sopilib.errors import SopiError
from sopilib.osc.port import Target
from sopilib.osc.strangers import AGAIN, LEASE

__all__ = ["Subscribers"]

MOST = 32
MOST_ASKED = 32  # who have yet to show that they are there; of more, who asked first is forgotten
LARGEST = 2**24 - 1  # of the numbers: senders that only have 32-bit floats can send it back


@dataclass
class _Subscriber:
    sender: Target
    """Who subscribed: any packet from there keeps the subscription."""
    until: float
    """s of the monotonic clock"""
    number: int = 0
    """That was sent and has to come back; 0: none."""


class Subscribers:
    """The targets that are told what changes.

    lease  seconds after which one is forgotten unless a packet came from it, or from the address that subscribed it
    """

    def __init__(self, lease: float = LEASE) -> None:
        self._lease = lease
        self._confirmed: dict[Target, _Subscriber] = {}
        self._asked: dict[Target, _Subscriber] = {}
        self._random = random.SystemRandom()

    @property
    def all(self) -> list[Target]:
        """Those that are told what changes."""
        return list(self._confirmed)

    def __contains__(self, target: Target) -> bool:
        return target in self._confirmed

    def add(self, target: Target, sender: Target, now: float, local: bool) -> tuple[bool, int]:
        """`sender` subscribes `target`, on the same host -> whether it is to be told everything, and if it has to
        show first that it is there, the number to send there, else 0.

        Who is subscribed already and subscribes again from the same address only keeps the subscription. Raises
        SopiError if there are 32 already."""
        found = self._confirmed.get(target)
        if found is not None:
            new = found.sender != sender
            found.sender, found.until = sender, now + self._lease
            return new, 0
        if len(self._confirmed) >= MOST:
            raise SopiError(f"there are {MOST} subscribers already")
        if local:
            self._confirmed[target] = _Subscriber(sender, now + self._lease)
            return True, 0
        self._asked.pop(target, None)
        if len(self._asked) >= MOST_ASKED:
            del self._asked[next(iter(self._asked))]
        number = self._random.randint(2, LARGEST)  # 0 and 1 are what a button sends
        self._asked[target] = _Subscriber(sender, now + AGAIN, number)
        return False, number

    def hear(self, sender: Target, now: float) -> list[Target]:
        """A packet came from `sender`: its subscriptions are kept for another lease -> those that it has confirmed by
        speaking again."""
        for target, found in self._confirmed.items():
            if sender in (found.sender, target):
                found.until = now + self._lease
        if not self._asked:
            return []
        return self._confirm([t for t, s in self._asked.items() if sender in (s.sender, t)], now)

    def answer(self, host: str, number: float, now: float) -> list[Target]:
        """A number came back from `host` -> the targets that this confirms. A wrong one ends all that it was asked."""
        of_host = [t for t in self._asked if t[0] == host]
        right = [t for t in of_host if self._asked[t].number == number]
        if not right:
            for target in of_host:
                del self._asked[target]
        return self._confirm(right, now)

    def _confirm(self, targets: list[Target], now: float) -> list[Target]:
        done = []
        for target in targets:
            found = self._asked.pop(target)
            if now <= found.until and len(self._confirmed) < MOST:
                self._confirmed[target] = _Subscriber(found.sender, now + self._lease)
                done.append(target)
        return done

    def drop(self, target: Target) -> None:
        """It is told nothing more."""
        self._confirmed.pop(target, None)
        self._asked.pop(target, None)

    def expired(self, now: float) -> list[Target]:
        """Those whose lease is over."""
        return [target for target, found in self._confirmed.items() if now > found.until]
