"""Which performers and which command an address means."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

from sopilib.errors import SopiError
from sopilib.live import COMMANDS
from sopilib.live.messages import known
from sopilib.osc.instances import Instance, Instances
from sopilib.osc.names import ROOT
from sopilib.osc.pattern import is_pattern, matcher

__all__ = ["Routes"]

MOST_ROUTES = 4096  # addresses whose meaning is remembered


class Routes:
    """Remembers what addresses meant, as long as instances neither come nor go. It keeps no instance alive."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._version = -1  # of the instances, for which what is remembered holds
        self._known: dict[str, list[tuple[weakref.ref[Instance], str]]] = {}

    def find(self, address: str) -> list[tuple[Instance, str]]:
        """The instances that an address means, each with a command's name, or that and a question mark; none for
        /samplernn/<verb>, which is for no instance. Raises SopiError if nothing has this address."""
        if self._version != self._instances.version:
            self._version = self._instances.version
            self._known.clear()
        found = self._known.get(address)
        if found is None:
            found = [(weakref.ref(i), selector) for i, selector in self._resolve(address)]
            if len(self._known) >= MOST_ROUTES:
                self._known.clear()
            self._known[address] = found
        return [(i, selector) for ref, selector in found if (i := ref()) is not None]

    def _resolve(self, address: str) -> list[tuple[Instance, str]]:
        parts = address.split("/")[1:]
        if len(parts) not in (2, 3) or not _matching(parts[0], [ROOT]):
            raise SopiError(f"no such address, expected /{ROOT}/<name or number>/<command>")
        if len(parts) == 2:
            return []
        who, what = parts[1:]
        instances = [i for i in self._instances.all if _matching(who, i.labels)]
        if not instances:
            labels = ", ".join(label for i in self._instances.all for label in i.labels) or "none"
            raise SopiError(f"no instance {who}, expected one of {labels}")
        selectors = [what] if what.removesuffix("?") in COMMANDS else _matching(what, COMMANDS)
        if not selectors:
            raise SopiError(f"no command {what}, {known(what)}")
        return [(i, selector) for i in instances for selector in selectors]


def _matching(part: str, names: Iterable[str]) -> list[str]:
    """Those of the names that a part of an address means."""
    if not is_pattern(part):
        return [part] if part in names else []
    return list(filter(matcher(part), names))
