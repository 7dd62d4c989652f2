"""The wheel: built, installed in a bare venv, it plays in a Pd without flags. Takes minutes: `make test-long`."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import soundfile
from bare_debian import Debian
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


def one_box() -> Patch:
    """Somebody's patch with our object, which prints what it tells and ends."""
    patch = Patch()
    patch.print(patch.obj("samplernn~ tabla"), 1, "status")
    patch.quit(300)
    return patch


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
    said = run("pd", "-nogui", "-noaudio", "-batch", "-stderr", "-open", str(one_box().write(tmp_path / "mine.pd")))
    assert "status: loaded tabla" in said
    assert str(tmp_path / "bare venv") in said  # that Python, and no other
    assert "drums" in run(sopi, "models")
    run(sopi, "generate", "tabla", "--seconds", "0.5", "-o", "takes")
    assert files(tmp_path / "bare venv") == before


def test_the_exercises_in_the_wheel_find_their_sounds(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        exercises = [name for name in names if name.startswith("sopilib/pd/exercises/")]
        named = {path for name in exercises for path in re.findall(r"\.\./\.\./(\S+?)[ ;]", packed.read(name).decode())}
    assert len(exercises) == 14 and len(named) >= 2
    assert {f"sopilib/{path}" for path in named} <= names


def test_variables_of_another_python_do_not_keep_it_from_starting(wheel: Path, tmp_path: Path) -> None:
    sopi = installed(wheel, sys.executable, tmp_path / "ein Ümlaut")
    (tmp_path / "numpy.py").write_text("raise ImportError('compiled for Python 3.8')")
    (tmp_path / "link").symlink_to(sopi)
    for variables in ({"PYTHONHOME": "/nonexistent"}, {"PYTHONPATH": str(tmp_path)}):
        words = [str(tmp_path / "link"), "doctor"]
        done = subprocess.run(words, env={**os.environ, **variables}, cwd=tmp_path, capture_output=True, text=True)
        assert not done.stderr
        name, value = next(iter(variables.items()))
        assert f"ok       {name}: is {value}: passed over by sopi" in done.stdout
        assert f"ok       Python from 3.11 on: {platform.python_version()} at {sopi.parent}/python" in done.stdout


def test_on_windows_pip_makes_the_command(tmp_path: Path) -> None:
    (tmp_path / "sopilib" / "native").mkdir(parents=True)
    (tmp_path / ".ci").mkdir()
    for name in (
        *("README.md", "LICENSE", "NOTICES.md", "sopilib/__init__.py", "sopilib/native/CMakeLists.txt"),
        ".ci/windows_command.py",
    ):
        shutil.copy(ROOT / name, tmp_path / name)
    settings = (ROOT / "pyproject.toml").read_text()
    assert settings.count('"win32"') == 1
    (tmp_path / "pyproject.toml").write_text(settings.replace("win32", sys.platform))
    make = "import os, scikit_build_core.build as b; os.mkdir('made'); b.prepare_metadata_for_build_wheel('made')"
    done = subprocess.run([sys.executable, "-c", make], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "deprecated" not in done.stdout + done.stderr
    (commands,) = tmp_path.glob("made/*/entry_points.txt")
    assert commands.read_text().strip() == "[console_scripts]\nsopi = sopilib.cli:main"


@pytest.fixture
def movable(tmp_path: Path) -> Path:
    """The system's Python, laid out as one that runs wherever it lies."""
    ask = (
        "import sysconfig as s; print(s.get_path('stdlib'), s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME'))"
    )
    said = subprocess.run(["/usr/bin/python3", "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    modules, library = Path(said[0]), Path(said[1], said[2])
    folder = tmp_path / "movable"
    shutil.copytree(modules, folder / "lib" / modules.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "bin").mkdir()
    shutil.copy("/usr/bin/python3", folder / "bin" / "python3")
    shutil.copy(library, folder / "lib")
    return folder


def test_the_full_package_needs_no_python_and_plays_wherever_it_lies(
    wheel: Path, movable: Path, tmp_path: Path, pd_program: str
) -> None:
    sopi = installed(wheel, sys.executable, tmp_path / "venv")
    for words in (["deken", "-o", "packages"], ["deken", "-o", "packages", "--full", str(movable)]):
        subprocess.run([str(sopi), *words], cwd=tmp_path, check=True)
    packages = {path.name for path in (tmp_path / "packages").glob("*.dek")}
    assert len(packages) == 2 and all(
        re.fullmatch(r"samplernn~\[v[\d.]+(-full)?\]\(Linux-\w+-32\)\.dek", p) for p in packages
    )
    shutil.rmtree(tmp_path / "venv")
    shutil.rmtree(movable)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOPI_", "XDG"))}
    mine = one_box().write(tmp_path / "mine.pd")
    for home in (tmp_path / "one", tmp_path / "ein Ümlaut"):
        extra = home / ".local" / "lib" / "pd" / "extra"
        if home.name == "one":
            extra.mkdir(parents=True)
            subprocess.run(["unzip", "-q", "-d", extra, next(tmp_path.glob("packages/*-full*.dek"))], check=True)
        else:
            (tmp_path / "one").rename(home)
        words = ["pd", "-nogui", "-noaudio", "-batch", "-stderr", "-open", str(mine)]
        done = subprocess.run(
            words, env={**environment, "HOME": str(home), "PATH": "/usr/bin"}, cwd=home, capture_output=True, text=True
        )
        assert f" of {extra}/samplernn~/pyext/python/" in done.stderr and "status: loaded tabla" in done.stderr, (
            done.stderr
        )


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && ! touch "$0/new" 2>/dev/null && exec "$@"'


def test_it_plays_where_nobody_may_write_to_what_is_installed(wheel: Path, tmp_path: Path, pd_program: str) -> None:
    venv = tmp_path / "venv"
    sopi = installed(wheel, sys.executable, venv)
    before = files(venv)
    guarded: list[str | Path] = []
    if os.geteuid() == 0:  # who may write whatever the permissions say
        guarded = ["unshare", "--mount", "sh", "-c", READ_ONLY, venv]
    else:
        subprocess.run(["chmod", "-R", "a-w", venv], check=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOPI_", "XDG"))}
    environment["HOME"] = str(tmp_path)
    for words in ("play --render a.wav --seconds 1", "generate tabla --seconds 0.5 -o takes"):
        command = [*guarded, sopi, *words.split()]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "a.wav").duration == pytest.approx(1, abs=0.1)
    subprocess.run(["chmod", "-R", "u+w", venv], check=True)
    assert files(venv) == before


@pytest.mark.parametrize("debian", [Debian("bookworm", "3.11"), Debian("trixie", "3.13")], ids=lambda d: d.suite)
def test_in_a_bare_debian_the_wheel_plays_and_without_libpython_one_line_names_it(wheel: Path, debian: Debian) -> None:
    if lacking := debian.lacks():
        pytest.skip(f"the wheel in a bare Debian: {lacking}")
    debian.make()
    home = debian.install(wheel)
    render = "venv/bin/sopi play --render {}.wav --seconds 1"
    debian.run(render.format("a"))
    assert soundfile.read(home / "a.wav")[0].std() > 1e-4
    one_box().write(home / "mine.pd")
    assert "status: loaded tabla" in debian.run("pd -nogui -noaudio -batch -stderr -open mine.pd")
    # for a user of the system's own Python, which has no python beside sopi
    debian.run(
        "venv/bin/pip --python /usr/bin/python3 install --user --break-system-packages -q --no-index -f wheels sopilib"
    )
    assert "drums" in debian.run("PYTHONHOME=/nonexistent .local/bin/sopi models")
    without = "for f in /usr/lib/*/libpython3*.so.1.0; do mv $f $f.away; done; {}; mv $f.away $f"
    said = debian.run(f"rm -rf .cache; {without.format(render.format('b') + ' || true')}")
    assert f"apt install libpython{debian.python}" in said
    assert not (home / "b.wav").exists()
