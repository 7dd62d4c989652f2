"""A sound card as host, by PortAudio."""

from __future__ import annotations

from collections.abc import Sequence

from sopilib.errors import SopiError
from sopilib.hosts.clock import BLOCK
from sopilib.live import Performer
from sopilib.native import _native

__all__ = ["CardHost"]


class CardHost:
    """Plays performers on a sound card. PortAudio's callback is native.

    performers  whose sound it plays
    rate        Hz; None: what the card likes best
    channels    of the card that are used, over which the performers' channels are added up
    device      as the package sounddevice has it: a number, or a part of a name; None: the default one
    block       frames at once; 0: what the card likes best

    Raises SopiError with the names of the cards that there are, if this one can't be had.
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
            reason = " ".join(str(e).split())
            raise SopiError(f"sound card: {reason}; there is: {names}; --audio file OUT.wav needs none") from None
        self.rate = rate
        self.name = str(sounddevice.query_devices(self._stream.device)["name"])

    def close(self) -> None:
        """Ends the callback and lets the card go."""
        self._stream.close()
