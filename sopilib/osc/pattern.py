"""OSC address patterns: `*`, `?`, `[a-c]`, `[!a]`, `{one,two}`, each within one part of an address.

Matching takes time in proportion to pattern times name, whatever the pattern: it comes from the network.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sopilib.errors import SopiError

__all__ = ["is_name", "is_pattern", "matcher"]

SPECIAL = re.compile(r"[*?\[\]{}]")
NAME = re.compile(r"[!-~]+")  # what OSC allows in a name, but for
NOT_IN_NAMES = set("#*,/?[]{}")


def is_name(text: str) -> bool:
    """Whether it can be a part of an address."""
    return NAME.fullmatch(text) is not None and not NOT_IN_NAMES & set(text)


def is_pattern(text: str) -> bool:
    """Whether it may mean several names."""
    return SPECIAL.search(text) is not None


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a name, which is one part of an address, fits the pattern. Raises SopiError if a
    bracket is not closed."""
    steps = list(_steps(pattern))

    def matches(name: str) -> bool:
        ends = {0}  # where in the name the steps so far may have come to
        for step in steps:
            ends = {end for begin in ends for end in step(name, begin)}
            if not ends:
                return False
        return len(name) in ends

    return matches


Step = Callable[[str, int], "range | list[int]"]


def _steps(pattern: str) -> list[Step]:
    steps: list[Step] = []
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        close = {"[": "]", "{": "}"}.get(sign)
        end = at + 1
        if close is not None:
            end = pattern.find(close, at) + 1
            if not end:
                raise SopiError(f"{sign} has no {close} in the address {pattern!r}")
        inside = pattern[at + 1 : end - 1]
        if sign == "*":
            if not (at and pattern[at - 1] == "*"):
                steps.append(lambda name, begin: range(begin, len(name) + 1))
        elif sign == "?":
            steps.append(_one_of(None))
        elif sign == "[":
            steps.append(_one_of(inside))
        elif sign == "{":
            steps.append(_any_of(inside.split(",")))
        else:
            steps.append(_any_of([sign]))
        at = end
    return steps


def _one_of(characters: str | None) -> Step:
    """characters: as between brackets; None: any."""
    if characters is None:
        return lambda name, begin: [begin + 1] if begin < len(name) else []
    wanted = not characters.startswith("!")
    found = characters if wanted else characters[1:]
    ranges = [(a, b) for a, b in re.findall(r"(.)-(.)", found)]
    single = set(re.sub(r".-.", "", found))

    def step(name: str, begin: int) -> list[int]:
        if begin == len(name):
            return []
        c = name[begin]
        return [begin + 1] if (c in single or any(a <= c <= b for a, b in ranges)) == wanted else []

    return step


def _any_of(words: list[str]) -> Step:
    return lambda name, begin: [begin + len(w) for w in words if name.startswith(w, begin)]
