"""The performers that OSC reaches, each by a number and, if it has one, by a name."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

from sopilib.errors import SopiError
from sopilib.live import COMMANDS, Performer
from sopilib.live.commands import Command
from sopilib.osc.clock import HostClock
from sopilib.osc.names import ROOT, addresses, as_sent
from sopilib.osc.pattern import is_name

__all__ = ["PASSING", "Instance", "Instances"]

PASSING = {"loading", "loaded", "primed", "models", "warning", "error"}
"""Events that say what happened, not what is: nothing to tell somebody who comes later."""


class Instance:
    """A performer, its number and its name in addresses, and what it told last."""

    def __init__(self, performer: Performer, number: int, name: str) -> None:
        self.performer, self.number, self.name = performer, number, name
        self.clock = HostClock()
        """When its host takes which frame."""
        self.told: dict[str, tuple[int, tuple[Any, ...]]] = {}
        """For each kind of status event the last one: the number of it, counted over all kinds, and its values."""
        self.events = 0
        """How many status events there have been."""
        self.last_t = 0
        """Host frame for which the newest message without a timetag was meant."""
        self._seen = 0  # ns of the last callback that `clock` knows
        with performer.lock:  # so that nothing happens between what is and what is told from now on
            for command in COMMANDS.values():
                if command.query:
                    self.hear(command.name, *performer.setting(command.name))
            self.hear("playing", int(performer.state.playing))
            if performer.state.model is not None:
                self.hear("model", performer.state.model, performer.state.sample_rate)
            performer.watch(self.hear)

    @property
    def labels(self) -> list[str]:
        """What may stand for it in an address: its number, and its name if it has one."""
        return [str(self.number), *([self.name] if self.name else [])]

    def hear(self, kind: str, *values: Any) -> None:
        """A status event, on whatever thread it happens."""
        number = self.events + 1  # the performer calls for one event at a time
        if kind == "loaded":
            self.told["model"] = (number, values)
        if kind == "loaded2":
            self.told["model2"] = (number, values)
        if kind == "worker" and values == ("off",):  # after `unload` there is no model
            self.told.pop("model", None)
        self.told[kind] = (number, values)
        self.events = number  # last: who sees it finds the event

    def present(self, command: Command) -> tuple[Any, ...] | None:
        """What a command is set to, as its status event has it; None if that is unknown."""
        if command.query:
            return self.performer.setting(command.name)
        return self.told.get(command.told, (0, None))[1]

    def news(self, since: int, passing: bool = True) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """What it told after the first `since` events: OSC addresses, and the values last told there. Without
        `passing`, only what is, and not what happened."""
        for kind, (number, values) in list(self.told.items()):
            if number > since and (passing or kind not in PASSING):
                for label in self.labels:
                    for name in addresses(kind):
                        yield f"/{ROOT}/{label}/{name}", as_sent(name, values)

    def look_at_clock(self) -> None:
        """Takes note of the host's last callback, for `clock`."""
        frame, ns = self.performer.stream.clock()
        if ns != self._seen and not self.performer.freewheel:
            self._seen = ns
            self.clock.observe(frame, ns, self.performer.stream.sample_rate)

    def __repr__(self) -> str:
        return f"<Instance {' or '.join(self.labels)}: {self.performer!r}>"


class Instances:
    """Numbers are given from 1 up and stay. Several instances may have one name: a message to it reaches them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.all: tuple[Instance, ...] = ()
        """By number."""
        self.version = 0
        """Another one whenever an address may mean somebody else."""

    def add(self, performer: Performer, name: str = "") -> Instance:
        """Raises SopiError for a name that can't stand in an address."""
        _check_name(name)
        with self._lock:
            taken = {i.number for i in self.all}
            number = next(n for n in itertools.count(1) if n not in taken)
            instance = Instance(performer, number, name)
            self.all = tuple(sorted((*self.all, instance), key=lambda i: i.number))
            self.version += 1
        return instance

    def rename(self, instance: Instance, name: str) -> None:
        """Gives it another name, or none if that is empty. Raises SopiError for one that can't stand in an address."""
        _check_name(name)
        with self._lock:
            instance.name = name
            self.version += 1

    def remove(self, instance: Instance) -> None:
        """No address means it any more, and nothing here keeps its performer."""
        instance.performer.unwatch(instance.hear)
        with self._lock:
            self.all = tuple(i for i in self.all if i is not instance)
            self.version += 1


def _check_name(name: str) -> None:
    if name and (not is_name(name) or name.isdigit()):
        raise SopiError(
            f"{name!r} can't be a name in OSC, expected letters, digits and signs but no space or any of #*,/?[]{{}}, "
            "and not only digits"
        )
