"""docs/troubleshooting.md: what it says that the instrument says is what the sources say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SAID = re.findall(r"`says: ([^`]+)`", (ROOT / "docs" / "troubleshooting.md").read_text())


def words(text: str, cpp: bool) -> str:
    """Text of a source with its strings joined where they go on in the next line, and without what is put in."""
    return re.sub("%s" if cpp else r"\{[^{}]*\}", "...", re.sub(r'"\s+f?"', "", text))


@pytest.fixture(scope="module")
def sources() -> str:
    files = [*(ROOT / "sopilib").rglob("*.py"), *(ROOT / "pd").rglob("*.py"), *(ROOT / "pd" / "pyext").glob("*.cpp")]
    return "\n".join(words(file.read_text(), file.suffix == ".cpp") for file in files)


@pytest.mark.parametrize("said", SAID)
def test_a_line_that_the_page_quotes_is_what_is_said(said: str, sources: str) -> None:
    assert said.strip(" .") in sources or all(part.strip() in sources for part in said.split("...") if part.strip())


def test_there_are_lines_to_look_at() -> None:
    assert len(SAID) > 8
