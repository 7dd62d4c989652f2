"""Where performers are heard without Pd: the sound card, a file, nowhere. In none of them does Python touch the sound.

All have `close()`, and raise SopiError if they can't begin.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sopilib.errors import SopiError
from sopilib.live.performer import Performer
from sopilib.native import _native

__all__ = ["CardOutput", "ClockOutput", "FileOutput", "real_time_priority"]

PRIORITY = 60  # of the real-time scheduler: below JACK, above what is ordinary
BLOCK = 64  # frames at once, where nothing else says how many
KEPT = 30  # s of sound that a slow disk may hold up
WRITES = 0.1  # s between writes to the file


class CardOutput:
    """A sound card, by PortAudio, whose callback is native.

    device  as sounddevice has it: a number, a part of a name, None: the default
    block   frames at once; 0: what the card likes best
    """

    def __init__(
        self, performers: Sequence[Performer], rate: float | None, channels: int, device: int | str | None, block: int
    ) -> None:
        try:
            import sounddevice
        except OSError as e:  # it is there, PortAudio is not
            raise SopiError(f"no PortAudio ({e}); install libportaudio2, or use --audio file") from None
        self._output = _native.Output([p.ring for p in performers], channels)
        ffi = sounddevice._ffi
        try:
            if rate is None:
                rate = float(sounddevice.query_devices(device, "output")["default_samplerate"])
            self._output.host(rate, block or BLOCK)
            self._stream = sounddevice._StreamBase(
                "output",
                samplerate=rate,
                blocksize=block,
                device=device,
                channels=channels,
                dtype="float32",
                latency="low",
                callback=ffi.cast("PaStreamCallback *", self._output.callback),
                userdata=ffi.cast("void *", self._output.address),
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as e:
            names = ", ".join(d["name"] for d in sounddevice.query_devices() if d["max_output_channels"]) or "none"
            raise SopiError(f"sound card: {_line(e)}; there is: {names}; --audio file OUT.wav needs none") from None
        self.rate = rate
        self.name = str(sounddevice.query_devices(self._stream.device)["name"])

    def close(self) -> None:
        self._stream.close()


class ClockOutput:
    """No sound card: the pace of the system's clock, and silence."""

    name = "nothing"

    def __init__(self, performers: Sequence[Performer], rate: float | None, channels: int, keep: int = 0) -> None:
        self.rate = rate or 48000.0
        self._output = _native.Output([p.ring for p in performers], channels)
        self._output.start_clock(self.rate, BLOCK, keep)

    def close(self) -> None:
        self._output.stop_clock()


class FileOutput(ClockOutput):
    """A sound file (WAV of 24 bits, FLAC...), written at the pace of the system's clock."""

    def __init__(self, performers: Sequence[Performer], rate: float | None, channels: int, path: Path) -> None:
        import soundfile

        rate = rate or 48000.0
        self.name = str(path)
        try:
            self._file = soundfile.SoundFile(path, "w", int(rate), channels, subtype="PCM_24")
        except (soundfile.LibsndfileError, TypeError, ValueError) as e:
            raise SopiError(
                f"{path}: {_line(e)}; expected a name such as out.wav in a folder that can be written"
            ) from None
        super().__init__(performers, rate, channels, keep=int(KEPT * rate))
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True, name="sound-file")
        self._writer.start()

    def _write(self) -> None:
        while not self._closing.wait(WRITES):
            self._file.write(self._output.take())

    def close(self) -> None:
        super().close()
        self._closing.set()
        self._writer.join()
        self._file.write(self._output.take())
        self._file.close()


def _line(e: Any) -> str:
    return " ".join(str(e).split())


@contextmanager
def real_time_priority() -> Iterator[None]:
    """For what is started inside, if this user may have it: so the sound goes on whatever else the machine does."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except (OSError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
