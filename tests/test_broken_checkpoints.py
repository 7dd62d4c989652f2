"""A checkpoint is untrusted: whatever is in it, it loads or is one clear error, in bounded time and memory.

Some of each format here; thousands in bench/fuzz_checkpoints.py.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from mutants import FORMATS

import sopilib
from sopilib import SopiError

pytestmark = pytest.mark.filterwarnings("ignore::sopilib.SopiWarning")


@pytest.fixture
def a_gigabyte() -> Iterator[None]:
    """More of memory is not to be had."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("name", FORMATS)
def test_a_broken_file_loads_or_is_a_clear_error(name: str, tmp_path: Path, a_gigabyte: None) -> None:
    errors = 0
    for i in range(200):
        path = FORMATS[name](tmp_path, Random(f"{name} {i}"))
        begin = time.monotonic()
        try:
            sopilib.load(path)
        except SopiError as e:
            errors += 1
            assert "\n" not in str(e)
        assert time.monotonic() - begin < 5
    assert errors > 50
