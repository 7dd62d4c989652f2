"""Where what comes along lies: samplernn.pd, the folder pd with patches and external, and the folder models.

In an installed sopilib they are inside the package; in a checkout, beside it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["ROOT", "commit", "installed"]

_PACKAGE = Path(__file__).resolve().parent


def installed() -> bool:
    """Whether this is an installed sopilib, in which nothing is ever written, and not a checkout."""
    return (_PACKAGE / "pd").is_dir()


ROOT = _PACKAGE if installed() else _PACKAGE.parent
"""The folder in which samplernn.pd, pd and models are."""


def commit() -> str:
    """The commit that this is of: noted in a wheel, asked of git in a checkout. Empty: nobody knows."""
    try:
        if installed():
            return (ROOT / "commit.txt").read_text().strip()
        ask = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
