"""The learning rate over a run. It bends, and never jumps, when a run is made longer or shorter."""

from __future__ import annotations

from dataclasses import dataclass

from sopilib.train.settings import Settings


@dataclass(frozen=True)
class Bend:
    """What is added to the schedule since the number of steps was changed, as a share of the highest rate."""

    step: int = 0
    """At which it was changed."""
    height: float = 0.0
    """Of the bend there; it falls to zero in a straight line."""
    length: int = 1
    """Within so many steps."""

    def at(self, step: int) -> float:
        """What is added at a step."""
        return self.height * max(0.0, 1 - (step - self.step) / self.length)


def rate(settings: Settings, bend: Bend, step: int) -> float:
    """The learning rate of a step, from 0."""
    return settings.learning_rate(step) + settings.lr * bend.at(step)


def bent(before: Settings, after: Settings, bend: Bend, step: int) -> Bend:
    """The bend with which the schedule of `after` goes on at `step` where that of `before` was. In a run that was made
    shorter the rate falls to zero at the new end; in a longer one it rises within a tenth of what is left."""
    if before.steps == after.steps:
        return bend
    height = (rate(before, bend, step) / before.lr) - (after.learning_rate(step) / after.lr)
    left = max(1, after.steps - step)
    return Bend(step, height, left if height > 0 else max(1, left // 10))
