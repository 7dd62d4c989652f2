"""Builds the pages of this repository as a site that needs nothing from another host:

    pip install -e '.[docs]'
    python docs/site/build.py [--into site]
    python -m http.server --directory site

The pages stay where they are, and are read on GitHub as well: here they are only copied, with what they show and link
to, into a folder that Zensical makes a site of. Folders of patches get a page that lists them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STYLE = Path(__file__).with_name("site.css")
PAGES = ("*.md", "LICENSE", "docs/**/*.md", "models/*/*.md", "pd/**/*.md")
SHOWN = (
    "docs/**/*.png",
    "docs/**/*.flac",
    "docs/**/*.py",
    "docs/notebooks/*",
    "docs/osc/*",
    "models/*/*.png",
    "models/*/*.flac",
)
# the page that plays, as it lies in the repository
PLAYS = (
    "docs/play/*",
    "sopilib/native/wasm/*.mjs",
    *(f"sopilib/osc/page/{name}" for name in ("page.css", "controls.js", "picture.js", "icon.svg")),
    "models/*/*.safetensors",
    "tests/fixtures/*_held_out.flac",
)
OTHERS = ("docs/notebooks/*", "pd/**/*.pd", "tests/fixtures/*.flac")
MENU = {
    "Start": {"Overview": "README.md", "By reader": "docs/README.md"},
    "Play": {
        "Here, in your browser": "docs/play/index.html",
        "Playing": "docs/playing.md",
        "OSC": "docs/osc.md",
        "From a phone": "docs/web.md",
        "Takes": "docs/takes.md",
        "Troubleshooting": "docs/troubleshooting.md",
    },
    "Understand": {"How a SampleRNN works": "docs/how-it-works.md", "Glossary": "docs/glossary.md"},
    "Exercises": {
        "For teachers": "docs/exercises/README.md",
        **{
            page.read_text().partition("\n")[0].lstrip("# "): f"docs/exercises/{page.name}"
            for page in sorted((ROOT / "docs" / "exercises").glob("[0-9]*.md"))
        },
    },
    "Train": {
        "Training": "docs/training.md",
        "Guides": "docs/guides.md",
        "Importing": "docs/importing.md",
        "Coming from": "docs/coming-from.md",
        "Python for people": "docs/python.md",
    },
    "Reference": {
        "Messages": "docs/reference/messages.md",
        "Commands": "docs/reference/commands.md",
        "Configuration": "docs/reference/config.md",
        "A model's file": "docs/reference/file.md",
        "Python, all of it": "docs/reference/python.md",
    },
    "Models": {name: f"models/{name}/README.md" for name in ("tabla", "drums", "piano", "voice")},
    "Engineers": {
        "Architecture": "docs/architecture.md",
        "The model": "docs/model.md",
        "From a message to a sound": "docs/sound-path.md",
        "Performance": "docs/performance.md",
        "Finding out what goes wrong": "docs/debugging.md",
        "The external": "pd/pyext/README.md",
        "Contributing": "CONTRIBUTING.md",
        "Changes": "CHANGELOG.md",
    },
}


def with_players(text: str, folder: Path) -> str:
    """A page in which each sound that it links to, or that a card names beside which it lies, can be played."""
    text = re.sub(r"`(\w+\.flac)`", lambda m: f"[{m[0]}]({m[1]})" if (folder / m[1]).is_file() else m[0], text)
    return re.sub(r"(\[[^\]]+\]\(([^)]+\.flac)\))", r'\1 <audio controls preload="none" src="\2"></audio>', text)


def copy(into: Path) -> None:
    """All pages and what they show, where they are in the repository."""
    for pattern in (*PAGES, *SHOWN, *PLAYS, *OTHERS):
        for file in ROOT.glob(pattern):
            if file.is_file() and not {".venv", "build"} & set(file.relative_to(ROOT).parts):
                to = into / file.relative_to(ROOT)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, to)
                if file.suffix == ".md" and file.parent.parent in (ROOT / "docs", ROOT / "models"):
                    to.write_text(with_players(to.read_text(), file.parent))


def list_folders(into: Path) -> None:
    """A page for each folder that pages link to as a folder."""
    for name in ("pd/examples", "pd/exercises", "docs/corpora", "docs/osc"):
        folder = into / name
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(file.name for file in folder.iterdir() if file.suffix != ".md")
        lines = [f"# {name}", "", *(f"- [{file}]({file.replace(' ', '%20')})" for file in files)]
        (folder / "README.md").write_text("\n".join(lines) + "\n")


def configuration() -> dict[str, object]:
    """Zensical's settings. No font, script or icon comes from another host."""
    menu = [{title: [{name: page} for name, page in entries.items()]} for title, entries in MENU.items()]
    palette = [
        {"scheme": "default", "toggle": {"icon": "lucide/sun", "name": "dark"}},
        {"scheme": "slate", "toggle": {"icon": "lucide/moon", "name": "light"}},
    ]
    features = ["navigation.tabs", "navigation.top", "content.code.copy", "search.highlight"]
    return {
        "site_name": "sopilib",
        "site_description": "SampleRNN as an instrument",
        "docs_dir": "pages",
        "site_dir": "site",
        "use_directory_urls": False,
        "nav": menu,
        "theme": {"name": "material", "font": False, "features": features, "palette": palette},
        "plugins": ["search"],
        "extra_css": [STYLE.name],
    }


def build(site: Path) -> None:
    """Makes the site. Raises CalledProcessError if a page has a fault."""
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder, "pages")
        copy(pages)
        list_folders(pages)
        shutil.copy(STYLE, pages)
        Path(folder, "mkdocs.yml").write_text(json.dumps(configuration()))  # which is YAML, too
        subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], check=True, cwd=folder)
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(Path(folder, "site"), site)


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("--into", type=Path, default=ROOT / "site", metavar="FOLDER", help="default: site")
    build(reader.parse_args().into)
