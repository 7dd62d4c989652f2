"""With how many voices and engines takes are made fastest here. What they sound like does not depend on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from sopilib.engine import Engine
from sopilib.render.device import voices_on
from sopilib.render.plan import Plan, Take

__all__ = ["Means", "cores"]

USUAL_VOICES = 8


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Means:
    """How takes are made.

    voices   that one engine has, each for one take
    engines  that run at the same time
    """

    voices: int
    engines: int

    @classmethod
    def chosen(cls, engine: Engine, plan: Plan, missing: Sequence[Take], threads: int, voices: int) -> Means:
        """What suits these takes on this machine.

        threads  cores that may be used; 0: all
        voices   what somebody has said; 0: nobody has
        """
        if engine.backend == "batch":
            return cls(voices_on(engine, voices or len(missing)), 1)
        engines = threads or cores()
        each = voices or max(1, min(USUAL_VOICES, -(-len(missing) // engines)))
        return cls(each, engines)
