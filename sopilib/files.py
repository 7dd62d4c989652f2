"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Writes a file that appears, or takes the old one's place, when it is complete and on the disk. OSError leaves the
    old one as it was."""
    half = path.with_name(path.name + ".part")
    try:
        with half.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)
    except OSError:
        if half.is_file() or half.is_symlink():
            half.unlink()
        raise
