"""The help of [samplernn~] and [pyext]: made from the command table, whole, and every message in it works."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pd_lint
import pytest
from pd_host import ROOT, Patch, run

from sopilib import pd_folder
from sopilib.live.commands import COMMANDS, STATUS

HELP = ROOT / "pd" / "samplernn~-help.pd"


def write_help() -> Any:
    """The generator, a program beside the patch."""
    spec = importlib.util.spec_from_file_location("write_help", ROOT / "pd" / "write_help.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(window: pd_lint.Window) -> str:
    return " ".join(box.shown for w in window.windows() for box in w.boxes if box.kind == "text")


@pytest.mark.parametrize("patch", write_help().PATCHES)
def test_the_help_is_what_the_command_table_makes_of_it(patch: str) -> None:
    assert (ROOT / "pd" / patch).read_text() == write_help().PATCHES[patch](), "run python pd/write_help.py"


def test_pds_help_browser_has_it_under_its_own_name(tmp_path: Path) -> None:
    """The list that Pd's own script makes of the paths that `sopi play` starts it with."""
    script = Path("/usr/lib/puredata/tcl/helpbrowser.tcl")
    paths = [word for word in pd_folder.flags() if word.startswith("/")]
    (tmp_path / "list.tcl").write_text(
        f"proc msgcat {{args}} {{}}\nnamespace eval ::pd_menucommands {{}}\nsource {script}\n"
        f"set ::sys_libdir /usr/lib/puredata\nset ::sys_staticpath {{}}\nset ::sys_searchpath {{}}\n"
        f"set ::sys_temppath {{{' '.join(paths)}}}\n::helpbrowser::build_references\nputs $::helpbrowser::libdirlist\n"
    )
    listed = subprocess.run(["tclsh", tmp_path / "list.tcl"], capture_output=True, text=True, check=True).stdout
    assert "samplernn/" in listed.split()
    assert list((ROOT / "pd" / "samplernn").glob("*.pd"))


def test_the_help_has_every_message_says_what_it_does_and_what_comes_out() -> None:
    pages = pd_lint.read(HELP)
    messages = {box.name for w in pages.windows() for box in w.boxes if box.kind == "msg"}
    assert set(COMMANDS) <= messages
    told = re.sub(r"\s+", "", texts(pages))
    for name, command in COMMANDS.items():
        assert re.sub(r"\s+", "", command.help.replace(";", " -")) in told, name
    for name, means in STATUS.items():
        assert name in COMMANDS or re.sub(r"\s+", "", name + means.replace(";", " -")) in told, name


def test_the_help_is_below_600_pixels_high_and_its_reference_is_in_pds_manner() -> None:
    pages = pd_lint.read(HELP)
    assert all(w.height < 600 for w in pages.windows())
    reference = next(w for w in pages.windows() if w.name == "reference")
    titles = [made[0] for box in reference.boxes if (made := pd_lint.label(box))]
    assert titles == ["INLETS", "OUTLETS", "ARGUMENTS"]
    assert {"reference", "play", "voices", "answers"} <= {w.name for w in pages.windows()}


def test_no_message_of_the_help_has_the_words_of_its_opposite() -> None:
    for window in pd_lint.read(HELP).windows():
        told = [box.shown for box in window.boxes if box.kind == "text" and len(box.shown) > 12]
        assert len(told) == len(set(told)), f"{window.name}: two rows say the same"


def test_every_message_of_the_help_is_understood_and_none_leaves_a_file_in_its_folder(tmp_path: Path) -> None:
    """Each message box in turn, with the least and the most that its slider or number box gives."""
    helps = write_help()
    rows = [row[0] for _, rows in helps.page_of_the_rest(helps.PAGES).values() for row in rows]
    patch = Patch()
    box = patch.obj("samplernn~ tabla")
    patch.print(box, 1, "status")
    patch.obj("array define help-sound 24000")
    messages = []
    for row in rows:
        if row.startswith("osc"):  # a port of this machine: tests/test_pd_osc.py
            continue
        name = row.split()[0]
        between = helps.ends(COMMANDS[name].arguments[0]) if "$1" in row else (0, 0)
        for value in sorted({*between} if name != "voices" else {1, 2}):
            written = row.replace(helps.FILE, f"{tmp_path}/a-file").replace(helps.ARRAY, "help-sound")
            messages.append(written.replace("$1", f"{value:g}"))
    messages = [m for m in messages if m not in (f"seed {tmp_path}/a-file", "folder models")]
    for i, message in enumerate(messages):
        patch.at(10 + 10 * i, message, box)
    patch.quit(50 + 10 * len(messages))
    result = run(patch.write(tmp_path / "p.pd"))
    assert not result.errors(), result.out
    assert not [line for line in result.printed("status") if line.startswith("error")], result.out
    assert {p.name.split(".")[0] for p in tmp_path.iterdir()} == {"p", "a-file"}


