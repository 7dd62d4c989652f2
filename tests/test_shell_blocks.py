"""Every shell command in the pages is one that there is, and runs, or the page says why not.

A block of commands is run here, each page's in a folder of its own. A comment before it, or before everything else of
the page, says where else it runs (`<!-- run by tests/test_x.py -->`) or why not (`<!-- not run by the tests: ... -->`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from sopilib import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "models").glob("*/README.md")),
    *sorted((ROOT / "pd").rglob("*.md")),
]
PROGRAMS = {"sopi", "make", "pip", "python", "python3", "pd", "git", "curl", "ssh", "rsync", "torchrun", "ray", "srun"}
PROGRAMS |= {"unzip", "brew", "apt", "apt-get", "gdb", "eval", "flock", "while"}
MARK = re.compile(r"<!-- (not run by the tests: .+|run by tests/\w+\.py(?:,? and tests/\w+\.py)*) -->")


class Block(NamedTuple):
    page: str
    line: int
    mark: str
    text: str


def program(line: str) -> str:
    """What a line of shell runs: its first word behind assignments, without a folder."""
    words = re.sub(r"^(\w+=\S+ +)*", "", line.strip()).split()
    return Path(words[0]).name if words else ""


def blocks(page: Path) -> list[Block]:
    """What of a page is a block of shell commands."""
    found, mark, whole = [], "", ""
    lines = page.read_text().split("\n")
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        fence = re.match(r"( *)```", line)
        if made := MARK.fullmatch(line.strip()):
            mark = made[1]
            whole = whole or (mark if start == 0 else "")
        elif fence or (line.startswith("    ") and not (start and lines[start - 1].strip())):
            at += 1
            while at < len(lines) and (
                not lines[at].strip().startswith("```") if fence else lines[at].startswith("    ")
            ):
                at += 1
            body = [x.strip() for x in lines[start + bool(fence) : at]]
            language = line.strip().strip("`")
            if (language in ("", "sh", "bash") or not fence) and any(program(x) in PROGRAMS for x in body):
                found.append(Block(page.relative_to(ROOT).as_posix(), start + 1, mark or whole, "\n".join(body)))
            mark = ""
            at -= 0 if fence else 1
        elif line.strip():
            mark = ""
        at += 1
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN = [block for block in BLOCKS if not block.mark]
EACH = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")


@EACH
def test_a_marked_block_says_why_or_is_run_where_it_says(block: Block) -> None:
    named = re.findall(r"tests/\w+\.py", block.mark)
    text = "".join((ROOT / name).read_text() for name in named)
    assert not named or [word for word in re.findall(r"\bsopi ([a-z]+)", block.text) if word not in text] == []


@EACH
def test_the_sopi_commands_of_a_block_have_only_options_that_there_are(block: Block) -> None:
    for line in re.sub(r"\\\n", " ", block.text).splitlines():
        for part in re.split(r"&&|\|\|", line):
            words = re.search(r"(?:^|[\s/])sopi ((?:[a-z-]+)(?: .*)?)$", part)
            if words and program(part) != "eval" and "..." not in part and not words[1].startswith("pd "):
                command = re.sub(r"\$\(\(.*?\)\)|\$\w+", "1", words[1])
                cli.parser().parse_args(shlex.split(command, comments=True))


SHIM = """#!/bin/sh
case "$1" in
train) set -- "$@" --steps 4 --batch 2 --every 2 --preview-every 4 --preview-seconds 0.1 --seq-len 1024 --validation 2s
    case "$*" in *--from*) ;; *) set -- "$@" --dim 16 --mlp-dim 16 ;; esac ;;
generate) set -- "$@" --seconds 0.05 ;;
play) set -- play --render played.wav ;;
esac
exec {python} -m sopilib.cli "$@"
"""


def furnish(folder: Path) -> dict[str, str]:
    """What the pages suppose: recordings, an old checkpoint, and a `sopi` that makes less of everything. pip is passed
    over, since what it would install is here. Gives the environment."""
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 80_000)
    for name in ("my-recordings/a.wav", "my-minute.wav", "pd/exercises/my-minute.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, sound, 16_000)
    (folder / "tests").mkdir()
    (folder / "tests" / "fixtures").symlink_to(ROOT / "tests" / "fixtures")
    shutil.copytree(ROOT / "tests" / "fixtures" / "prism" / "gru_mulaw", folder / "logdir" / "choir")
    programs = folder / "programs"
    programs.mkdir()
    for name, text in {"sopi": SHIM.format(python=shlex.quote(sys.executable)), "pip": "#!/bin/sh\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
    }


def run_page(page: str, folder: Path) -> None:
    environment = furnish(folder)
    for block in RUN:
        if block.page == page:
            done = subprocess.run(
                ["bash", "-ec", block.text.replace("/home/ada/", "")],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=900,
            )
            assert done.returncode == 0, f"{page}:{block.line}\n{block.text}\n{done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr


def is_long(page: str) -> bool:
    """Whether a page trains, or makes a hundred takes."""
    return any(word in block.text for block in RUN if block.page == page for word in ("sopi train", "-n 100"))


OF_PAGES = sorted({block.page for block in RUN})


@pytest.mark.parametrize("page", [page for page in OF_PAGES if not is_long(page)])
def test_the_shell_commands_of_a_page_run(page: str, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in OF_PAGES if is_long(page)])
def test_the_shell_commands_of_a_page_that_take_long_run(page: str, tmp_path: Path) -> None:
    run_page(page, tmp_path)
