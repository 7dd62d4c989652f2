"""How well a model predicts, and how close a sound is to another: numbers to listen with."""

from sopilib.score.likelihood import Likelihood, bits_per_sample, likelihood
from sopilib.score.sound import compare, describe, failures, log_mel_distance, mel_power, tones
from sopilib.score.stillness import longest_still, stillness

__all__ = [
    "Likelihood",
    "bits_per_sample",
    "compare",
    "describe",
    "failures",
    "likelihood",
    "log_mel_distance",
    "longest_still",
    "mel_power",
    "stillness",
    "tones",
]
