"""Which Python the external finds, and what it says if Pd can run none."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from pyext_host import EXTERNAL, Patch, Pd

PD = shutil.which("pd") or "pd"
BODY = re.compile(r"pyext-\w+-\w+\.so")


@pytest.fixture
def ext(pd: Pd, external: Path) -> Path:
    """A folder with a copy of the external and nothing beside it; no other Python can be found."""
    folder = pd.folder / "deep" / "down" / "ext"
    folder.mkdir(parents=True)
    for file in external.parent.iterdir():
        if file == external or BODY.fullmatch(file.name):
            shutil.copy(file, folder)
    pd.environment = {"PATH": "", "HOME": str(pd.folder / "home"), "LC_ALL": "C"}
    return folder


def said(pd: Pd, folder: Path) -> list[str]:
    """What Pd prints that opens the external in `folder`, and quits."""
    flags = ["-noprefs", "-nogui", "-noaudio", "-batch", "-path", str(folder), "-lib", "sopi", "-send", "pd quit"]
    done = subprocess.run([PD, *flags], cwd=pd.folder, env=pd.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    return (done.stdout + done.stderr).splitlines()


def venv(folder: Path) -> Path:
    """A venv of this Python -> its python."""
    (folder / "bin").mkdir(parents=True)
    base = Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}")
    (folder / "bin" / "python").symlink_to(base)
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\nversion = {sys.version.split()[0]}\n")
    return folder / "bin" / "python"


def a_python(path: Path, facts: str) -> None:
    """A program that says of itself that it is such a Python."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nprintf '{facts}'\n")
    path.chmod(0o755)


def started(lines: list[str]) -> str | None:
    """The Python that runs in Pd."""
    found = [line for line in lines if line.startswith("sopi: Python ")]
    return found[0].split(" of ", 1)[1] if found else None


@pytest.mark.parametrize("place", ["deep/down/ext/.venv", "deep/down/venv", "deep/.venv"])
def test_a_venv_beside_the_external_is_taken(pd: Pd, ext: Path, place: str) -> None:
    python = venv(pd.folder / place)
    assert started(said(pd, ext)) == str(python)


def test_a_venv_in_the_current_folder_is_not_taken(pd: Pd, ext: Path) -> None:
    venv(pd.folder / ".venv")
    a_python(pd.folder / "python3", "version=3.11")
    pd.environment["PATH"] = ":.:bin"
    lines = said(pd, ext)
    assert len(lines) == 1 and lines[0].startswith("error: sopi: there is no Python that Pd can run: type: "), lines


def test_the_python_that_sopi_was_installed_in_is_taken(pd: Pd, ext: Path) -> None:
    python = venv(pd.folder / "some where" / "é")
    note = pd.folder / "home" / ".local" / "share" / "samplernn" / "python.txt"
    note.parent.mkdir(parents=True)
    note.write_text(f"{python}\n", encoding="utf-8")
    assert started(said(pd, ext)) == str(python)


def test_of_the_systems_pythons_the_first_that_pd_can_run_is_taken(pd: Pd, ext: Path) -> None:
    python = venv(pd.folder / "right").rename(pd.folder / "right" / "bin" / "python3")
    a_python(pd.folder / "old" / "python3", "version=3.9\\n")
    pd.environment["PATH"] = f"{pd.folder}/old:{python.parent}"
    assert started(said(pd, ext)) == str(python)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ("version=3.10\\n", "is Python 3.10: 3.11 or a later one is needed"),
        ("version=3.14\\nplatform=linux-x86_64 aarch64\\nfree=1\\n", "is a free-threaded Python"),
        ("version=3.14\\nplatform=linux-riscv64\\n", "is made for another processor (linux-riscv64)"),
        (
            "version=3.12\\nplatform=linux-x86_64 aarch64\\nlibrary=\\n",
            "has no shared library (libpython3.12): type: ",
        ),
        ("hello\\n", "does not say in 2 s that it is a Python"),
    ],
)
def test_why_pd_can_not_run_a_python_is_one_line(pd: Pd, ext: Path, facts: str, words: str) -> None:
    a_python(pd.folder / "bin" / "python3", facts)
    pd.environment["PATH"] = str(pd.folder / "bin")
    lines = said(pd, ext)
    assert len(lines) == 1 and lines[0].startswith(f"error: sopi: {pd.folder}/bin/python3 {words}"), lines


def test_a_python_that_hangs_is_passed_over(pd: Pd, ext: Path) -> None:
    a_python(pd.folder / "bin" / "python3", "'; exec /bin/sleep 1000; : '")
    pd.environment["PATH"] = str(pd.folder / "bin")
    lines = said(pd, ext)
    assert len(lines) == 1 and "does not say in 2 s that it is a Python" in lines[0], lines


