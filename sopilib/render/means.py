"""With how many voices and engines takes are made fastest here. What they sound like does not depend on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sopilib.engine import Engine
from sopilib.errors import SopiError
from sopilib.render.device import GPU_VOICES, voices_on
from sopilib.render.plan import Plan, Take
from sopilib.threads import cores

__all__ = ["Means", "best", "speed"]

TRIAL = 0.2
"""s of work for each way that is tried."""
WORTH = 10.0
"""s of work from which on it is worth the trial."""
USUAL_VOICES = 8
MOST_VOICES = 64
"""Of one engine in the trial: more are hardly faster, and what is broken off in between is more."""


@dataclass(frozen=True, order=True)
class Means:
    """How takes are made.

    voices   that one engine has, each for one take
    engines  that run at the same time
    threads  of each engine
    """

    voices: int
    engines: int = 1
    threads: int = 1

    @classmethod
    def chosen(cls, engine: Engine, plan: Plan, missing: Sequence[Take], threads: int, voices: int) -> Means:
        """What suits these takes on this machine: of several ways the fastest, by a short trial if they take long.

        threads  cores that may be used; 0: all
        voices   of each engine, if somebody has said that; 0: nobody has

        Raises SopiError if these are none.
        """
        if threads < 0 or not 0 <= voices <= 1024:
            raise SopiError(
                f"threads are {threads} and voices {voices}, expected 1 to 64 threads and 1 to 1024 voices, or 0: by a "
                "trial"
            )
        if engine.backend == "batch":
            return cls(voices_on(engine, voices or len(missing)))
        count, at_once = max(1, len(missing)), min(64, threads or cores())
        if plan.score is not None:
            return cls(1, min(count, at_once))
        if voices:
            return cls(voices, min(at_once, -(-count // voices)))
        usual, *others = _ways(count, at_once)
        if not others:
            return usual
        made = {usual: speed(engine, usual)}
        work = sum(take.seconds for take in missing) * engine.config.sample_rate
        if work / made[usual] > WORTH:
            made |= {way: speed(engine, way) for way in others}
        return best(count, made)

    @classmethod
    def spread(cls, engine: Engine, missing: Sequence[Take], places: int, voices: int) -> Means:
        """What suits these takes on a cluster that makes so many units at a time. `voices` as in `chosen`."""
        most = GPU_VOICES if engine.backend == "batch" else USUAL_VOICES
        return cls(voices or max(1, min(most, -(-len(missing) // places))), places)

    def engine(self, like: Engine) -> Engine:
        """An engine with so many threads."""
        return like if self.threads == 1 else Engine(like.model, precision=like.precision, threads=self.threads)


def best(count: int, made: Mapping[Means, float]) -> Means:
    """The way in which so many takes are done first; of equally good ones that with the fewest voices.

    made  for each way the samples that all its voices together make in a second
    """

    def takes_long(way: Means) -> float:
        rounds = -(-count // (way.voices * way.engines))
        return rounds * way.voices * way.engines / made[way]

    least = min(map(takes_long, made))
    return min(way for way in made if takes_long(way) <= 1.03 * least)


def speed(engine: Engine, way: Means) -> float:
    """The samples that are made in a second, for a moment, by engines as `way` has them."""
    like = way.engine(engine)
    clones = [like.clone(way.voices) for _ in range(way.engines)]
    counts, together = [0] * way.engines, threading.Barrier(way.engines)
    piece = engine.config.lookback

    def work(number: int) -> None:
        clone = clones[number]
        clone.reset(number)
        clone.generate(piece)
        together.wait()
        end = time.monotonic() + TRIAL
        while time.monotonic() < end:
            clone.generate(piece)
            counts[number] += piece * way.voices

    workers = [threading.Thread(target=work, args=(number,)) for number in range(way.engines)]
    begin = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - begin)


def _ways(count: int, at_once: int) -> list[Means]:
    """Ways to make so many takes on so many cores; the first is the one that needs no trial."""
    if count < at_once:
        spare = at_once // count
        return [Means(1, count), *([Means(1, count, spare)] if spare > 1 else [])]
    most = min(MOST_VOICES, -(-count // at_once))
    voices = sorted({most, *(1 << k for k in range(most.bit_length()) if 1 << k <= most)})
    usual = min(USUAL_VOICES, most)
    return [Means(usual, at_once), *(Means(v, at_once) for v in voices if v != usual)]
