"""Where one process works, a second one is refused, which says who is there; and a process that died holds nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sopilib import SopiError, cli
from sopilib.locks import one_process

RATE = 8000
NO_FLOCK = "#include <errno.h>\nint flock(int file, int how) { (void)file, (void)how; errno = ENOSYS; return -1; }\n"


def hold(place: Path, held: Any) -> None:
    with one_process(place, "sopi train"):
        held.set()
        signal.pause()


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """A process that works in tmp_path/run."""
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", held))
    process.start()
    assert held.wait(60)
    yield process
    process.kill()
    process.join()


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.5 * np.sin(np.arange(2 * RATE) * 0.1), RATE)
    return path


@pytest.mark.parametrize("command", ["train", "tune"])
def test_the_same_training_or_search_started_twice_is_refused_and_the_first_one_named(
    command: str, holder: Any, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert cli.main([command, str(sound), "-o", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert f"sopi train works there already (process {holder.pid} on {socket.gethostname()})" in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


def test_two_that_prepare_the_same_set_are_kept_apart(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with one_process(tmp_path / "set", "sopi prepare", beside=True):
        assert cli.main(["prepare", str(sound), "-o", str(tmp_path / "set"), "--sample-rate", str(RATE)]) == 1
        assert f"sopi prepare works there already (process {os.getpid()}" in capsys.readouterr().err
        with one_process(tmp_path / "other", "sopi prepare", beside=True):  # another set in the same folder
            pass
    assert cli.main(["prepare", str(sound), "-o", str(tmp_path / "set"), "--sample-rate", str(RATE)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "set"]


def test_a_killed_process_holds_nothing(holder: Any, tmp_path: Path) -> None:
    with pytest.raises(SopiError), one_process(tmp_path / "run", "sopi train"):
        pass
    holder.kill()
    holder.join()
    until = time.monotonic() + 60
    while True:
        try:
            with one_process(tmp_path / "run", "sopi train"):
                break
        except SopiError:
            assert time.monotonic() < until
    assert not list((tmp_path / "run").iterdir())


def test_a_refused_training_leaves_no_empty_folder(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ([str(sound), "--dim", "0"], [str(tmp_path / "missing.wav")], [str(sound), "--batch", "0"], []):
        assert cli.main(["train", "-o", str(tmp_path / "runs" / "new"), *options]) == 1
        assert capsys.readouterr().err.count("\n") == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav"]


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD")
def test_where_the_file_system_has_no_locks_that_is_said_and_it_works(tmp_path: Path) -> None:
    (tmp_path / "no_flock.c").write_text(NO_FLOCK)
    library = tmp_path / "no_flock.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "no_flock.c")], check=True)
    script = (
        "from pathlib import Path; from sopilib.locks import one_process\n"
        f"with one_process(Path({str(tmp_path / 'run')!r}), 'sopi train'): print('works')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True
    )
    assert done.stdout == "works\n"
    assert "this file system has no locks" in done.stderr
    assert not (tmp_path / "run").exists()