def test_a_python_is_asked_what_it_is_once(pd: Pd, ext: Path) -> None:
    real, asked = venv(pd.folder / "real"), pd.folder / "asked"
    python = pd.folder / "bin" / "python"
    a_python(python, f"x' >>{asked}; exec {real} \"$@\"; : '")
    (pd.folder / "numpy").mkdir()
    python.write_text(python.read_text().replace("exec ", f"PYTHONPATH={pd.folder} exec "))
    python.write_text(python.read_text().replace('"$@"', '-X "$3" -c "$5"'))  # without -E: this one has numpy
    pd.environment["SOPI_PYTHON"] = str(python)
    for _ in range(2):
        assert started(said(pd, ext)) == str(python)
    assert asked.read_text() == "x"
    python.write_text(python.read_text() + "\n")
    assert started(said(pd, ext)) == str(python)
    assert asked.read_text() == "xx"


def test_an_external_without_its_body_says_so(pd: Pd, ext: Path) -> None:
    venv(ext / ".venv")
    next(file for file in ext.iterdir() if BODY.fullmatch(file.name)).unlink()
    lines = said(pd, ext)
    assert len(lines) == 1 and lines[0].startswith("error: sopi: the external is not whole: "), lines


def test_the_loader_wants_nothing_of_python_or_pd_and_the_body_nothing_of_one_python_alone(external: Path) -> None:
    def wanted(path: Path) -> set[str]:
        listed = subprocess.run(["nm", "-D", "-u", path], capture_output=True, text=True, check=True).stdout
        return {line.split()[-1] for line in listed.splitlines()}

    assert not {name for name in wanted(external) if re.match("_?Py|pd_|post$|gensym", name)}
    body = next(file for file in external.parent.iterdir() if BODY.fullmatch(file.name))
    needs = subprocess.run(["objdump", "-p", body], capture_output=True, text=True, check=True).stdout
    assert "gensym" in wanted(body) and "PyGILState_Ensure" in wanted(body) and "libpython" not in needs


@pytest.mark.long
def test_the_external_compiles_for_a_pd_whose_numbers_have_64_bits_under_the_names_that_it_looks_for(
    tmp_path: Path,
) -> None:
    words = ["make", "-s", "-C", str(EXTERNAL), "FLOATSIZE=64", f"OUT={os.path.relpath(tmp_path, EXTERNAL)}"]
    words += ["CXXFLAGS=-O0 -Werror", f"PYTHON={os.path.relpath(sys.executable, EXTERNAL)}"]
    subprocess.run(words, check=True)
    names = {path.name for path in tmp_path.glob("*.so")}
    processor = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    end = f"linux-{processor}-64.so"
    assert names == {f"sopi.{end}", f"py.{end}", f"pyext-{end}"}
    for name in names:  # such a Pd lets only those in that ask for this
        listed = subprocess.run(["nm", "-D", "-u", tmp_path / name], capture_output=True, text=True, check=True).stdout
        assert re.findall(r"\bclass_new\w*", listed) == ["class_new64"]


def pythons() -> list[str]:
    """All from 3.11 on that this machine has with their shared libraries."""
    there = [*Path("/usr/bin").glob("python3.??"), *Path.home().glob(".pyenv/versions/3.??.*/bin/python3.??")]
    shared = "bool(sysconfig.get_config_var('Py_ENABLE_SHARED'))"
    code = f"import sys, sysconfig; print(sys.version_info >= (3, 11) and {shared})"
    found = []
    for python in sorted(map(str, there)):
        if os.access(python, os.X_OK):
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
            found += [python] * (done.stdout.strip() == "True")
    return found


@pytest.mark.long
def test_the_same_external_runs_with_every_python_that_is_here(pd: Pd, ext: Path) -> None:
    (pd.folder / "said.py").write_text(
        "import sys, pyext\n"
        "class said(pyext._class):\n"
        "    _inlets = _outlets = 1\n"
        "    def bang_1(self):\n"
        "        self._outlet(1, [sys.executable, 0.5, 'é'])\n",
        encoding="utf-8",
    )
    patch = Patch()
    patch.declare(f"-path {ext} -lib sopi")
    box = patch.obj("pyext said said")
    patch.prints(box, 0, "out")
    patch.connect(patch.start, 0, box, 1)
    patch.send(50, "pd quit")
    (pd.folder / "patch.pd").write_text(patch.text())
    for python in pythons():
        pd.environment.update(SOPI_PYTHON=python, PYTHONHOME="/nonsense")
        flags = ["-noprefs", "-nogui", "-noaudio", "-batch", "-open", "patch.pd"]
        done = subprocess.run(
            [PD, *flags], cwd=pd.folder, env=pd.environment, capture_output=True, text=True, timeout=60
        )
        assert f"out: list {python} 0.5 é" in (done.stdout + done.stderr).splitlines(), done
