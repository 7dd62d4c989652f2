"""For .ci/setup: a .venv that goes on working when its checkout is moved, renamed or copied.

Python itself finds a venv by where it is started from. What pip has written with whole paths is changed here: the
programs in .venv/bin start the python beside them, the sources are found by a path relative to site-packages, and the
engine lies beside its sources. `sopi` is a program of ours that has no path in it: sopilib/cli/sopi.sh.
It is run by .venv/bin/python -S: a whole path with an accent is enough to keep Python from starting otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
NATIVE = ROOT / "sopilib" / "native"
HEADS = (rb"#!/bin/sh\n'''exec' .*\n' '''\n", rb"#!.*python[0-9.]*\n")  # pip's, for paths with and without spaces
HEAD = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python" "$0" "$@"
' '''
"""


def programs() -> None:
    """Those of the venv that are written in Python."""
    for path in (VENV / "bin").iterdir():
        if path.is_symlink() or not path.is_file() or path.read_bytes()[:2] != b"#!":
            continue
        text = re.sub(rb"\A(%s|%s)" % HEADS, lambda _: HEAD, path.read_bytes())
        if text != path.read_bytes():
            path.write_bytes(text)


def sources(site: Path) -> None:
    """`import sopilib` finds the checkout, by a path that begins at site-packages."""
    for finder in site.glob("_editable_skbc_sopilib.*"):
        finder.unlink()
    (site / "sopilib.pth").write_text(os.path.relpath(ROOT, site) + "\n")
    built = site / "sopilib" / "native"
    for engine in built.glob("_native.*.so"):
        for old in NATIVE.glob("_native.*.so"):
            old.unlink()
        os.replace(engine, NATIVE / engine.name)
    shutil.rmtree(built.parent, ignore_errors=True)


def activation() -> None:
    """`source .venv/bin/activate`: written again after a move."""
    if str(VENV) not in (VENV / "bin" / "activate").read_text(encoding="utf-8", errors="replace"):
        subprocess.run([sys._base_executable, "-m", "venv", "--without-pip", VENV], check=True)  # type: ignore[attr-defined]


if __name__ == "__main__":
    activation()
    programs()
    sources(VENV / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages")
