"""A checkout plays wherever it lies: renamed, moved and copied, under a name with spaces and accents, read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import soundfile
from pd_host import ROOT, Patch

from sopilib import pd_folder
from sopilib.cli import main
from sopilib.native import _native

SITE = sysconfig.get_path("purelib")
DEV = ("write_*", "build", "*.cpp", "*.hpp", "__pycache__", "*.o")
OUTSIDE = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOPI_", "DISPLAY"))}


@pytest.fixture
def checkout(tmp_path: Path, external: Path) -> Path:
    """A checkout that is set up, with a .venv as pip leaves it, full of whole paths; .ci/setup's last step is done."""
    root = tmp_path / "My Music" / "sopi é #1"
    for name in (".ci", "sopilib", "pd", "models/tabla"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns(*DEV))
    shutil.copy(ROOT / "samplernn.pd", root)
    venv = root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    site = venv / Path(SITE).relative_to(sys.prefix)
    (site / "sopilib" / "native").mkdir(parents=True)
    shutil.copy(_native.__file__, site / "sopilib" / "native")
    (site / "others.pth").write_text(SITE + "\n")
    (site / "_editable_skbc_sopilib.pth").write_text(f"import _editable_skbc_sopilib\n{root}\n", encoding="utf-8")
    (site / "_editable_skbc_sopilib.py").write_text(f"root = {str(root)!r}\n")
    (venv / "bin" / "where").write_text(
        f"#!/bin/sh\n'''exec' \"{venv}/bin/python\" \"$0\" \"$@\"\n' '''\nimport sys\nprint(sys.prefix)\n",
        encoding="utf-8",
    )
    shutil.copy(ROOT / "sopilib" / "cli" / "sopi.sh", venv / "bin" / "sopi")
    (venv / "bin" / "where").chmod(0o755)
    subprocess.run([venv / "bin" / "python", "-S", root / ".ci" / "relative.py"], check=True, env=C_LOCALE)
    return root


C_LOCALE = {**OUTSIDE, "LC_ALL": "C"}


def says(root: Path, *words: str, **variables: str) -> str:
    """What `sopi WORDS` of a checkout prints."""
    command: list[str | Path] = [root / ".venv" / "bin" / "sopi", *words]
    done = subprocess.run(command, env={**C_LOCALE, **variables}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def box(folder: Path) -> Path:
    """A patch of somebody's with our object."""
    patch = Patch()
    patch.print(patch.obj("samplernn~ tabla"), 1, "status")
    patch.quit(300)
    return patch.write(folder / "my patch.pd")


def plays(root: Path, folder: Path) -> None:
    """All ways to play, with what lies in `root` alone."""
    out = folder / f"{root.name}.wav"
    says(root, "play", "--render", str(out), "--seconds", "0.5")
    assert soundfile.info(out).duration == pytest.approx(0.5, abs=0.1)
    where = subprocess.run([root / ".venv" / "bin" / "where"], env=OUTSIDE, capture_output=True, text=True)
    assert where.stdout.strip() == str(root / ".venv")
    python = f"sopi: Python {sys.version.split()[0]} of {root}/"
    batch = ["-nogui", "-noaudio", "-batch", "-stderr"]
    said = says(root, "pd", *batch, str(box(folder)))
    assert python in said and "loaded tabla" in said
    flags = says(root, "pd-flags").strip()  # as they are typed, into a shell
    line = f"pd {' '.join(batch)} {flags} '{box(folder)}'"
    done = subprocess.run(["sh", "-c", line], env=OUTSIDE, capture_output=True, text=True, timeout=60)
    assert python in done.stderr and "loaded tabla" in done.stderr


def test_a_checkout_plays_where_it_was_built_renamed_and_copied(
    checkout: Path, tmp_path: Path, pd_program: str
) -> None:
    plays(checkout, tmp_path)
    renamed = checkout.rename(tmp_path / "another name")
    plays(renamed, tmp_path)
    copied = shutil.copytree(renamed, tmp_path / "ein Ümlaut, a comma", symlinks=True)
    plays(copied, tmp_path)  # the original is still there
    before = {path: path.stat().st_mtime_ns for path in renamed.rglob("*")}
    says(copied, "doctor")
    assert {path: path.stat().st_mtime_ns for path in renamed.rglob("*")} == before


def test_variables_of_another_python_are_passed_over_and_doctor_says_so(checkout: Path, tmp_path: Path) -> None:
    variables = {"PYTHONHOME": "/nonexistent", "PYTHONPATH": str(tmp_path)}
    (tmp_path / "numpy.py").write_text("raise ImportError('compiled for Python 3.8')")
    said = says(checkout, "doctor", **variables)
    assert "PYTHONHOME: is /nonexistent: passed over by sopi" in said
    assert f"PYTHONPATH: is {tmp_path}: passed over by sopi" in said
    says(checkout, "play", "--render", str(tmp_path / "out.wav"), "--seconds", "0.3", PYTHONHOME="/nonexistent")


def test_ones_own_instrument_follows_the_sopilib_that_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, external: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = pd_folder.own_instrument()
    assert own.read_text().count(f"-path {ROOT}/pd -path {ROOT}/pd/pyext") == 2
    # as Pd writes it, with long lines broken, and with what the user has added
    old = own.read_text().replace(f"{ROOT}/pd", "/old\\ place/pd").replace(" -path", "\n-path")
    own.write_text(old.replace("-lib sopi", "-lib sopi -lib cyclone") + "#X obj 5 5 mtof;\n")
    assert pd_folder.own_instrument() == own
    now = own.read_text()
    assert "/old" not in now and now.count(f"-path {ROOT}/pd -path {ROOT}/pd/pyext") == 2
    assert now.count("-lib cyclone") == 2 and now.endswith("#X obj 5 5 mtof;\n")


def test_pd_gets_the_words_behind_sopi_pd_as_they_are(capfd: pytest.CaptureFixture[str], external: Path) -> None:
    assert (
        main(["pd", "-nogui", "-noaudio", "-batch", "-stderr", "-send", ";x_y list -a_b -h", "-send", "pd quit"]) == 0
    )
    assert main(["pd", "-version"]) == 0
    assert "Pd" in capfd.readouterr().err
    assert main(["pd", "-no-such-flag"]) == 1
