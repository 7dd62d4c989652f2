"""The callback takes no lock, allocates nothing and touches no file: checked call by call, in C++ and in real Pd."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pd_host import Patch, run

ROOT = Path(__file__).resolve().parents[1]


def make(*words: str) -> None:
    subprocess.run(["make", "--no-print-directory", "-s", "-j2", "-C", ROOT / "tests" / "native", *words], check=True)


@pytest.fixture(scope="module")
def checker() -> dict[str, str]:
    """The environment in which Pd loads it first."""
    make("checker")
    return {"LD_PRELOAD": str(ROOT / "build" / "native-tests" / "plain" / "realtime_checker.so")}


@pytest.mark.parametrize("program", ["test_realtime", "test_kernels"])
def test_native_promises_hold(program: str) -> None:
    """test_realtime: what a callback calls, and that the checker finds what is planted. test_kernels: every kernel that
    this processor has gives what a plain loop gives."""
    make("run", f"PROGRAMS={program}")


def instrument(path: Path, quit_after: float, *messages: tuple[float, str]) -> Path:
    patch = Patch()
    box = patch.obj("pyext~ 1 1 1 2 samplernn_pd samplernn small")
    sine = patch.obj("osc~ 440")
    patch.connect(sine, 0, box)
    for outlet in range(2):
        patch.connect(box, outlet, patch.obj("*~ 0.1"))
    for ms, text in messages:
        patch.at(ms, text, box, 1)
    patch.quit(quit_after)
    return patch.write(path)


def test_pd_performs_without_lock_allocation_or_file(tmp_path: Path, pd_models: Path, checker: dict[str, str]) -> None:
    """While it starts, plays, is turned, listens, and changes its model and its latency."""
    path = instrument(
        tmp_path / "play.pd",
        3000,
        (300, "generate"), (500, "temperature 0.7 100"), (600, "listen 1 input"), (900, "listen 0"),
        (1000, "load other"), (1400, "latency 30"), (1500, "stop"), (1600, "generate"), (2000, "voices 2"),
    )  # fmt: skip
    done = run(path, batch=False, environment=checker, timeout=30)
    assert "real-time promise broken" not in done.out, done.out
    assert done.code == 0 and not done.errors(), done.out


def test_in_pd_too_the_checker_finds_a_lock(tmp_path: Path, pd_models: Path, checker: dict[str, str]) -> None:
    """In freewheel the callback waits for the engine, which it may not do where somebody listens."""
    path = instrument(tmp_path / "wait.pd", 30000, (100, "freewheel 1"), (300, "generate"))
    done = run(path, batch=False, environment=checker, timeout=60)
    assert "real-time promise broken: pthread_mutex_lock in the callback" in done.out, done.out
