"""The stream's resampler: as good as soxr to the ear, and with nothing held back but its 2 ms."""

import math

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_player import resample

from sopilib.native._native import Resampler

RATES = [(16000, 44100), (16000, 48000), (44100, 48000), (48000, 44100), (22050, 44100), (44100, 16000), (48000, 16000)]


def in_band_noise(n, rate, highest, seed=0):
    """Noise with nothing above `highest` Hz and silent ends."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    spectrum[np.fft.rfftfreq(n, 1 / rate) > highest] = 0
    noise = np.fft.irfft(spectrum, n) * np.hanning(n)
    return (0.5 * noise / np.abs(noise).max()).astype(np.float32)


def test_equal_rates_change_no_bit():
    noise = in_band_noise(4000, 16000, 8000)
    out = resample(noise, 16000, 16000, (64, 1, 7))
    assert np.array_equal(out, noise[: len(out)])


@pytest.mark.parametrize(("model_rate", "host_rate"), RATES)
def test_sounds_like_soxr(model_rate, host_rate):
    lower = min(model_rate, host_rate)
    noise = in_band_noise(model_rate, model_rate, 0.42 * lower)
    ours = resample(noise, model_rate, host_rate).astype(float)
    theirs = soxr.resample(noise.astype(float), model_rate, host_rate, quality="VHQ")[: len(ours)]
    ours = ours[: len(theirs)]
    delay = Resampler(model_rate, host_rate).delay
    frequencies = np.fft.rfftfreq(len(theirs), 1 / host_rate)
    delayed = np.fft.irfft(np.fft.rfft(theirs) * np.exp(-2j * math.pi * frequencies * delay), len(theirs))
    error = np.sqrt(np.mean((ours - delayed) ** 2) / np.mean(delayed**2))
    assert 20 * math.log10(error) < -60


@pytest.mark.parametrize(("model_rate", "host_rate"), RATES)
def test_is_flat_and_without_images(model_rate, host_rate):
    lower = min(model_rate, host_rate)
    for part in (0.03, 0.4, 0.7, 0.85):
        f = part * lower / 2
        tone = np.sin(2 * np.pi * f * np.arange(model_rate // 2) / model_rate)
        out = resample(tone, model_rate, host_rate)[host_rate // 50 :].astype(float)
        time = np.arange(len(out)) / host_rate
        basis = np.stack([np.sin(2 * np.pi * f * time), np.cos(2 * np.pi * f * time)], 1)
        weights = np.linalg.lstsq(basis, out, rcond=None)[0]
        level = 20 * math.log10(np.hypot(*weights))
        rest = np.std(out - basis @ weights)
        assert abs(level) < 0.1, f"{f:.0f} Hz comes out at {level:.2f} dB"
        assert 20 * math.log10(rest * math.sqrt(2)) < -65, f"images of {f:.0f} Hz"


def test_what_lies_above_the_hosts_band_does_not_fold_back():
    tone = np.sin(2 * np.pi * 9000 * np.arange(22050) / 44100)
    assert np.abs(resample(tone, 44100, 16000)[800:]).max() < 10 ** (-65 / 20)


@pytest.mark.parametrize(("model_rate", "host_rate"), [*RATES, (8000, 48000), (16000, 44099)])
def test_delays_by_at_most_two_milliseconds(model_rate, host_rate):
    assert Resampler(model_rate, host_rate).delay <= 0.002 + 1e-9
    click = np.zeros(model_rate // 10, np.float32)
    click[100] = 1
    peak = np.argmax(np.abs(resample(click, model_rate, host_rate))) / host_rate
    assert peak - 100 / model_rate <= 0.002 + 1 / host_rate + 1 / model_rate


@pytest.mark.parametrize(("model_rate", "host_rate"), RATES)
def test_a_sample_is_never_heard_before_its_time(model_rate, host_rate):
    noise = in_band_noise(2000, model_rate, model_rate / 2)
    for m in (700, 701, 757):
        other = noise.copy()
        other[m:] += 0.25
        a, b = resample(noise, model_rate, host_rate), resample(other, model_rate, host_rate)
        first = np.flatnonzero(a != b)[0]
        begins = -(-m * host_rate // model_rate)
        assert begins <= first <= begins + 2  # the filter's very first coefficients may round to nothing


@settings(max_examples=30)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=5), st.sampled_from(RATES))
def test_the_split_into_blocks_changes_nothing(pieces, rates):
    noise = in_band_noise(3000, rates[0], rates[0] / 2)
    whole, split = resample(noise, rates[0], rates[1], (1,)), resample(noise, rates[0], rates[1], pieces)
    assert np.array_equal(whole[: len(split)], split)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_a_rate_that_moves_is_the_same_for_any_split(pieces):
    noise = in_band_noise(9000, 16000, 7000)
    rates = np.linspace(0.3, 3.9, 6000)

    def play(pieces):
        resampler, out, turn, at = Resampler(16000, 48000), [], 0, 0
        while at < len(rates):
            n = pieces[turn % len(pieces)]
            out.append(resampler.vary(noise[resampler.samples :], rates[at : at + n]))
            at, turn = at + n, turn + 1
        return np.concatenate(out)

    assert np.array_equal(play([1]), play(pieces))
