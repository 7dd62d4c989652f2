"""How recordings become a data set: the options of `sopi prepare`."""

from __future__ import annotations

from dataclasses import dataclass

from sopilib.errors import SopiError
from sopilib.train.settings import option


@dataclass
class Preparation:
    """How recordings become a data set. The fields are also the options of `sopi prepare`, with these helps. Raises
    SopiError for values that are out of range or unknown."""

    sample_rate: int = option(16000, "Hz of the data set and of models trained on it")
    channel: int = option(0, "which channel of each file, from 1; 0: their mean")
    mono: bool = option(True, "their mean; --no-mono: every channel is material of its own")
    normalise: str = option("peak", "of the whole: peak (to -1 dB), loudness (to -18 dB, no clipping) or none")
    keep_dc: bool = option(False, "leave each recording's DC offset in")
    silence_db: float = option(-60.0, "what is quieter than this is silence")
    longest_silence: float = option(1.0, "seconds that are kept of a silence that is longer; 0: it is kept whole")
    chunk: float = option(0.0, "cut what is trained on into pieces of so many seconds; 0: leave whole")
    overlap: float = option(0.0, "seconds that two pieces share")
    split: str = option("time", "validation and test are the ends of every file (time), or whole files (file)")
    validation: str = option("10%", "share that is never trained on; or, such as 60s, the end of the last file")
    test: str = option("0%", "another one, in front of that; for you to score")
    validation_files: list[str] = option([], "names or patterns of the files to validate on")
    test_files: list[str] = option([], "names or patterns of the files to keep for a test")
    augment: list[str] = option([], "more to train on: reverse, pitch (a semitone up and down), gain (6 dB down)")
    features: list[str] = option([], "curves to be played with: loudness, onset, or csv (FILE.csv beside each FILE)")

    def __post_init__(self) -> None:
        self._one_of("normalise", [self.normalise], ("peak", "loudness", "none"))
        self._one_of("split", [self.split], ("time", "file"))
        self._one_of("augment", self.augment, ("reverse", "pitch", "gain"))
        self._one_of("features", self.features, ("loudness", "onset", "csv"))
        if not 1000 <= self.sample_rate <= 192000:
            raise SopiError(f"sample_rate is {self.sample_rate}, expected 1000 to 192000 Hz")
        if self.chunk and not 0 <= self.overlap < self.chunk:
            raise SopiError(f"overlap is {self.overlap:g} s, expected less than a chunk of {self.chunk:g} s")
        for name in ("validation", "test"):
            amount(name, getattr(self, name))

    def _one_of(self, name: str, values: list[str], known: tuple[str, ...]) -> None:
        for value in values:
            if value not in known:
                raise SopiError(f"{name} is {value!r}, expected one of {', '.join(known)}")


def amount(name: str, text: str) -> tuple[float, float]:
    """Reads how much of the sound goes into a part: the share and the seconds, one of which is 0. "10%" gives (0.1, 0),
    and "60s" gives (0, 60). Raises SopiError, with the option's `name`, for anything else."""
    try:
        number = float(text[:-1])
        if text[-1:] == "%" and 0 <= number <= 50:
            return number / 100, 0.0
        if text[-1:] == "s" and number >= 0:
            return 0.0, number
    except ValueError:
        pass
    raise SopiError(f"{name} is {text!r}, expected a share such as 10% (at most 50%), or seconds such as 60s")
