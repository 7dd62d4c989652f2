"""Files are whole or not there, and none that was there is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_disk import no_file_above

from sopilib.errors import SopiError
from sopilib.files import holds_others, refuse_foreign, whole_file, whole_folder, write_whole


def test_a_file_takes_the_old_ones_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    with whole_file(path) as half:
        half.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_whatever_goes_wrong_the_old_file_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    for wrong in (OSError("no space left"), ValueError("a mistake"), KeyboardInterrupt()):
        with pytest.raises(type(wrong)), whole_file(path) as half:
            half.write_bytes(b"half of it")
            raise wrong
        assert path.read_bytes() == b"old"
        assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_costs_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    with pytest.raises(OSError, match="large"), no_file_above(1000):
        write_whole(path, bytes(2000))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_file_and_name_are_on_the_disk_before_the_call_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr("os.fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink().name))
    write_whole(tmp_path / "a.bin", b"new")
    assert synced == ["a.bin.part", tmp_path.name]


def test_a_new_file_takes_nobodys_place(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        write_whole(path, b"second", overwrite=False)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "dangling", b"second", overwrite=False)
    assert path.read_bytes() == b"first"


@pytest.mark.parametrize("links", [True, False], ids=["a disk with links", "a memory stick"])
def test_of_two_who_make_a_new_file_at_once_one_is_told(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("not permitted")

    if not links:
        monkeypatch.setattr("os.link", no_links)
    path = tmp_path / "a.bin"
    with pytest.raises(FileExistsError), whole_file(path, overwrite=False) as half:
        half.write_bytes(b"mine")
        path.write_bytes(b"another's")
    assert path.read_bytes() == b"another's"
    write_whole(tmp_path / "b.bin", b"mine", overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "b.bin"]
    assert (tmp_path / "b.bin").read_bytes() == b"mine"


def test_many_writers_of_one_file_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"

    def write(letter: bytes) -> None:
        for _ in range(20):
            write_whole(path, letter * 100_000)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, (b"a", b"b", b"c")))
    assert path.read_bytes() in {letter * 100_000 for letter in (b"a", b"b", b"c")}
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


WRITES_UNTIL_TOLD = """
import sys
from pathlib import Path
from sopilib.files import whole_file, whole_folder
with globals()[sys.argv[1]](Path(sys.argv[2])) as half:
    (half / "inside" if half.is_dir() else half).write_text("another's, and longer")
    print("begun", flush=True)
    sys.stdin.readline()
"""


def another_process(kind: str, path: Path) -> subprocess.Popen[str]:
    """A process that is in the middle of writing."""
    words = [sys.executable, "-c", WRITES_UNTIL_TOLD, kind, str(path)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_two_programs_that_write_one_file_never_mix_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with another_process("whole_file", path) as process, whole_file(path) as half:
        half.write_text("mine")
        process.communicate("go on\n")
        assert path.read_text() == "another's, and longer"
    assert path.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_of_two_programs_that_make_one_folder_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with (
        another_process("whole_folder", path) as process,
        pytest.raises(FileExistsError),
        whole_folder(path) as half,
    ):
        (half / "inside").write_text("mine")
        process.communicate("go on\n")
    assert (path / "inside").read_text() == "another's, and longer"
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_program_left_is_used_again_and_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with another_process("whole_file", path) as process, another_process("whole_file", path) as second:
        process.kill()
        second.kill()
    assert not holds_others(tmp_path, ["a.bin"])
    write_whole(path, b"mine")
    assert path.read_bytes() == b"mine"
    assert not (tmp_path / "a.bin.part").exists()


def test_a_link_stays_one_and_the_file_that_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.bin").write_bytes(b"old")
    (tmp_path / "a.bin").symlink_to("disk/a.bin")
    write_whole(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").is_symlink()
    assert (tmp_path / "disk" / "a.bin").read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_who_may_read_a_file_stays_so(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(mode)
    with whole_file(path) as half:
        assert half.stat().st_mode & 0o077 == mode & 0o077
        half.write_bytes(b"new")
    assert path.stat().st_mode & 0o777 == mode
    assert path.read_bytes() == b"new"


def test_on_a_memory_stick_a_new_file_that_cant_be_named_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr("os.link", refused)
    monkeypatch.setattr("os.replace", refused)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "a.bin", b"mine", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cant_be_read_can_be_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def unreadable(path: str | Path, flags: int, *mode: int, **more: int) -> int:
        if flags & os.O_DIRECTORY:
            raise PermissionError("not permitted")
        return real(path, flags, *mode, **more)

    monkeypatch.setattr("os.open", unreadable)
    write_whole(tmp_path / "a.bin", b"mine")
    assert (tmp_path / "a.bin").read_bytes() == b"mine"


def test_only_a_file_of_the_same_kind_is_replaced_and_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    refuse_foreign(path, lambda p: False, "sound file", False)
    path.write_bytes(b"x")
    with pytest.raises(SopiError, match="no sound file, expected the name of a new file"):
        refuse_foreign(path, lambda p: False, "sound file", True)
    with pytest.raises(SopiError, match="--overwrite"):
        refuse_foreign(path, lambda p: True, "sound file", False)
    refuse_foreign(path, lambda p: True, "sound file", True)


def test_a_folder_appears_when_all_of_it_is_there_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with pytest.raises(OSError, match="full"), whole_folder(path) as half:
        (half / "a.bin").write_bytes(b"some")
        raise OSError("the disk is full")
    assert not list(tmp_path.iterdir())
    with whole_folder(path) as half:
        (half / "inside").mkdir()
        (half / "inside" / "a.bin").write_bytes(b"all")
        assert not path.exists()
    assert (path / "inside" / "a.bin").read_bytes() == b"all"
    with pytest.raises(FileExistsError), whole_folder(path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_all_that_is_replaced_is_replaced_by_one_writer() -> None:
    root = Path(__file__).parents[1] / "sopilib"
    words = ("os.replace(", '.part"', "mkstemp(", "NamedTemporaryFile(", "os.rename(")
    found = {path.name for path in root.rglob("*.py") if any(word in path.read_text() for word in words)}
    assert found == {"files.py"}