# ---------------------------------------------------------------- [pyext]

PYEXT_HELP = ROOT / "pd" / "pyext" / "pyext-help.pd"


def test_pyexts_help_has_real_objects_and_every_message_to_the_box_explained(tmp_path: Path) -> None:
    pages = pd_lint.read(PYEXT_HELP)
    assert {"pyext", "pyext~", "py"} <= {box.name for box in pages.boxes if box.kind == "obj"}
    sent = {box.name for w in pages.windows() for box in w.boxes if box.kind == "msg"}
    patch = Patch()
    box = patch.obj("pyext pyext_help example 2")
    patch.print(box, 1, "answer")
    patch.at(5, "getmethods", box)
    patch.quit(20)
    (answer,) = run(patch.write(tmp_path / "p.pd")).printed("answer")
    assert set(answer.split()[1:]) <= sent


def test_every_message_of_pyexts_help_does_what_its_line_says(tmp_path: Path) -> None:
    helps = write_help()
    patch = Patch()
    box = patch.obj("pyext pyext_help example 2")
    patch.print(box, 0, "result")
    patch.print(box, 1, "answer")
    rows = [(row[0], inlet) for inlet, page in ((1, helps.TO_THE_CLASS), (0, helps.TO_THE_BOX)) for row in page]
    rows += [(row[0], 0) for row in helps.ATTRIBUTES]
    for i, (message, inlet) in enumerate(row for row in rows if row[0] != "edit"):
        patch.at(10 + 10 * i, message, box, inlet)
    root = patch.obj("py math sqrt")
    patch.at(5, "16", root, 1)
    patch.print(root, 0, "root")
    patch.quit(50 + 10 * len(rows))
    result = run(patch.write(tmp_path / "p.pd"))
    assert result.printed("result") == ["10", "factor 2", "note 62 100"]
    assert result.printed("root") == ["4"]
    assert result.out.count("example got") == 2
    assert len(result.errors()) == 1, "the message note without a pitch is a mistake on purpose"
    answers = " ".join(result.printed("answer"))
    for words in ("get factor 3", "attributes args detach py respond", "args 4", "detach 1", "py 1", "respond 1"):
        assert words in answers, answers


def test_what_the_first_page_names_opens(tmp_path: Path) -> None:
    """A copy of pd/, in which its first, second and last line are pressed: what opens needs no more than lies there."""
    shutil.copytree(ROOT / "pd", tmp_path / "pd")
    path = tmp_path / "pd" / "samplernn" / "start-here.pd"
    boxes = pd_lint.read(path).boxes
    patch = Patch([path.read_text().rstrip("\n")], len(boxes))
    lines = [i for i, box in enumerate(boxes) if box.kind == "msg"]
    assert len(lines) > 10
    for i, line in enumerate((lines[0], lines[1], lines[-1])):
        patch.at(10 + 10 * i, "bang", line)
    patch.quit(200)
    path.write_text("\n".join(patch.lines) + "\n")
    result = run(path, dsp=False)
    assert not result.errors(), result.out
    assert "samplernn: loaded tabla" in result.out, "the help prints what its object says"


def test_what_the_help_writes_is_asked_for_and_nothing_is_left_in_the_project() -> None:
    writing = ("record start", "score start", "render $1", "render 10", "snapshot save")
    found = 0
    for window in pd_lint.read(HELP).windows():
        for number, box in enumerate(window.boxes):
            if box.kind == "msg" and box.shown.startswith(writing):
                before = [window.boxes[source].name for source, _, target, _ in window.cords if target == number]
                assert before == ["savepanel"], box.shown
                found += 1
    assert found == 4
