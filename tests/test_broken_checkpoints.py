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

pytestmark = pytest.mark.filterwarnings("ignore::sopilib.SopiWarning", "ignore:invalid escape:DeprecationWarning")


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
        begin = time.process_time()
        try:
            sopilib.load(path)
        except SopiError as e:
            errors += 1
            assert str(e).isprintable()
            assert len(str(e)) <= 500
        assert time.process_time() - begin < 30
    assert errors > 50


@pytest.mark.parametrize("path", ["x" * 5000, "a\nb", "a\0b", "~nobody-of-this-name/x", "/etc/hosts/x", "..", ""])
def test_impossible_paths_are_clear_errors(path: str) -> None:
    with pytest.raises(SopiError) as error:
        sopilib.load(path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= 500


def test_a_folder_that_leads_to_itself_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "01.01.2021_00.00.00").symlink_to(tmp_path)
    (tmp_path / "02.01.2021_00.00.00").symlink_to("02.01.2021_00.00.00")
    (tmp_path / "model.ckpt-1.index").symlink_to("model.ckpt-1.index")
    with pytest.raises(SopiError, match=r"model\.ckpt-1\.index"):
        sopilib.load(tmp_path)
