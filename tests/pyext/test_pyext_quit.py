"""However Pd ends, the process is gone at once, with the right status, whatever Python is doing."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pyext_host import Patch, Pd

LIMIT = 30.0  # seconds: longer than any of the cases keeps Python busy


def quit_status(pd: Pd, box: str, message: str, how: str) -> int:
    """Starts Pd, gives the object its message, ends Pd when the object is at it; returns the exit status.

    Native libraries get to close their files in any case.
    """
    patch = Patch()
    stuck = patch.obj(box)
    patch.inlet(stuck, 1, "in")
    patch.send(20, f"in {message}")
    first, delay = patch.obj("t b b"), patch.obj("del 50")
    patch.connect(stuck, 1 if "~" in box else 0, first, 0)
    patch.prints(first, 1, "stuck")
    if how == "quit":
        patch.connect(first, 0, delay, 0)
        patch.connect(delay, 0, patch.msg(";pd quit"), 0)
    process = pd.start(patch, batch=False)
    try:
        assert process.stdout
        output = ""
        while "stuck" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        if how != "quit":
            time.sleep(0.05)
            process.send_signal(getattr(signal, how))
        status = process.wait(timeout=LIMIT)
        assert "ringed" not in box or "closed" in process.stdout.read()
        return status
    finally:
        process.kill()


CASES = {
    "a busy Python thread": "count",
    "a handler asleep": "sleep 100",
    "a C call that keeps the GIL": "keep 100",
}


@pytest.mark.parametrize("box", ["pyext~ 1 1 0 1 busy ringed_stuck", "pyext 1 1 busy stuck @detach 1"])
@pytest.mark.parametrize("case", CASES)
def test_pd_quit_ends_the_process_at_once_twenty_times(pd: Pd, case: str, box: str) -> None:
    def once(i: int) -> int:
        folder = pd.folder / str(i)
        folder.mkdir()
        return quit_status(replace(pd, folder=folder), box, CASES[case], "quit")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(once, range(20))) == [0] * 20


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("how", "status"), [("SIGTERM", -signal.SIGTERM), ("SIGINT", 1)])  # as without the external
def test_signals_end_the_process_at_once(pd: Pd, case: str, how: str, status: int) -> None:
    assert quit_status(pd, "pyext~ 1 1 0 1 busy ringed_stuck", CASES[case], how) == status
