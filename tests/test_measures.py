"""Density bits compare models of different codings, and each measure of what a model makes knows its known answers."""

from __future__ import annotations

import numpy as np
import pytest

from sopilib import Config, Engine, Model
from sopilib.model.quantise import QUANTISERS, Quantiser
from sopilib.score import likelihood

RATE = 16000
CHANCE = np.random.default_rng(0)


# ---------------------------------------------------------------- density bits


@pytest.mark.parametrize("q_type", QUANTISERS)
def test_the_cells_of_all_codes_are_the_whole_range(q_type: str) -> None:
    quantiser = Quantiser(q_type, 256, -1 / 200, -128)
    cells = quantiser.cells()
    assert cells.sum() == pytest.approx(2)
    x = np.linspace(-1, 1, 400_001)
    counted = np.bincount(quantiser.encode(x), minlength=256) / len(x) * 2
    np.testing.assert_allclose(cells, counted, atol=2e-5)


@pytest.mark.parametrize(("levels", "level", "want"), [(64, 1.0, 1.0), (256, 1.0, 1.0), (64, 0.25, -1.0)])
def test_density_bits_know_neither_how_fine_nor_how_loud_a_coding_is(levels: int, level: float, want: float) -> None:
    """A model that knows nothing but the range says that all of it is as likely: one bit over [-1, 1]."""
    config = Config(frame_sizes=[2, 4], dim=8, q_levels=levels, q_type="linear", level=level)
    model = Model.random(config)
    flat = Model(config, {k: np.zeros_like(w) for k, w in model.weights.items()})
    scored = likelihood(Engine(flat), model.encode(level * CHANCE.uniform(-0.9, 0.9, 4000)))
    assert scored.bits == pytest.approx(np.log2(levels))
    assert scored.density_bits == pytest.approx(want, abs=0.05)  # linear has a code more on one side
