"""How well a model predicts, and how close a sound is to another: numbers to listen with."""

from sopilib.score.likelihood import bits_per_sample
from sopilib.score.sound import describe, log_mel_distance

__all__ = ["bits_per_sample", "describe", "log_mel_distance"]
