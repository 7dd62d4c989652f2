"""The class `take` of record~.pd: names for recordings, and WAV headers that are right at any moment.

[writesf~] writes the sizes into a WAV file's header only when it closes the file. If Pd is killed before, players find
an empty file. So here they are written twice a second, as long as the recording goes on.
"""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path
from typing import Any

import pyext

HEADER = 44  # bytes before the sound in a WAV file of [writesf~]


class take(pyext._class):
    """`start <folder>`: sends `open <path>`, a name that is free in its folder `recordings`, and
    `file <name>` to show. `stop`: the recording ends."""

    _inlets = 1
    _outlets = 1

    def __init__(self, *arguments: Any) -> None:
        self.ended = threading.Event()

    def start_1(self, *folder: Any) -> None:
        self.stop_1()
        place = Path(" ".join(map(str, folder))) / "recordings"
        try:
            place.mkdir(parents=True, exist_ok=True)
            path = free_name(place)
            path.touch(exist_ok=False)
        except OSError as e:
            self._outlet(1, "error", (f"record: {place}: {e.strerror}, choose a folder that can be written",))
            return
        self.ended = threading.Event()
        threading.Thread(target=keep_readable, args=(path, self.ended), daemon=True, name="wav-header").start()
        self._outlet(1, "open", (str(path),))
        self._outlet(1, "file", (f"{place.name}/{path.name}",))

    def stop_1(self) -> None:
        self.ended.set()

    def _del(self) -> None:
        self.ended.set()


def free_name(folder: Path) -> Path:
    """take-001.wav, or the first of that kind which is not there."""
    number = 1
    while (folder / f"take-{number:03}.wav").exists():
        number += 1
    return folder / f"take-{number:03}.wav"


def keep_readable(path: Path, ended: threading.Event, interval: float = 0.5) -> None:
    """Writes the sizes that the file has into its header, each `interval` seconds until `ended`, and once more after
    [writesf~] has had time to close it: both may have written at once."""
    try:
        while not ended.wait(interval):
            correct_header(path)
        time.sleep(2 * interval)
        correct_header(path)
    except OSError:
        pass  # deleted or moved away


def correct_header(path: Path) -> None:
    """Makes the header of a WAV file that is being written agree with its length."""
    with path.open("r+b") as file:
        header = file.read(HEADER)
        if len(header) < HEADER or header[:4] != b"RIFF" or header[36:40] != b"data":
            return
        frame = struct.unpack("<H", header[32:34])[0]
        size = path.stat().st_size - HEADER
        size -= size % frame
        file.seek(4)
        file.write(struct.pack("<I", HEADER - 8 + size))
        file.seek(40)
        file.write(struct.pack("<I", size))
