"""The folder samplernn~ that an installed sopilib keeps where Pd looks for externals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pd_host import Patch

from sopilib import pd_folder


@pytest.fixture
def folder(tmp_path: Path, external: Path) -> Path:
    """It, just made, in a home of its own."""
    folder = tmp_path / ".local" / "lib" / "pd" / "extra" / pd_folder.NAME
    assert len(pd_folder.refresh(folder)) == 1
    return folder


def without_flags(home: Path, patch: Path) -> str:
    """What a Pd prints that knows nothing but its own settings."""
    words = ["pd", "-nogui", "-noaudio", "-batch", "-stderr", "-open", str(patch)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOPI_", "XDG"))}
    environment |= {"HOME": str(home), "SOPI_PYTHON": sys.executable}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60).stderr


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
        assert "py: [pyext] and [pyext~] with Python" in said
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
