"""Readers of what strangers send or files hold, fuzzed for a few seconds each, led by what of them is reached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from targets import TARGETS, one_line, seeds

from sopilib import SopiError

pytest.importorskip("atheris", reason="atheris is there for Python below 3.14 on x86-64")
FUZZ = Path(__file__).parent / "fuzz" / "fuzz.py"


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_gives_an_error_in_one_line_for_whatever_it_reads(name: str) -> None:
    command = [sys.executable, str(FUZZ), name, "--seconds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "new_units_added" in done.stderr


@pytest.mark.filterwarnings("ignore::sopilib.SopiWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzers_begin_with_is_mostly_right(name: str, tmp_path: Path) -> None:
    inputs, wrong = seeds(name, tmp_path), 0
    for data in inputs:
        try:
            TARGETS[name](data, tmp_path)
        except SopiError as e:
            one_line(e, data)
            wrong += 1
    assert wrong < len(inputs) / 2


def test_a_file_of_snapshots_with_an_impossible_position_is_one_sentence(tmp_path: Path) -> None:
    (right,) = seeds("snapshots", tmp_path)
    for position in (b"-1", b"1e3", b"99999999999999999999"):
        with pytest.raises(SopiError, match="damaged: the position of slot 1") as e:
            TARGETS["snapshots"](right.replace(b'\\"1\\": 0', b'\\"1\\": ' + position), tmp_path)
        one_line(e.value, b"")
