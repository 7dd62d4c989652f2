"""On stage: JACK, real-time priority, and other Python code in the same Pd that does its worst. A short form of
tests/bench/realtime.py."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pd_host import Patch
from realtime import compare, heard_after, live, measure
from stream_host import cannot_be_judged, in_real_time


def may_be_real_time() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def real_time_priority() -> None:
    if not may_be_real_time():
        cannot_be_judged("this user may not have real-time priority")


@pytest.mark.parametrize("held", [0, 200])
def test_sound_has_no_gap_while_python_is_kept_busy(held: int) -> None:
    """And it is the sound of the freewheel render but for the messages that were late because Python was held."""

    def attempt() -> None:
        m = measure(4, rings=True, held=held)
        assert m.underruns == 0, m
        assert m.gaps == 0, m
        assert m.equal_with_late == m.seconds, m
        assert m.late < 0.5 * 50 * m.seconds, m
        assert m.late or m.equal_for == m.seconds, m

    in_real_time(attempt)


@pytest.mark.parametrize(("message", "slack"), [("temperature 5", 96), ("gain 0.5", 4)])
def test_a_message_is_heard_latency_after_a_click_made_with_it(message: str, slack: int) -> None:
    """JACK's recording has 16 bits: the first traces of another sample, up to 2 ms before its middle, round to nothing.
    tests/test_pd_sound.py finds the very first."""

    def attempt() -> None:
        found, expected = heard_after(message)
        assert expected - 1 <= found <= expected + slack

    in_real_time(attempt)


def test_a_large_model_is_loaded_from_a_cold_file_while_playing_without_gap(tmp_path: Path, pd_models: Path) -> None:
    with (pd_models / "large" / "large.safetensors").open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    patch = Patch()
    go = patch.wait_for_go()
    box = patch.obj("samplernn~ small latency 30 gain 0.5")
    patch.connect(box, 0, patch.obj("dac~ 1"))
    patch.print(box, 1, "status")
    patch.at(500, "generate", box)
    patch.at(1500, "load large", box)
    patch.at(3400, "status", box)
    patch.record(tmp_path / "pd.wav", box, 3000, begin=500, rest=100)
    patch.quit(3900)
    path = patch.write(tmp_path / "patch.pd")

    def attempt() -> None:
        printed = live(path, go, 4)
        assert "status: loaded large" in printed
        assert printed.rindex("status: loaded large") < printed.rindex("status: model large"), "it was loaded in time"
        assert "status: underruns 1" not in printed
        own, at_jack = (soundfile.read(tmp_path / f"{name}.wav", dtype="float32")[0] for name in ("pd", "jack"))
        assert compare(own, at_jack)[0] == 0
        loud = np.sqrt(np.convolve(own[4800:] ** 2, np.ones(240) / 240, "valid"))
        assert loud.min() > 0.1 * np.median(loud)

    in_real_time(attempt)
