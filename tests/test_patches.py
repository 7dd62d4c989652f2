"""Every patch of the repository: laid out so that it can be read, fit to travel, and silent in Pd's console."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pd_lint
import pytest
from pd_host import ROOT

PATCHES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (
        ROOT,
        ROOT / "pd",
        ROOT / "pd" / "samplernn",
        ROOT / "pd" / "window",
        ROOT / "pd" / "pyext",
        ROOT / "pd" / "examples",
        ROOT / "docs" / "osc",
    )
    for path in folder.glob("*.pd")
)

TOO_OLD = r"error: samplernn_pd\.samplernn: cords of many channels come with Pd 0\.54, this is .*"

PRINTED = {
    "": (
        r"sopi: Python .*",
        r"samplernn_pd\.samplernn: .* runs at .*x real time here: .*",  # on a machine that has other things to do
        r"watchdog: signaling pd\.\.\.",  # as well
    ),
    "pd/samplernn~-help.pd": (r"samplernn: [a-z0-9-]+ .*",),
    "pd/samplernn.mc~.pd": (TOO_OLD,),
    "pd/samplernn.mc~-help.pd": (TOO_OLD,),
}
"""What a patch may print when it is opened and runs for a second: "" is any of them."""


EXERCISES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "pd" / "exercises").glob("*.pd"))
"""tests/test_exercises.py opens and plays them."""


@pytest.mark.parametrize("patch", [*PATCHES, *EXERCISES])
def test_nothing_lies_on_anything_no_cord_runs_through_a_box_and_no_name_is_shared(patch: str) -> None:
    found = pd_lint.faults(ROOT / patch)
    assert not found, "\n".join(found)


QUIT = """#N canvas 0 0 300 200 12;
#X obj 10 10 loadbang;
#X obj 10 40 delay 1000;
#X msg 10 70 \\; pd quit;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
"""


@pytest.mark.parametrize("patch", PATCHES)
def test_every_patch_opens_and_runs_without_flags_and_prints_no_line_that_is_not_expected(
    patch: str, tmp_path: Path, pd_program: str
) -> None:
    (tmp_path / "quit.pd").write_text(QUIT)
    pd = [pd_program, "-nogui", "-noprefs", "-noaudio", "-r", "48000", "-batch", "-send", "pd dsp 1"]
    done = subprocess.run(
        [*pd, "-open", str(ROOT / patch), "-open", "quit.pd", "-send", "pd dsp 1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    expected = [*PRINTED[""], *PRINTED.get(patch, ())]
    strange = [line for line in done.stdout.splitlines() if not any(re.fullmatch(e, line) for e in expected)]
    assert done.returncode == 0
    assert not strange, "\n".join(strange)


# ---------------------------------------------------------------- the lint itself

LOOKS = "0 10 #fcfcfc #000000 #000000"
BAD = {
    "a box on a box": ("#X obj 20 20 osc~ 440;#X obj 40 30 f 3;", "[osc~ 440] lies on [f 3]"),
    "a box on a comment": ("#X obj 20 20 osc~ 440;#X text 60 20 a tone;", "[osc~ 440] lies on [a tone]"),
    "a box on a comment of two lines": ("#X text 20 20 two lines, f 5;#X obj 20 45 f;", "[two lines] lies on [f]"),
    "a box under a panel": ("#X obj 20 20 f;#X obj 0 0 cnv 15 100 60 empty empty empty 20 12 0 14 #e0e0e0 #404040 0;",
                            "[f] is under a canvas"),
    "a button on a slider": (f"#X obj 20 20 hsl 128 15 0 127 0 0 empty empty empty -2 -8 {LOOKS} 0 1;"
                             f"#X obj 20 30 bng 15 250 50 0 empty empty empty 17 7 {LOOKS};", "lies on [bng"),
    "a label on a box": (f"#X obj 20 20 bng 15 250 50 0 empty empty start\\ it 20 7 {LOOKS};"
                         "#X obj 50 20 f;", "[f] lies on [label start it]"),
    "a cord through a box": ("#X obj 20 20 f;#X obj 20 60 f;#X obj 20 100 f;#X connect 0 0 2 0;",
                             "the cord from [f] to [f] runs through [f]"),
    "a box outside": ("#X obj 20 290 f;", "[f] reaches out of the window"),
    "a global receive": ("#X obj 20 20 r tempo;", "[r tempo] has the global name tempo"),
    "a global slider": (f"#X obj 20 20 hsl 128 15 0 127 0 0 tempo empty empty -2 -8 {LOOKS} 0 1;",
                        "has the global name tempo"),
    "a slider that stays": (f"#X obj 20 20 hsl 128 15 0 127 0 0 empty empty empty -2 -8 {LOOKS} 0 1;",
                            "doesn't jump to where it is clicked"),
    "a global message": ("#X msg 20 20 \\; tempo 3;", "has the global name tempo"),
    "a message that means $0": ("#X msg 20 20 read \\$0-sound;", "has $0, which in a message box is 0"),
    "a global array": ("#X obj 20 20 array define mine 100;", "has the global name mine"),
    "a machine's path": ("#X msg 20 20 open /home/me/a.wav;", "has the path /home/me/a.wav of one machine"),
    "no declare": ("#X obj 20 20 samplernn~ tabla;", "samplernn~ without a declare"),
    "no box that keeps the declare": ("#X declare -path ../pd;", "saving the patch loses the line"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_the_lint_finds(fault: str, tmp_path: Path) -> None:
    text, expected = BAD[fault]
    (tmp_path / "bad.pd").write_text("#N canvas 0 50 450 300 12;\n" + text.replace(";#X", ";\n#X") + "\n")
    assert any(expected in line for line in pd_lint.faults(tmp_path / "bad.pd")), pd_lint.faults(tmp_path / "bad.pd")


def test_the_lint_finds_nothing_in_a_good_patch(tmp_path: Path) -> None:
    (tmp_path / "good.pd").write_text(
        "#N canvas 0 50 450 300 12;\n"
        "#X obj 2 2 cnv 15 440 200 empty empty a\\ tone 20 12 0 14 #e0e0e0 #404040 0;\n"
        "#X obj 20 40 osc~ 440;\n#X obj 20 80 *~ 0.1;\n#X obj 20 120 dac~;\n#X text 120 80 soft;\n"
        "#X obj 120 120 s \\$0-x;\n#X connect 1 0 2 0;\n#X connect 2 0 3 0;\n#X connect 2 0 3 1;\n"
    )
    assert not pd_lint.faults(tmp_path / "good.pd")
