"""What tests of a performer ask of what it told, and how they wait for what happens in the background."""

import time


def lines(told, kind):
    return [event[1:] if len(event) != 2 else event[1] for event in told if event[0] == kind]


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()
