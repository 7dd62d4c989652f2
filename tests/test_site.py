"""The site of the docs, as it is built: strict, every link leads somewhere, and nothing comes from another host."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]


class Links(HTMLParser):
    """The ids of a page, what it links to, and what it loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.leads.append(values["href"])
        for name in ("src", "href"):
            if name in values and tag != "a" and values.get("rel") not in ("canonical", "prev", "next"):
                self.loads.append(values[name])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Links]:
    """Each page of the site, read."""
    into = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, str(ROOT / "docs" / "site" / "build.py"), "--into", str(into)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return {page: Links(page) for page in into.rglob("*.html")}


def test_the_site_is_built_whole_and_all_its_links_lead_somewhere(site: dict[Path, Links]) -> None:
    assert len(site) > 40
    dead = []
    for page, links in site.items():
        for target in links.leads + links.loads:
            url = urlsplit(target)
            if url.scheme or url.netloc or page.name == "404.html":
                continue
            to = Path(os.path.normpath(page.parent / unquote(url.path))) if url.path else page
            to = to / "index.html" if to.is_dir() else to
            if not to.exists() or (url.fragment and to in site and unquote(url.fragment) not in site[to].ids):
                dead.append((page.name, target))
    assert not dead


def test_the_site_loads_nothing_from_another_host(site: dict[Path, Links]) -> None:
    assert [load for links in site.values() for load in links.loads if urlsplit(load).netloc] == []


def test_every_page_of_the_repository_is_in_the_site(site: dict[Path, Links]) -> None:
    made = {page.name for page in site}
    assert {"playing.html", "troubleshooting.html", "14-a-piece.html", "commands.html"} <= made


def test_a_models_page_and_the_exercises_play_their_sounds(site: dict[Path, Links]) -> None:
    players = {page.parent.name: links.loads for page, links in site.items() if page.parent.parent.name == "models"}
    assert set(players) == {"tabla", "drums", "piano", "voice"}
    assert all(f"{name}.flac" in loads for name, loads in players.items())
    assert any("media/01-sweep.flac" in links.loads for links in site.values())


def test_every_page_of_the_docs_is_in_the_menu() -> None:
    menu = (ROOT / "docs" / "site" / "build.py").read_text()
    pages = [path for path in (ROOT / "docs").glob("**/*.md") if not path.name[0].isdigit()]
    assert [path.name for path in pages if f'"{path.relative_to(ROOT)}"' not in menu] == []
