"""The folder samplernn~ that an installed sopilib keeps where Pd looks for externals."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import made_once
from pd_host import ROOT, Patch

import sopilib
from sopilib import pd_folder
from sopilib.cli import main

NEEDED = """numpy numpy.libs safetensors soundfile.py _soundfile.py _soundfile_data soxr soxr.libs pythonosc filelock
    cffi _cffi_backend* pycparser typing_extensions.py nanobind_backend"""
"""What the wheel's dependencies put into site-packages."""


@pytest.fixture
def folder(tmp_path: Path, external: Path) -> Path:
    """It, just made, in a home of its own."""
    folder = tmp_path / ".local" / "lib" / "pd" / "extra" / pd_folder.NAME
    assert len(pd_folder.refresh(folder)) == 1
    return folder


def without_flags(home: Path, patch: Path, venv: Path | None = None, also: Path | None = None) -> str:
    """What a Pd prints that knows nothing but its own settings, and whose external runs the Python of `venv`."""
    words = ["pd", "-nogui", "-noaudio", "-stderr", "-open", str(also or patch)]
    words += ["-open", str(patch)] if also else ["-batch"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOPI_", "XDG"))}
    environment |= {"HOME": str(home), "SOPI_PYTHON": str(venv or sys.prefix)}
    return subprocess.run(words, env=environment, cwd=home, capture_output=True, text=True, timeout=60).stderr


def test_pd_finds_the_object_without_any_flag(folder: Path, tmp_path: Path) -> None:
    patch = Patch()
    patch.print(patch.obj("samplernn~ tabla"), 1, "status")
    patch.quit(300)
    said = without_flags(tmp_path, patch.write(tmp_path / "mine.pd"))
    assert "status: loaded tabla" in said
    assert "couldn't create" not in said


def test_the_instrument_opens_without_flags_wherever_its_copy_lies(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for copied in (folder / "samplernn.pd", tmp_path / "elsewhere" / "my own.pd"):
        quitting = "#X obj 300 300 loadbang;\n#X obj 300 330 delay 300;\n#X msg 300 360 \\; pd quit;\n"
        cords = "#X connect 2 0 3 0;\n#X connect 3 0 4 0;\n"
        copied.write_text((folder / "samplernn.pd").read_text() + quitting + cords)
        said = without_flags(tmp_path, copied)
        assert "sopi: Python " in said
        assert "couldn't create" not in said and "error" not in said


def test_what_was_not_touched_is_brought_to_the_new_version_and_what_was_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pd_folder.refresh(folder) == []
    ours = dict(pd_folder.contents())
    (folder / "instrument.pd").write_text("mine")
    (folder / "my-own.pd").write_text("mine too")
    assert pd_folder.refresh(folder) == []  # nothing of ours is new

    newer = {name: content + b"\n" for name, content in ours.items() if name != "one-symbol.pd"} | {"new.pd": b"new"}
    monkeypatch.setattr(pd_folder, "contents", lambda: newer.items())
    told = pd_folder.refresh(folder)
    assert len(told) == 2 and "you have changed instrument.pd: kept" in told[1]
    assert (folder / "instrument.pd").read_text() == "mine"
    assert (folder / "instrument.pd.new").read_bytes() == newer["instrument.pd"]
    assert (folder / "my-own.pd").read_text() == "mine too"
    assert (folder / "samplernn~.pd").read_bytes() == newer["samplernn~.pd"]
    assert (folder / "new.pd").is_file() and not (folder / "one-symbol.pd").exists()
    assert pd_folder.refresh(folder) == []  # told once


def test_a_link_to_a_checkout_is_left_alone(tmp_path: Path, external: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / pd_folder.NAME).symlink_to(tmp_path / "checkout")
    assert pd_folder.refresh(tmp_path / pd_folder.NAME) == []
    assert list((tmp_path / "checkout").iterdir()) == []


@pytest.fixture(scope="module")
def deken(tmp_path_factory: pytest.TempPathFactory, external: Path) -> Path:
    """Where the package lies that `sopi deken` makes."""
    assert shutil.which("deken"), "there is no deken here: make setup-test installs it"
    return made_once(tmp_path_factory, "deken", lambda folder: main(["deken", "-o", str(folder)]))


def test_the_package_for_pds_menu_has_the_systems_name_a_checksum_and_the_objects(deken: Path) -> None:
    names = sorted(path.name for path in deken.iterdir())
    package = names[0]
    assert package == f"samplernn~[v{sopilib.__version__}](Linux-{pd_folder_processor()}-32).dek"
    assert names == [package, f"{package}.sha256", f"{package}.txt"]
    digest = hashlib.sha256((deken / package).read_bytes()).hexdigest()
    assert (deken / f"{package}.sha256").read_text().split()[0] == digest
    assert "samplernn~\t" in (deken / f"{package}.txt").read_text()


def test_a_folder_without_a_movable_python_is_no_full_package(
    tmp_path: Path, external: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deken", "-o", str(tmp_path / "out"), "--full", str(tmp_path)]) == 1
    assert f"{tmp_path}: expected a folder with bin/python3, the modules in lib/" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def pd_folder_processor() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def test_unpacked_among_the_externals_it_plays_without_flags_and_can_be_taken_away(deken: Path, tmp_path: Path) -> None:
    extra = tmp_path / ".local" / "lib" / "pd" / "extra"
    for _ in range(2):  # the second time over the first, as an update
        zipfile.ZipFile(next(deken.glob("*.dek"))).extractall(extra)
    names = {path.name for path in (extra / pd_folder.NAME).iterdir()}
    assert {"samplernn~.pd", "README.deken.pd", "LICENSE", "NOTICES.md", "sopilib", "models", "pyext"} <= names
    binaries = [path.name for path in extra.rglob("*") if re.search(r"\.([lmd]_|pd_|so$|dll$)", path.name)]
    assert binaries and not [name for name in binaries if name.startswith("samplernn")]
    patch = Patch()
    box = patch.obj("samplernn~ tabla")
    patch.print(box, 1, "status")
    patch.at(200, "load drums", box)
    patch.quit(300)
    mine = patch.write(tmp_path / "mine.pd")
    bare = tmp_path / "bare"  # a Python with what is needed of others, and no sopilib
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    site = bare / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    said = without_flags(tmp_path, mine, bare)
    assert f"type: {bare}/bin/python -m pip install numpy" in said
    assert len([line for line in said.splitlines() if line.startswith("error: samplernn_pd")]) == 1

    for name in NEEDED.split():
        for there in Path(sysconfig.get_path("purelib")).glob(name):
            (site / there.name).symlink_to(there)
    said = without_flags(tmp_path, mine, bare)
    assert "status: loaded tabla" in said, said
    models = extra / pd_folder.NAME / "models"
    assert (
        f"drums: comes with sopilib's wheel and not with this package: put its folder models/drums into {models}"
        in said
    )
    shutil.rmtree(extra / pd_folder.NAME)
    assert "couldn't create" in without_flags(tmp_path, mine, bare)


def test_the_readme_of_the_package_adds_its_folder_to_pds_paths_once(tmp_path: Path, pd_program: str) -> None:
    folder = tmp_path / "a +b, $c é;d"
    folder.mkdir()
    readme = (ROOT / "pd" / "README.deken.pd").read_text()
    assert readme.count("r \\$0-add") == 1
    (folder / "README.deken.pd").write_text(readme.replace("r \\$0-add", "r add-now"))
    patch = Patch()
    for ms in (10, 20):
        patch.at(ms, "bang", patch.obj("s add-now"))
    patch.quit(50)
    said = without_flags(tmp_path, patch.write(folder / "press.pd"), also=folder / "README.deken.pd")
    assert "error" not in said
    settings = [p.read_text() for p in (*tmp_path.glob(".pdsettings"), *tmp_path.glob(".config/**/*")) if p.is_file()]
    assert f"path1: {folder}\n" in settings[0] and "npath: 1\n" in settings[0]
