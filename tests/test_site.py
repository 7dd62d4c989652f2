"""The site of the docs, as it is built: strict, every link leads somewhere, and nothing comes from another host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from chromium import chromium
from markdown_it import MarkdownIt
from test_docs import PAGES

ROOT = Path(__file__).resolve().parents[1]


class Links(HTMLParser):
    """The ids of a page, what it links to, what it loads, and of what its text is made."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.parts: Counter[str] = Counter()
        self._within = False
        self.feed(text)

    def handle_endtag(self, tag: str) -> None:
        self._within = self._within and tag != "article"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._within = self._within or tag == "article"
        self.parts[tag] += self._within
        values = {name: value or "" for name, value in attributes}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.leads.append(values["href"])
        for name in ("src", "href"):
            if name in values and tag != "a" and values.get("rel") not in ("canonical", "prev", "next"):
                self.loads.append(values[name])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the site has been built."""
    into = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, str(ROOT / "docs" / "site" / "build.py"), "--into", str(into)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return into


@pytest.fixture(scope="module")
def site(built: Path) -> dict[Path, Links]:
    """Each page of the site, read."""
    return {page: Links(page.read_text()) for page in built.rglob("*.html")}


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
    assert all({f"{name}.flac", f"{name}.png"} <= set(loads) for name, loads in players.items())
    assert any("media/01-sweep.flac" in links.loads for links in site.values())


READERS = ("I perform", "I study", "I teach", "I have old checkpoints", "I come from nn~", "I develop")


def test_each_reader_finds_a_page_to_start_with_in_two_clicks(built: Path, site: dict[Path, Links]) -> None:
    start = built / "docs" / "index.html"
    assert "docs/index.html" in site[built / "index.html"].leads
    readers = {text.partition("</strong>")[0]: text for text in start.read_text().split("<p><strong>")[1:]}
    for reader in READERS:
        (text,) = (text for title, text in readers.items() if title.startswith(reader))
        assert Links(text.partition("</p>")[0]).leads, reader


def test_every_page_of_the_docs_is_in_the_menu() -> None:
    menu = (ROOT / "docs" / "site" / "build.py").read_text()
    pages = [path for path in (ROOT / "docs").glob("**/*.md") if not path.name[0].isdigit()]
    assert [path.name for path in pages if f'"{path.relative_to(ROOT)}"' not in menu] == []


MARKDOWN = MarkdownIt().enable("table")
SHOWN = ("h1", "h2", "h3", "ol", "ul", "li", "pre", "code", "table", "tr", "img")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_of_the_site_has_the_lists_code_and_tables_that_github_shows(
    page: Path, built: Path, site: dict[Path, Links]
) -> None:
    on_github = Links(f"<article>{MARKDOWN.render(page.read_text())}</article>").parts
    made = built / page.relative_to(ROOT).with_name(page.name.replace("README", "index")).with_suffix(".html")
    assert {tag: site[made].parts[tag] for tag in SHOWN} == {tag: on_github[tag] for tag in SHOWN}


PRINTED = """
const seen = [...document.querySelectorAll("nav, header, footer, audio, button, input, .md-tabs")];
const wide = [...document.querySelectorAll("article *")];
const solution = document.getElementById("a-solution");
return [
    seen.filter((e) => e.checkVisibility()).map((e) => e.outerHTML.slice(0, 80)),
    wide.filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80)),
    solution ? getComputedStyle(solution).breakBefore : "none",
];
"""


def test_an_exercise_is_printed_as_a_handout_whose_solution_is_on_another_sheet(built: Path, tmp_path: Path) -> None:
    names = ("index", "01-hearing-temperature", "08-a-minute-of-your-own", "13-reading-a-bug")  # plans, pictures, code
    pages = [built / "docs" / "exercises" / f"{name}.html" for name in names]
    with chromium(tmp_path) as browser:
        paper = {"width": 718, "height": 1047, "deviceScaleFactor": 1, "mobile": False}  # A4 less a centimetre around
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        for page in pages:
            browser.get(page.as_uri())
            other = "none" if page.name == "index.html" else "page"
            assert [page.name, *browser.execute_script(PRINTED)] == [page.name, [], [], other]
