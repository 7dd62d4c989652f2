"""A Debian of its own in a folder, by debootstrap, in which nothing is but what a person installs by hand."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pd_host import ROOT

FOLDER = ROOT / "build" / "debian"
PACKAGES = ("puredata-core", "python3-venv")
SERVER = "http://deb.debian.org/debian"


@dataclass(frozen=True)
class Debian:
    suite: str
    python: str
    """The number of its Python, as 3.11."""
    architecture: str = ""
    """As Debian calls it, such as arm64, which an emulator can run; empty: that of this machine."""

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.suite, self.architecture)))

    @property
    def root(self) -> Path:
        return FOLDER / self.name

    def lacks(self) -> str:
        """What keeps it from being made or run here; empty: nothing."""
        if os.geteuid() != 0:
            return "only root may change into another Debian"
        for program in ("unshare", "chroot", "debootstrap", *(["arch-test"] if self.architecture else [])):
            if shutil.which(program) is None:
                return f"there is no {program} here"
        mount = ["unshare", "--mount", "mount", "-t", "proc", "proc", "/proc"]
        if subprocess.run(mount, capture_output=True).returncode:
            return "nothing may be mounted here"
        if self.architecture and subprocess.run(["arch-test", self.architecture], capture_output=True).returncode:
            return f"no program for {self.architecture} runs here: apt-get install qemu-user-static binfmt-support"
        if not self.done.exists():
            try:
                urllib.request.urlopen(f"{SERVER}/dists/{self.suite}/Release", timeout=30).close()
            except OSError as e:
                return f"Debian's server can't be reached ({e})"
        return ""

    @property
    def done(self) -> Path:
        return FOLDER / f"{self.name}.done"

    def make(self) -> None:
        """Unpacks it, once for all runs."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        with FileLock(FOLDER / f"{self.name}.lock"):
            if not self.done.exists():
                packages = ",".join((*PACKAGES, f"libpython{self.python}"))
                words = ["unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={packages}"]
                words += [f"--arch={self.architecture}"] if self.architecture else []
                shutil.rmtree(self.root, ignore_errors=True)  # of a run that was broken off
                subprocess.run([*words, self.suite, self.root, SERVER], check=True, stdout=subprocess.DEVNULL)
                self.done.touch()

    def install(self, wheel: Path) -> Path:
        """Puts it and what it needs into root's `venv` and `wheels`, and nothing else -> root's folder."""
        home = self.root / "root"
        shutil.rmtree(home)
        home.mkdir()
        words = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--python-version", self.python]
        if self.architecture == "arm64":
            for system in ("manylinux_2_28", "manylinux2014", "linux"):
                words += ["--platform", f"{system}_aarch64"]
        subprocess.run([*words, "-d", home / "wheels", wheel], check=True)
        self.run("python3 -m venv venv && venv/bin/pip install -q --no-index --find-links wheels sopilib")
        return home

    def run(self, line: str) -> str:
        """What a line of shell prints in it; AssertionError if it fails."""
        inside = f"cd /root; export HOME=/root LC_ALL=C.UTF-8 PATH=/usr/bin:/bin; {line}"
        root = shlex.quote(str(self.root))
        whole = f"mount -t proc proc {root}/proc && chroot {root} sh -c {shlex.quote(inside)}"
        words = ["unshare", "--mount", "sh", "-c", whole]
        done = subprocess.run(words, env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
        assert done.returncode == 0, done.stdout
        return done.stdout
