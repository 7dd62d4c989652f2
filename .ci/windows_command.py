"""For pyproject.toml: on Windows pip makes the command `sopi`; elsewhere it is sopilib/cli/sopi.sh."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def dynamic_metadata(settings: Mapping[str, str], _project: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """The project's scripts."""
    return {"scripts": {"sopi": settings["command"]} if sys.platform == settings["platform"] else {}}
