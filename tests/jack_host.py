"""JACK without a sound card: its dummy driver, on a server of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

NUMBER = count()


@contextmanager
def dummy_jack(rate: int = 48000, period: int = 256, priority: bool = False) -> Iterator[dict[str, str]]:
    """Runs JACK -> the environment in which programs find it. priority: with that of real time."""
    server = f"sopi{os.getpid()}-{next(NUMBER)}"
    environment = {**os.environ, "JACK_DEFAULT_SERVER": server, "JACK_NO_AUDIO_RESERVATION": "1"}
    how = ["-R", "-P", "70"] if priority else ["-r"]
    command = ["jackd", "-n", server, *how, "-d", "dummy", "-r", str(rate), "-p", str(period)]
    jackd = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        wait = ["jack_wait", "-w", "-t", "30", "-s", server]
        subprocess.run(wait, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        yield environment
    finally:
        jackd.terminate()
        jackd.wait()
