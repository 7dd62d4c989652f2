"""Performers, a server and a controller, for tests of OSC: what they send goes over real sockets."""

from __future__ import annotations

import tempfile
import time
from typing import Any

from osc_client import Controller

from sopilib.hosts import ClockHost
from sopilib.live import Performer
from sopilib.osc import Instances, Server


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def keeping_on(subscriber, subscribe, seconds, lease):
    """Goes on for so long, with a moment's rest between two steps. If this machine was too busy to take a step within
    half a lease, it subscribes again and begins from the start."""
    begin = last = time.monotonic()
    while time.monotonic() - begin < seconds:
        yield
        time.sleep(lease / 8)
        now = time.monotonic()
        if now - last > lease / 2:
            subscriber.send(subscribe)
            begin = now
        last = now


class Stage:
    """Two performers, `left` and one without a name, that play to nobody; a server; a controller.

    keep  frames of what they play that wait for `sound`; other options are those of the server
    """

    def __init__(self, keep=0, **options):
        self.lines: list[str] = []
        self.instances = Instances()
        self.folder = tempfile.TemporaryDirectory()
        self.performers = [Performer(folder=self.folder.name), Performer(folder=self.folder.name)]
        self.output = ClockHost(self.performers, 48000, 2, keep)
        for performer, name in zip(self.performers, ("left", "")):
            self.instances.add(performer, name)
        self.server = Server(self.instances, 0, report=self.lines.append, **options)
        self.controller = Controller(self.server.port)
        self.closing: list[Any] = [self.controller, self.server, self.output, *self.performers]

    @property
    def left(self):
        return self.performers[0]

    def sound(self):
        """What sounded since this was last asked, float (2, n): up to `keep` frames of it."""
        return self.output._output.take().T

    def controllers(self, n):
        made = [Controller(self.server.port) for _ in range(n)]
        self.closing = [*made, *self.closing]
        return made

    def settle(self):
        """Until everything that was sent is handled."""
        self.controller.ask("/samplernn/1/latency")

    def close(self):
        for what in self.closing:
            what.close()
        self.folder.cleanup()
