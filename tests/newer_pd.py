"""A newer Pd than the system's, unpacked from Debian 13's packages beside the system and run with their own libc."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pd_host import ROOT

SUITE = "trixie"
FOLDER = ROOT / "build" / f"pd-{SUITE}"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def newer_pd() -> list[str]:
    """The command that runs it, before Pd's own flags. Raises CalledProcessError if the packages can't be had."""
    root = FOLDER / "root"
    if not (root / "usr/bin/puredata").exists():
        unpack(root)
    paths = f"{root / LIBRARIES}:/{LIBRARIES}:/lib/x86_64-linux-gnu"
    program = [str(root / LOADER), "--library-path", paths, "--argv0", "puredata", str(root / "usr/bin/puredata")]
    return [*program, "-path", str(root / "usr/lib/puredata/extra")]


def unpack(root: Path) -> None:
    for folder in ("lists/partial", "cache/archives/partial"):
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
    sources = FOLDER / "sources.list"
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={key}] http://deb.debian.org/debian {SUITE} main\n")
    places = {"Dir::Etc::SourceList": sources, "Dir::Etc::SourceParts": "-", "Dir::State::Lists": FOLDER / "lists"}
    options = [f"-o{name}={value}" for name, value in (places | {"Dir::Cache": FOLDER / "cache"}).items()]
    options += ["-oAPT::Sandbox::User=root", "-qq"]
    subprocess.run(["apt-get", *options, "update"], check=True)
    subprocess.run(["apt-get", *options, "download", "puredata-core", "libc6"], cwd=FOLDER, check=True)
    for package in FOLDER.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
