"""What a sound is like for a second at a time: whether it comes again, and whether a small classifier tells it from
recordings. A patch is 20 frames of 50 ms, of 20 mel bands in dB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sopilib.score.stillness import frames

LENGTH, HOP = 20, 10
"""Frames of a patch, and from one to the next."""
MOST = 2000
"""Patches that are looked at, evenly taken."""
APART = 4
"""Patches between two that are compared: two seconds."""


def patches(sounds: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
    """The patches of sounds, each float [n]: [patches, 400]."""
    found = [np.zeros((0, LENGTH * 20))]
    for audio in sounds:
        levels, _ = frames(audio, sample_rate)
        if len(levels) >= LENGTH:
            views = np.lib.stride_tricks.sliding_window_view(levels, LENGTH, axis=0)[::HOP]
            found.append(views.reshape(len(views), -1))
    whole = np.concatenate(found)
    return whole[np.linspace(0, len(whole) - 1, MOST).astype(int)] if len(whole) > MOST else whole


def repetition(audio: np.ndarray, sample_rate: int) -> float | None:
    """How near a sound, float [n], comes to repeating itself, in dB: how far each second of it is from the most like it
    of all that are two seconds away or more, as the median. 0 for a loop. None if it is shorter than four seconds."""
    found = patches([audio], sample_rate)
    if len(found) <= 2 * APART:
        return None
    squares = np.sum(found**2, axis=1)
    distance = np.maximum(squares[:, None] + squares - 2 * found @ found.T, 0) / found.shape[1]
    places = np.arange(len(found))
    distance[np.abs(places[:, None] - places) < APART] = np.inf
    return float(np.median(np.sqrt(distance.min(axis=1))))


def told_apart(made: Sequence[np.ndarray], real: Sequence[np.ndarray], sample_rate: int) -> float | None:
    """How well a small classifier tells sounds from recordings, each float [n]: the chance that it takes the right one
    of a patch of each, 0.5 if it is at a loss, 1 if always.

    Logistic regression on patches. It learns from every second take and every second recording, and is asked about the
    others; of a single one it learns from the first half. None if there are less than ten patches of either.

    This judges a model, never chooses among models: what is chosen by a judge learns to please it.
    """
    mine, theirs = (_halves(sounds, sample_rate) for sounds in (made, real))
    if min(map(len, (*mine, *theirs))) < 10:
        return None
    mean, deviation = theirs[0].mean(axis=0), theirs[0].std(axis=0) + 1.0
    learnt = _learn(*((x - mean) / deviation for x in (mine[0], theirs[0])))
    a, b = (((x - mean) / deviation) @ learnt for x in (mine[1], theirs[1]))
    both = np.concatenate([a, b])
    ranks = np.empty(len(both))
    ranks[np.argsort(both, kind="stable")] = np.arange(1, len(both) + 1)
    return float((ranks[: len(a)].sum() - len(a) * (len(a) + 1) / 2) / (len(a) * len(b)))


def _halves(sounds: Sequence[np.ndarray], sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    if len(sounds) == 1:
        middle = len(sounds[0]) // 2
        sounds = [sounds[0][:middle], sounds[0][middle:]]
    return patches(sounds[::2], sample_rate), patches(sounds[1::2], sample_rate)


def _learn(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Weights [features] of a logistic regression, both kinds counting alike, by Newton's steps with a ridge."""
    x = np.concatenate([mine, theirs])
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    y = np.repeat([1.0, 0.0], [len(mine), len(theirs)])
    counts = np.repeat([0.5 / len(mine), 0.5 / len(theirs)], [len(mine), len(theirs)])
    w, ridge = np.zeros(x.shape[1]), 0.01 * np.eye(x.shape[1])
    for _ in range(12):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        gradient = x.T @ (counts * (y - p)) - ridge @ w
        w = w + np.linalg.solve((x * (counts * p * (1 - p))[:, None]).T @ x + ridge, gradient)
    return w[:-1]
