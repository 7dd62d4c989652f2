"""What sopilib needs of others to play; where it is missing, one line says what to type."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ["check", "packages", "pip"]

PACKAGES = {
    "numpy": "numpy",
    "safetensors": "safetensors",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "pythonosc": "python-osc",
    "filelock": "filelock",
}
"""By the name of their module. pip installs them with a wheel; a package from Pd's menu comes without them."""
HERE = Path(__file__).resolve().parent


def check() -> None:
    """Raises ImportError, whose one line has the command to type."""
    missing = [name for module, name in packages().items() if find_spec(module) is None]
    if missing:
        raise ImportError(f"sopilib needs {', '.join(missing)}; type: {_command(missing, list(packages().values()))}")
    try:
        import numpy  # noqa: F401
    except ImportError as e:
        path = os.environ.get("PYTHONPATH")
        how = f"PYTHONPATH is {path}: unset it if that is of another Python" if path else "install sopilib again"
        raise ImportError(f"sopilib finds no numpy that it can use ({e}); {how}") from None


def pip(*what: str) -> str:
    """What to type to install packages, or sopilib with an extra ("sopilib[train]"), for the Python that runs: another
    one's pip may be the first on the PATH."""
    return _words(sys.executable or "python", "-m", "pip", "install", *what)


def packages() -> dict[str, str]:
    """What playing needs of others: the names that pip knows, by those of the modules."""
    for_all_pythons = any((HERE / "native").glob("_native.abi3.*"))
    return {**PACKAGES, "nanobind_backend": "nanobind-backend"} if for_all_pythons else PACKAGES


def _command(missing: list[str], everything: list[str]) -> str:
    if sys.prefix != sys.base_prefix:
        return pip(*missing)
    # the system's own Python is left as it is: a venv where the external looks for one
    venv = HERE.parent / ".venv"
    its = venv / ("Scripts" if os.name == "nt" else "bin") / "pip"
    return f"{_words(sys.executable, '-m', 'venv', str(venv))} && {_words(str(its), 'install', *everything)}"


def _words(*words: str) -> str:
    return " ".join(f'"{w}"' if " " in w else w for w in words) if os.name == "nt" else shlex.join(words)
