"""What goes wrong around an engine: too few threads, two users at once, arrays of wrong shapes."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sopilib
from sopilib.engine import Engine
from sopilib.errors import SopiError
from sopilib.model import fold
from sopilib.native import _native

SHAPE: dict[str, Any] = {"frame_sizes": [4, 16], "dim": 32, "mlp_dim": 32}

FEW_THREADS = """
import re, resource
import numpy as np
import sopilib
from sopilib.engine import Engine, pack

small, large = (sopilib.Model.random(sopilib.Config(frame_sizes=[4, 16], dim=d, mlp_dim=32), seed=0) for d in (32, 272))
expected = Engine(small).generate(50)
of_large = Engine(large).generate(50)
used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (used + (700 << 20), -1))  # stacks for two threads
engine = Engine(small, threads=16)
assert 1 <= engine.source.threads <= 3, engine.source.threads
assert (engine.generate(50) == expected).all()
assert (Engine(large).generate(50) == of_large).all()
"""


def large_stacks() -> None:
    resource.setrlimit(resource.RLIMIT_STACK, (256 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))


def test_an_engine_for_which_the_system_has_no_threads_plays_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FEW_THREADS], capture_output=True, text=True, timeout=60, preexec_fn=large_stacks
    )
    assert done.returncode == 0, done.stderr


def made(voices: int = 2, **more: Any) -> Engine:
    return Engine(sopilib.Model.random(sopilib.Config(**SHAPE), seed=1), voices=voices, **more)


def test_an_engine_that_two_threads_use_at_once_says_so_and_plays_on() -> None:
    engine = made()
    engine.reset(3)
    n = 20000
    expected = made()
    expected.reset(3)
    refused: list[str] = []
    over = threading.Event()

    def disturb() -> None:
        while not over.is_set():
            try:
                engine.state()
            except RuntimeError as e:
                refused.append(str(e))

    other = threading.Thread(target=disturb)
    codes: list[Any] = []
    other.start()
    while len(codes) * n < 200000 and not refused:
        try:
            codes.append(engine.generate(n))
        except RuntimeError as e:
            refused.append(str(e))
    over.set()
    other.join()
    assert "the engine is being used by another thread" in refused[0] and "\n" not in refused[0]
    codes.append(engine.generate(n))
    for part in codes:
        assert (part == expected.generate(n)).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e: e.prime(np.zeros((3, 5), np.int32), np.zeros((2, 0), np.float32)), "codes has shape (3, 5)"),
        (
            lambda e: e.prime(np.full((2, 5), 256, np.int32), np.zeros((2, 0), np.float32)),
            "a code is 256, expected 0 to",
        ),
        (lambda e: e.prime(np.zeros((2, 5), np.int32), np.zeros((2, 1), np.float32)), "features has shape (2, 1)"),
        (
            lambda e: e.teacher_force(np.zeros((2, 5), np.int32), np.zeros((2, 0, 0), np.float32)),
            "the number of codes is 5",
        ),
        (lambda e: e.time_blocks(-1, 5), "blocks is -1, expected 1 to"),
        (lambda e: e.share_of_products(5, 0), "n is 0, expected 1 to"),
        (lambda e: e.clone(0), "voices is 0, expected 1 to 1024"),
        (lambda e: e.clone(2**31 - 1), "voices is 2147483647, expected 1 to 1024"),
        (lambda e: e.set_state({**e.state(), "position": 16}), "position is 16, expected 0 to 15"),
        (
            lambda e: e.set_state({**e.state(), "history": np.full((2, 16), -1, np.int32)}),
            "a code is -1, expected 0 to",
        ),
    ],
)
def test_arrays_that_do_not_fit_an_engine_give_one_sentence(call: Any, said: str) -> None:
    with pytest.raises(ValueError) as told:
        call(made().source)
    assert said in str(told.value) and "\n" not in str(told.value)


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    engine = made()
    engine.generate(7)
    before = engine.source.state()
    wrong = {**made().source.state(), "tier1.output": np.zeros((2, 5), np.float32)}
    with pytest.raises(ValueError, match="tier1.output has shape"):
        engine.source.set_state(wrong)
    for name, value in engine.source.state().items():
        assert np.array_equal(value, before[name])


def test_weights_that_do_not_fit_their_config_give_one_sentence() -> None:
    model = sopilib.Model.random(sopilib.Config(**SHAPE), seed=1)
    config, folded = fold.fold_sample_level(model.config, fold.fold_input(model.config, model.weights))
    given = {**config.to_dict(), "q_zero": config.q_zero}
    arrays = {k: np.ascontiguousarray(w, np.float32) for k, w in folded.items()}
    levels = np.zeros(config.q_levels, np.float32)
    arrays |= {"seen": levels, "decode": levels}
    _native.make_weights(given, arrays, "int8")
    for name in arrays:
        for wrong in (
            {k: v for k, v in arrays.items() if k != name},
            {**arrays, name: np.zeros((1, 2, 3, 4), np.float32)},
        ):
            try:
                _native.make_weights(given, wrong, "int8")
            except ValueError as e:
                assert name in str(e) and "\n" not in str(e)
            else:
                assert name not in wrong  # an optional one
    with pytest.raises(ValueError, match="dim is 0, expected 1 to"):
        _native.make_weights({**given, "dim": 0}, arrays, "int8")
    with pytest.raises(ValueError, match="precision is 'int3'"):
        _native.make_weights(given, arrays, "int3")


@pytest.mark.parametrize(
    "call",
    [
        lambda e: e.generate(-1),
        lambda e: e.generate(5, temperature=np.ones((3, 5))),
        lambda e: e.generate(5, top_k=[1, 2, 3]),
        lambda e: e.generate(5, top_p=2),
        lambda e: e.prime([[0.5, 1], [0, 1]]),
        lambda e: e.prime("sound"),
        lambda e: e.prime(np.zeros(5, np.int32)),
        lambda e: e.teacher_force(np.zeros((2, 3), np.int32)),
        lambda e: e.set_state({}),
        lambda e: e.reset(-1),
        lambda e: e.clone(0),
    ],
)
def test_a_wrong_argument_to_an_engine_is_one_sentence(call: Any) -> None:
    with pytest.raises((SopiError, ValueError)) as told:
        call(made())
    assert "\n" not in str(told.value) and len(str(told.value)) < 200


def test_editors_and_mypy_see_every_name_of_the_native_part() -> None:
    stub = (Path(sopilib.__file__).parent / "native" / "_native.pyi").read_text()
    for name in dir(_native):
        if not name.startswith("_"):
            assert f"class {name}" in stub or f"def {name}(" in stub
    assert "__getattr__" not in stub


FORKED = """
import os
import sopilib
from sopilib.engine import Engine

engine = Engine(sopilib.Model.random(sopilib.Config(frame_sizes=[4, 16], dim=32, mlp_dim=32), seed=0), threads=3)
engine.generate(50)
child = os.fork()
if child == 0:
    try:
        engine.generate(50)
    except RuntimeError as e:
        print(e)
    del engine
    print("over", flush=True)
    os._exit(0)
os.waitpid(child, 0)
engine.generate(50)
"""


def test_an_engine_in_a_forked_child_says_that_its_threads_are_not_there() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said, over = done.stdout.splitlines()
    assert said.startswith("the engine's threads stayed in the process that made it") and over == "over"
