"""Pages lead where they say: every link to a file, a picture or a heading of this repository is right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "models").glob("*/README.md"),
    *(ROOT / "pd").rglob("*.md"),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub makes anchors of them."""
    found = re.findall(r"^#+ (.*)$", CODE.sub(lambda m: m[0].strip("`"), page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(LINK, r"", heading)).strip().lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page if not name else Path(os.path.normpath(page.parent / name.partition("?")[0]))
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_word_of_a_page_is_taken_for_a_tag_and_lost(page: Path) -> None:
    text = CODE.sub("", re.sub(r"(?m)^(    .*|\\t.*)$", "", page.read_text()))
    assert (
        re.findall(r"<(?!!--|https?:|/?(?:sub|sup|br|kbd|details|summary|img|audio)\b)/?[A-Za-z][^>@\n]*>", text) == []
    )


def test_every_page_can_be_found_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in LINK.findall(CODE.sub("", page.read_text())):
            file = Path(os.path.normpath(page.parent / target.partition("#")[0]))
            if file.suffix == ".md" and file.is_file():
                waiting.append(file)
    missing = {page for page in PAGES if page not in seen and page.parent.parent != ROOT / "models"}
    assert not missing


@pytest.mark.long
def test_the_pictures_of_how_it_works_are_made_from_the_shipped_models(tmp_path: Path) -> None:
    script = ROOT / "docs" / "pictures" / "how_it_works.py"
    subprocess.run([sys.executable, script, "--into", tmp_path], check=True)
    made = {path.name for path in tmp_path.glob("*.png")}
    assert made == {path.name for path in script.parent.glob("*.png")}


def pictures_are_made_and_shown(folder: str, into: Path) -> None:
    """The script of a folder makes the pictures in it, and pages show them all."""
    script = ROOT / "docs" / folder / "draw.py"
    subprocess.run([sys.executable, script, "--into", into], check=True, timeout=300)
    made = {path.name for path in into.glob("*.png") if path.stat().st_size > 1000}
    assert made == {path.name for path in script.parent.glob("*.png")}
    shown = "".join(page.read_text() for page in PAGES)
    assert [name for name in made if f"{folder}/{name})" not in shown] == []


@pytest.mark.long
def test_the_pictures_of_the_page_are_made_from_it(tmp_path: Path) -> None:
    pictures_are_made_and_shown("page", tmp_path)


@pytest.mark.long
@pytest.mark.pd
def test_the_pictures_of_the_panels_are_made_from_the_instrument(tmp_path: Path) -> None:
    pictures_are_made_and_shown("panels", tmp_path)


@pytest.mark.long
@pytest.mark.pd
def test_the_pictures_of_windows_are_made_from_the_patches(tmp_path: Path) -> None:
    pictures_are_made_and_shown("windows", tmp_path)
