"""The command `sopi` on a system that has only what POSIX asks for: no realpath, no readlink."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHELLS = [shell for shell in ("dash", "bash", "busybox", "zsh", "ksh") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """A shell, and nothing but the programs that the command may need in PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("ls", "dirname"):
        (tools / name).symlink_to(shutil.which(name) or name)
    return [shutil.which(request.param) or "", *(["sh"] if request.param == "busybox" else [])]


def a_python(path: Path) -> None:
    """A program that says which one it is and what it is asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho {path.name} in "$(dirname -- "$0")": "$@"\n')
    path.chmod(0o755)


def a_command(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "sopilib" / "cli" / "sopi.sh", path)
    return path


def said(shell: list[str], command: Path, *folders: Path) -> str:
    path = os.pathsep.join(map(str, folders))
    done = subprocess.run(
        [*shell, str(command), "play", "a b"], env={"PATH": path}, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.stderr == "" and done.returncode == 0
    return done.stdout.strip()


def test_a_command_that_is_linked_to_starts_the_python_of_its_venv(shell: list[str], tmp_path: Path) -> None:
    venv = tmp_path / "My Music" / "é -> b"
    sopi = a_command(venv / "bin" / "sopi")
    a_python(venv / "bin" / "python")
    (venv / "pyvenv.cfg").touch()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "whole").symlink_to(sopi)
    (tmp_path / "home" / "sopi").symlink_to("whole")
    (tmp_path / "relative").symlink_to(os.path.relpath(sopi, tmp_path))
    for command in (sopi, tmp_path / "home" / "sopi", tmp_path / "relative"):
        found = said(shell, command, tmp_path / "tools")
        assert found == f"python in {venv}/bin: -E -P -m sopilib.cli play a b"


@pytest.mark.parametrize(
    ("packages", "name"),
    [
        ("lib/python3.12/site-packages", "python3.12"),
        ("lib/python3.12/dist-packages", "python3.12"),
        ("lib/python/site-packages", "python3.13"),  # of macOS, in a folder of this version
    ],
)
def test_a_command_outside_a_venv_starts_the_python_that_it_lies_with(
    shell: list[str], tmp_path: Path, packages: str, name: str
) -> None:
    prefix = tmp_path / "3.13"
    sopi = a_command(prefix / "bin" / "sopi")
    (prefix / packages / "sopilib-0.3.0.dist-info").mkdir(parents=True)
    for there in ("python3", "python3.12", "python3.13"):
        a_python(tmp_path / "system" / there)
    found = said(shell, sopi, tmp_path / "tools", tmp_path / "system")
    assert found == f"{name} in {tmp_path}/system: -E -P -m sopilib.cli play a b"
    a_python(prefix / "bin" / name)
    assert said(shell, sopi, tmp_path / "tools", tmp_path / "system").startswith(f"{name} in {prefix}/bin: ")


def test_a_set_up_that_leaves_no_command_behind_is_not_called_done(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "sopilib/cli/sopi.sh", "sopilib/native/ring.h", ".ci/setup"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")  # whatever pip is asked for, it says that all is well
    python.chmod(0o755)
    done = subprocess.run(["sh", tmp_path / ".ci" / "setup", "play"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip has not installed .venv/bin/sopi" in done.stderr
    assert not (tmp_path / ".venv" / "ready-play").exists()
