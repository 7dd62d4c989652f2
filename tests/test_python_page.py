"""docs/python.md and the README: every piece of Python runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_RUN = "<!-- not run by the tests: "
PIECE = re.compile(r"^( *)(<!-- not run.*-->\n *)?```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def pieces() -> list[tuple[str, str, str]]:
    """Page, reason not to run it or nothing, text of each piece of Python in the pages."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for indent, reason, text in PIECE.findall(page.read_text()):
            lines = [line.removeprefix(indent) for line in text.splitlines()]
            found.append((page.relative_to(ROOT).as_posix(), reason.strip(), "\n".join(lines) + "\n"))
    return found


PIECES = pieces()
EACH = pytest.mark.parametrize(
    ("reason", "text"),
    [(reason, text) for _, reason, text in PIECES],
    ids=[f"{page}-{number}" for number, (page, *_) in enumerate(PIECES)],
)


@EACH
def test_a_piece_of_python_in_the_docs_is_whole(reason: str, text: str) -> None:
    compile(text, "piece", "exec")
    assert not reason or reason.startswith(NOT_RUN)


def test_the_pieces_of_the_docs_run(tmp_path: Path) -> None:
    """One process runs them, each with names of its own, in a folder from which tests/fixtures is reached as from the
    repository's."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "fixtures").symlink_to(ROOT / "tests" / "fixtures")
    program = ""
    for page, reason, text in PIECES:
        if not reason:
            program += f"print({page!r})\nexec(compile({text!r}, {page!r}, 'exec'), {{'__name__': '__main__'}})\n"
    (tmp_path / "pieces.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "pieces.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "tabla.wav").stat().st_size > 10_000
    assert "Traceback" not in done.stderr
