"""What people have set, and where they have put it, beside sopilib: another Python's variables, spaces, more models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pd_host import Patch, run

from sopilib import cli, library

pytestmark = pytest.mark.usefixtures("pd_models")


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """The packages of a Python that is none of ours."""
    (tmp_path / "other" / "numpy").mkdir(parents=True)
    (tmp_path / "other" / "numpy" / "__init__.py").write_text("raise ImportError('compiled for Python 3.8')")
    return tmp_path / "other"


def test_pythonhome_of_another_python_is_told_and_the_box_is_made(tmp_path: Path) -> None:
    patch = Patch()
    patch.print(patch.obj("samplernn~ small"), 1, "status")
    patch.quit(300)
    result = run(patch.write(tmp_path / "patch.pd"), environment={"PYTHONHOME": "/nonexistent"})
    assert "sopi: PYTHONHOME (/nonexistent) is passed over" in result.out
    assert "loaded small 16000" in result.printed("status")


def test_pythonpath_of_another_python_is_told_and_the_box_is_made(tmp_path: Path, other_python: Path) -> None:
    patch = Patch()
    patch.print(patch.obj("samplernn~ small"), 1, "status")
    patch.quit(300)
    result = run(patch.write(tmp_path / "patch.pd"), environment={"PYTHONPATH": str(other_python)})
    assert f"sopi: PYTHONPATH ({other_python}) is passed over" in result.out
    assert "loaded small 16000" in result.printed("status")


def test_sopi_pythonpath_is_looked_into_first(tmp_path: Path, other_python: Path) -> None:
    (other_python / "numpy" / "__init__.py").write_text("raise ImportError('wanted')")
    patch = Patch()
    patch.quit(10)
    result = run(patch.write(tmp_path / "patch.pd"), environment={"SOPI_PYTHONPATH": str(other_python)})
    assert "sopi: cannot import numpy (Buffer and signals need it): ImportError: wanted" in result.out


def test_pythonpath_of_another_python_is_one_sentence_of_sopilib(other_python: Path) -> None:
    advice = f"PYTHONPATH is {other_python}: unset it if that is of another Python"
    words = [sys.executable, "-c", "import sopilib"]
    environment = {**os.environ, "PYTHONPATH": str(other_python)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert advice in done.stderr.splitlines()[-1]


def test_a_rendering_works_where_temporary_files_have_spaces(
    tmp_path: Path, pd_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b, c").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a b, c"))
    cli.play.render(pd_program, tmp_path / "my take.wav", 0.2)
    assert (tmp_path / "my take.wav").stat().st_size > 10000


def test_folders_of_models_are_added_to_those_that_there_are(
    tmp_path: Path, pd_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("runs/mine", "elsewhere/single"):
        (tmp_path / folder).mkdir(parents=True)
        name = Path(folder).name
        shutil.copy(pd_models / "small" / "small.safetensors", tmp_path / folder / f"{name}.safetensors")
    places = ("~/runs", str(tmp_path / "elsewhere" / "single"), str(tmp_path / "nowhere"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SOPI_MODELS", os.pathsep.join(places))
    assert {"mine", "single", "tabla", "drums", "piano"} <= set(library.available())
    cli.main(["doctor"])
    assert f"MISSING  SOPI_MODELS: {tmp_path / 'nowhere'}" in capsys.readouterr().out


def test_doctor_tells_which_python_pd_takes_and_why_not_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    what = "Python of a Pd that is started by itself"
    monkeypatch.setenv("SOPI_PYTHON", sys.prefix)
    cli.main(["doctor"])
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"{what}: {sys.prefix}/bin/python, Python {version} (SOPI_PYTHON)" in capsys.readouterr().out
    monkeypatch.setenv("SOPI_PYTHON", "/bin/true")
    cli.main(["doctor"])
    said = capsys.readouterr().out
    assert f"MISSING  {what}" in said and "/bin/true does not say in 2 s that it is a Python" in said


def test_a_rendering_without_a_python_that_pd_can_run_is_one_sentence_and_no_silent_file(
    tmp_path: Path, pd_program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOPI_PYTHON", str(tmp_path / "nowhere"))
    assert cli.main(["play", "--render", str(tmp_path / "a.wav"), "--seconds", "0.2"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"there is no Python at {tmp_path / 'nowhere'}" in said
    assert not (tmp_path / "a.wav").exists()
