"""On stage: JACK, real-time priority, and other Python code in the same Pd that does its worst. A short form of
tests/bench/realtime.py."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))

from realtime import measure


def may_be_real_time() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        return False
    return True


pytestmark = [
    pytest.mark.skipif(not shutil.which("jackd") or not shutil.which("jack_rec"), reason="needs jackd2"),
    pytest.mark.skipif(not may_be_real_time(), reason="needs the right to real-time priority"),
]


@pytest.mark.parametrize("held", [0, 200])
def test_sound_has_no_gap_while_python_is_kept_busy(held: int) -> None:
    """And it is the sound of the freewheel render, as long as no message was late because Python was held."""
    m = measure(4, rings=True, held=held)
    assert m.underruns == 0, m
    assert m.gaps == 0, m
    if held:
        assert 0 < m.late < 0.5 * 50 * m.seconds, m
    if not m.late:
        assert m.equal_for == m.seconds, m
    else:
        assert m.equal_for > 0.3, m
