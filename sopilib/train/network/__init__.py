"""The torch module that is trained, and its layers written for speed on a CPU."""

from sopilib.train.network.network import SampleRNN, State

__all__ = ["SampleRNN", "State"]
