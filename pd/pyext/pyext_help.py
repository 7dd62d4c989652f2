"""The classes of pyext-help.pd: a few lines each, to begin with."""

import pyext


class example(pyext._class):
    """Multiplies numbers by its factor: [pyext pyext_help example 2]."""

    _inlets = 1
    _outlets = 1

    def __init__(self, factor=1):
        self.factor = factor

    def float_1(self, x):
        self._outlet(1, self.factor * x)

    def bang_1(self):
        self._outlet(1, "factor", (self.factor,))

    def note_1(self, pitch, velocity=100):
        self._outlet(1, "note", (pitch + self.factor, velocity))

    def _anything_1(self, *message):
        print("example got", *message)


class softer(pyext._class):
    """Sound at a share of its strength: [pyext~ 1 1 1 1 pyext_help softer 0.1]."""

    _inlets = 1
    _outlets = 1

    def __init__(self, strength=0.5):
        self.strength = strength

    def float_1(self, strength):
        self.strength = strength

    def _signal(self):
        self._outvec(0)[:] = self._invec(0) * self.strength
