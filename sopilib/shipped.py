"""Where what comes along lies: samplernn.pd, the folder pd with patches and external, and the folder models.

In an installed sopilib they are inside the package; in a checkout, beside it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["ROOT", "installed"]

_PACKAGE = Path(__file__).resolve().parent


def installed() -> bool:
    """Whether this is an installed sopilib, in which nothing is ever written, and not a checkout."""
    return (_PACKAGE / "pd").is_dir()


ROOT = _PACKAGE if installed() else _PACKAGE.parent
"""The folder in which samplernn.pd, pd and models are."""
