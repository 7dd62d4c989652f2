"""The wheel: built, installed in a bare venv, it plays in a Pd without flags. Takes minutes: `make test-long`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from conftest import made_once
from pd_host import ROOT, Patch

pytestmark = pytest.mark.long
OLDEST, NEWEST = 11, 15


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this checkout."""

    def make(folder: Path) -> None:
        words: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--disable-pip-version-check",
            "-w",
            folder,
        ]
        subprocess.run([*words, ROOT], check=True)

    return next(made_once(tmp_path_factory, "wheel", make).glob("sopilib-*-cp311-abi3-*.whl"))


def installed(wheel: Path, python: str, folder: Path) -> Path:
    """The `sopi` of a new venv with the wheel and nothing else in it."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", wheel], check=True)
    return folder / "bin" / "sopi"


def pythons() -> list[str]:
    """Those of this machine that Pd can run, one of each version."""
    found = []
    for minor in range(OLDEST, NEWEST + 1):
        ask = "import sysconfig, venv, ensurepip; print(sysconfig.get_config_var('Py_ENABLE_SHARED'))"
        try:
            said = subprocess.run([f"python3.{minor}", "-c", ask], capture_output=True, text=True)
        except FileNotFoundError:
            continue
        if said.stdout.strip() == "1":
            found.append(f"python3.{minor}")
    return found or [sys.executable]


def files(folder: Path) -> dict[Path, str]:
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("python", pythons())
def test_the_wheel_plays_in_a_bare_venv_and_pd_without_flags_finds_it(
    wheel: Path, python: str, tmp_path: Path, pd_program: str
) -> None:
    assert wheel.stat().st_size < 40e6
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOPI_", "XDG"))}
    environment["HOME"] = str(tmp_path)
    sopi = installed(wheel, python, tmp_path / "bare venv")
    before = files(tmp_path / "bare venv")

    def run(*words: str | Path) -> str:
        done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run(sopi, "play", "--render", "a.wav", "--seconds", "1", "--no-folder")
    assert not (tmp_path / ".local" / "lib").exists()
    assert "made by sopilib" in run(sopi, "play", "--render", "b.wav", "--seconds", "1")
    assert soundfile.info(tmp_path / "b.wav").duration == pytest.approx(1, abs=0.1)
    patch = Patch()
    patch.print(patch.obj("samplernn~ tabla"), 1, "status")
    patch.quit(300)
    said = run("pd", "-nogui", "-noaudio", "-batch", "-stderr", "-open", str(patch.write(tmp_path / "mine.pd")))
    assert "status: loaded tabla" in said
    assert str(tmp_path / "bare venv") in said  # that Python, and no other
    assert "drums" in run(sopi, "models")
    run(sopi, "generate", "tabla", "--seconds", "0.5", "-o", "takes")
    assert files(tmp_path / "bare venv") == before
