"""The class of 12.hello-from-python.pd. Change it, click on [reload(, and hear the change."""

import random

import pyext


class walk(pyext._class):
    """A random walk between two numbers: a step at each bang."""

    _inlets = 1
    _outlets = 1

    def __init__(self, least=0.6, most=1.5):
        self.least, self.most = least, most
        self.now = 1.0

    def bang_1(self):
        self.now += random.uniform(-0.15, 0.15)
        self.now = min(max(self.now, self.least), self.most)
        self._outlet(1, self.now)
