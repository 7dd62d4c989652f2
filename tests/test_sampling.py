"""Codes are drawn from softmax(logits / temperature), restricted by top-k, top-p and min-p, alike on every
instruction set. The models here are dice: whatever they hear, their logits are those given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_sets import SETS

from sopilib import Config, Engine, Model, SopiError
from sopilib.engine.reference import probabilities

VOICES = 50


def dice(logits: np.ndarray) -> Model:
    blank = Model.random(Config(frame_sizes=[2], dim=2, q_levels=len(logits)))
    weights = {name: np.zeros_like(w) for name, w in blank.weights.items()}
    weights["sample.layer1.bias"] = np.asarray(logits, np.float32)
    return Model(blank.config, weights)


def throw(logits: np.ndarray, n: int, seed: int = 1, set_: str = "auto", **how: object) -> np.ndarray:
    engine = Engine(dice(logits), voices=VOICES, precision="f32", instruction_set=set_)
    engine.reset(seed)
    return engine.generate(n, **how)


def check_frequencies(codes: np.ndarray, p: np.ndarray) -> None:
    """Chi-square of the counts, codes expected less than five times together, within five standard deviations."""
    counts, expected = np.bincount(codes.ravel(), minlength=len(p)), p / p.sum() * codes.size
    assert (counts[p == 0] == 0).all()
    rare = expected < 5
    seen = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    chi2 = ((seen - wanted)[wanted > 0] ** 2 / wanted[wanted > 0]).sum()
    freedom = max(1, (wanted > 0).sum() - 1)
    assert chi2 < freedom + 5 * (2 * freedom) ** 0.5 + 5


@pytest.mark.parametrize("q", [2, 17, 100, 256, 4096])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_frequencies_are_those_of_the_softmax(q: int, temperature: float) -> None:
    logits = np.random.default_rng(q).normal(0, 2, q)
    codes = throw(logits, 40000 // VOICES, temperature=temperature)
    check_frequencies(codes, np.exp((logits - logits.max()) / temperature))


@pytest.mark.parametrize(
    "how", [{"top_k": 7}, {"top_p": 0.6}, {"min_p": 0.05}, {"top_k": 20, "top_p": 0.9, "min_p": 0.1}], ids=str
)
def test_frequencies_among_the_codes_that_are_left(how: dict[str, float]) -> None:
    logits = np.random.default_rng(3).normal(0, 2, 256).astype(np.float32)
    codes = throw(logits, 40000 // VOICES, temperature=1.3, **how)  # type: ignore[arg-type]
    check_frequencies(codes, probabilities(torch.from_numpy(logits), 1.3, **how).numpy())  # type: ignore[arg-type]


@settings(max_examples=25)
@given(
    q=st.sampled_from([2, 15, 16, 33, 256, 700]),
    spread=st.sampled_from([0.0, 0.5, 5.0, 300.0]),
    steps=st.booleans(),
    temperature=st.sampled_from([0.01, 0.7, 1.0, 50.0]),
    top_k=st.sampled_from([0, 1, 2, 5, 200, 4096]),
    top_p=st.sampled_from([1.0, 0.951, 0.313, 0.0301]),
    min_p=st.sampled_from([0.0, 0.013, 0.87, 1.0]),
    seed=st.integers(0, 2**64 - 1),
)
def test_any_restriction_draws_what_the_reference_draws_on_every_instruction_set(
    q: int, spread: float, steps: bool, temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    logits = np.random.default_rng(seed).normal(0, spread, q)
    if steps:  # ties
        logits = np.round(logits)
    how = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    drawn = [throw(logits, 4, seed, name, **how) for name in SETS]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])
    reference = Engine(dice(logits), voices=VOICES, backend="torch")
    reference.reset(seed)
    # 24-bit sums here, 53-bit ones there: once in a hundred thousand draws a coin falls between the two
    assert (reference.generate(4, **how) != drawn[0]).sum() <= 1


def test_cold_is_the_likeliest_and_equally_likely_codes_are_drawn_equally_often() -> None:
    logits = np.linspace(-3, 3, 256)
    assert (throw(logits, 20, temperature=0.001) == 255).all()
    assert (throw(logits, 20, temperature=1000, top_k=1) == 255).all()
    tied = np.zeros(256)
    tied[[3, 77, 200]] = 9
    codes = throw(tied, 600, temperature=0.01)
    check_frequencies(codes, (tied > 0).astype(float))


def test_of_equally_likely_codes_the_lower_stay() -> None:
    even = np.zeros(8)
    assert set(throw(even, 40, top_k=3).ravel()) == {0, 1, 2}
    assert set(throw(even, 40, top_p=0.5).ravel()) == {0, 1, 2, 3}
    assert set(throw(even, 40, top_p=0.51).ravel()) == {0, 1, 2, 3, 4}
    assert set(throw(even, 40, min_p=1).ravel()) == set(range(8))


def test_top_p_counts_what_top_k_left() -> None:
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    assert set(throw(logits, 40, top_p=0.6).ravel()) == {0, 1}
    assert set(throw(logits, 40, top_k=2, top_p=0.55).ravel()) == {0}


def test_each_voice_has_its_own() -> None:
    logits = np.linspace(0, 1, 64)
    top_k = np.arange(1, VOICES + 1)
    codes = throw(logits, 200, top_k=top_k)
    assert (codes >= 64 - top_k[:, None]).all()
    assert (codes.min(1)[20:] < 64 - 10).all()


def test_a_model_that_gives_no_numbers_still_gives_codes() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        for how in ({}, {"top_k": 3}, {"top_p": 0.5}, {"min_p": 0.5}):
            codes = throw(np.array([0.0, bad, 1.0, bad, 2.0]), 5, **how)
            assert ((codes >= 0) & (codes < 5)).all()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"top_k": -1}, "top_k is -1, expected 0"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"top_k": [1, 2]}, "shape"),
        ({"top_p": 0}, "top_p is 0, expected a share above 0"),
        ({"top_p": float("nan")}, "top_p"),
        ({"min_p": 1.5}, "min_p is 1.5, expected 0 to 1"),
    ],
)
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_what_is_out_of_range_is_told(backend: str, how: dict[str, object], words: str) -> None:
    with pytest.raises(SopiError, match=words):
        Engine(dice(np.zeros(4)), backend=backend).generate(1, **how)
