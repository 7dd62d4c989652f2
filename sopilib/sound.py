"""Sound files are read and written with libsndfile, what it doesn't know is read by ffmpeg, and soxr resamples.

Files are read in blocks, and only the part that is asked for is kept: a recording of hours is no reason to run out of
memory, and one that doesn't say how long it is (a FLAC that was streamed) is read until it ends.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import numpy as np
import soundfile
import soxr

from sopilib.errors import SopiError, one_line
from sopilib.files import whole_file
from sopilib.names import files_in, for_library, named

SUFFIXES = {
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64"),
    *(".rf64", ".m4a", ".aac", ".mp4", ".wma", ".webm", ".mkv"),  # from here through ffmpeg
}
"""The kinds of files that are looked for in folders. What is named itself may be of any kind."""
BLOCK = 1 << 16
"""Frames that are read at a time."""
MARGIN = 0.25
"""Seconds beside a part that are read too, so that its ends are resampled as they are within the whole."""
UNKNOWN = 1 << 48
"""Frames: a file that says to have as many doesn't know how many it has."""
WRITTEN = {"WAV": "WAV", "FLAC": "FLAC", "AIFF": "AIFF", "AIF": "AIFF", "W64": "W64", "RF64": "RF64", "CAF": "CAF"}
"""The kinds of files that are written, by their suffix: those that hold 24 bits."""

SET_ADD_PEAK_CHUNK = 0x1050  # of libsndfile

_Unreadable = (soundfile.LibsndfileError, RuntimeError, OSError, ValueError, EOFError)


class Part(NamedTuple):
    """Which part of a sound is meant, in seconds."""

    start: float = 0.0
    end: float | None = None
    """None: where the sound ends."""
    most: float | None = None
    """Only the last so many seconds of what is between start and end; None: all of it."""

    def frames(self, rate: float, ended: int) -> tuple[int, int]:
        """The first frame of the part, and the one after its last, in a sound of that many frames."""
        last = ended if self.end is None else min(ended, round(self.end * rate))
        first = round(self.start * rate)
        return (first if self.most is None else max(first, last - round(self.most * rate))), last


WHOLE = Part()


class _Frames(NamedTuple):
    """What was read: float32 [n], its channels mixed or one of them, and at which frame of the file it begins."""

    audio: np.ndarray
    first: int
    rate: int
    ended: int | None
    """The frame after the last that was read: where the file ends, or the margin of the part. If the file ends before
    the part: its end, None if it doesn't say that."""


def find_audio(paths: Iterable[str | Path]) -> list[Path]:
    """Finds the sound files that are named, lie in folders that are named, or fit patterns (`names.named`). Links to
    folders are followed. Each file is there once, under one name; those of a folder are sorted by name. Raises
    SopiError if there are none, or a name means nothing."""
    found: list[str] = []
    wanted = [os.fspath(path) for path in paths]
    for path in wanted:
        fits = named(path)
        if not fits:
            raise SopiError(f"{path}: no such file or folder, expected sound files, folders of them or a pattern")
        for fit in fits:
            found += _sounds_in(fit) if os.path.isdir(fit) else [fit]
    once = {os.path.realpath(path): path for path in reversed(found)}
    if not once:
        kinds = ", ".join(sorted(SUFFIXES))
        raise SopiError(f"no audio found in {', '.join(wanted)}, expected {kinds} files")
    return [Path(path) for path in dict.fromkeys(found) if once[os.path.realpath(path)] == path]


def _sounds_in(folder: str) -> list[str]:
    def wanted(path: str) -> bool:
        name = os.path.basename(path)
        return os.path.isdir(path) or (os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."))

    return [path for path in files_in(folder, _made_here) if wanted(path)]


def _made_here(folder: str) -> bool:
    """Whether a folder is a run, a data set or takes of ours: what a model made is no recording of the folder that it
    lies in, unless it is named itself."""
    if all(os.path.isfile(os.path.join(folder, name)) for name in ("run.json", "log.csv")):
        return True
    for name in ("dataset.json", "takes.json"):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                if b'"format": "sopilib' in file.read(200):
                    return True
        except OSError:
            pass
    return False


def read_sound(path: str | Path, channel: int | None = None) -> tuple[np.ndarray, int]:
    """Returns a sound file as float32 [n] in [-1, 1], and its rate in Hz.

    channel  the number of the one channel that is wanted, from 1; None: all of them are averaged

    A file that libsndfile can't read is read by ffmpeg, if that is installed. Raises SopiError if the file is missing,
    if nothing can read it, or if it has no such channel.
    """
    frames = _read(path, channel, WHOLE, None)
    return frames.audio, frames.rate


def read_audio(path: str | Path, sample_rate: int, part: Part = WHOLE) -> np.ndarray:
    """Returns a sound file, or a part of it, as float32 [n] in [-1, 1] at `sample_rate` Hz, its channels averaged. Only
    the part is read, and it is what it would be if the whole were resampled. Raises SopiError if it is no readable
    sound file, or if it ends before the part begins."""
    found = _read(path, None, part, sample_rate)
    if part == WHOLE:
        return resample(found.audio, found.rate, sample_rate)
    ended = round(part.start * found.rate) if found.ended is None else found.ended
    first, last = part.frames(found.rate, ended)
    if first >= last:
        length = "" if found.ended is None else f"is {ended / found.rate:.1f} s long, and "
        before = "" if part.end is None else f" and before {part.end:g} s"
        raise SopiError(f"{path}: {length}has no sound from {part.start:g} s on{before}")
    return _between(found.audio, first - found.first, last - found.first, found.rate, sample_rate)


def part_of(audio: np.ndarray, rate: float, sample_rate: int, part: Part) -> np.ndarray:
    """Returns the part of float [n] at `rate` Hz as it is at `sample_rate` Hz, as `read_audio` does of a file. Raises
    SopiError if it ends before the part begins."""
    first, last = part.frames(rate, len(audio))
    if first >= last:
        raise SopiError(f"is {len(audio) / rate:.1f} s long, and has no sound from {part.start:g} s on")
    margin, turn = _margin(rate, sample_rate)
    begin = max(0, first - margin) // turn * turn
    return _between(audio[begin : last + margin].astype(np.float32), first - begin, last - begin, rate, sample_rate)


def _between(audio: np.ndarray, first: int, last: int, rate: float, sample_rate: float) -> np.ndarray:
    """What is between two frames of the audio, as it is at another rate."""
    by = sample_rate / rate
    return resample(audio, rate, sample_rate)[round(first * by) : round(last * by)]


def _margin(rate: float, sample_rate: int) -> tuple[int, int]:
    """-> the frames beside a part that are read too, and those after which a resampler's samples lie as they do at the
    beginning: what is resampled begins at a multiple of them."""
    whole = round(rate)
    return math.ceil(MARGIN * rate), whole // math.gcd(whole, sample_rate)


def resample(audio: np.ndarray, rate: float, sample_rate: float) -> np.ndarray:
    """Returns float32 [n] at `rate` Hz as it is at `sample_rate` Hz. The length changes with the rate."""
    return audio if rate == sample_rate else soxr.resample(audio, rate, sample_rate, quality="VHQ")


def is_sound(path: Path) -> bool:
    """Whether this is a sound file that libsndfile can read."""
    try:
        soundfile.info(for_library(path))
    except _Unreadable:
        return False
    return True


def rate_of(path: Path) -> int:
    """The rate in Hz of a sound file that libsndfile can read. Raises SopiError."""
    try:
        return int(soundfile.info(for_library(path)).samplerate)
    except _Unreadable as e:
        raise SopiError(f"{path}: not a readable sound file ({one_line(str(e))})") from None


# ---------------------------------------------------------------- reading


def _read(path: str | Path, channel: int | None, part: Part, sample_rate: int | None) -> _Frames:
    """Reads a part with its margins, by libsndfile or else by ffmpeg."""
    if os.path.isdir(path):
        raise SopiError(f"{path}: a folder, or one that can't be read, expected a sound file")
    if not os.path.isfile(path):
        raise SopiError(f"{path}: no such sound file")
    try:
        with _by_libsndfile(path) as sound:
            return _take(path, sound, channel, part, sample_rate)
    except _Unreadable as e:
        # libsndfile's words alone, for the name is told anyway
        reason = one_line(" ".join(str(getattr(e, "error_string", e)).split()) or "it ends too soon")
    except MemoryError:
        raise SopiError(f"{path}: is too long to be read at once, expected a part of it") from None
    if shutil.which("ffmpeg") is None:
        reason += "; ffmpeg, which may know it, is not installed"
    else:
        try:
            with _by_ffmpeg(path) as sound:
                return _take(path, sound, channel, part, sample_rate)
        except _Unreadable:
            pass
    raise SopiError(f"{path}: not a readable sound file ({reason})")


class _Opened(NamedTuple):
    """A file that is being read."""

    rate: int
    channels: int
    frames: int | None
    """How many it has; None: it doesn't say."""
    blocks: Iterator[np.ndarray]
    """float32 [n, channels], one after the other."""
    seekable: soundfile.SoundFile | None
    """Where to go on, if that can be chosen."""


def _take(path: str | Path, sound: _Opened, channel: int | None, part: Part, sample_rate: int | None) -> _Frames:
    if channel is not None and not 1 <= channel <= sound.channels:
        raise SopiError(f"{path}: has {sound.channels} channel(s), no channel {channel}")
    first, last, keep, turn = _bounds(sound, part, sample_rate)
    at = sound.seekable.seek(first) if sound.seekable is not None and 0 < first < last else 0
    kept: deque[np.ndarray] = deque()
    held = 0  # frames of these
    for block in sound.blocks if first < last else ():
        before, at = at, at + int(min(last - at, len(block)))
        block = block[max(0, min(first - before, len(block))) : at - before]
        kept.append(block.mean(axis=1) if channel is None else block[:, channel - 1].copy())
        held += len(block)
        while held - len(kept[0]) >= keep:
            held -= len(kept.popleft())
        if at >= last:
            break
    audio = np.concatenate(kept) if kept else np.zeros(0, np.float32)
    begin = at - len(audio)
    off = -begin % turn
    ended = sound.frames if first >= last else at if kept else None
    return _Frames(audio[off:], begin + off, sound.rate, ended)


def _bounds(sound: _Opened, part: Part, sample_rate: int | None) -> tuple[int, float, float, int]:
    """-> the first frame to read and the one after the last, with margins; how many to keep of them, the last ones; and
    of what number the first that is kept must be a multiple."""
    if sample_rate is None or part == WHOLE:
        return 0, math.inf if sound.frames is None else sound.frames, math.inf, 1
    margin, turn = _margin(sound.rate, sample_rate)
    first = max(0, round(part.start * sound.rate) - margin) // turn * turn
    last = math.inf if part.end is None else round(part.end * sound.rate) + margin
    keep = math.inf if part.most is None else round(part.most * sound.rate) + 2 * margin + turn
    if sound.frames is not None:
        last = min(last, sound.frames)
        if last - first > keep:
            first = int(last - keep) // turn * turn
    return first, last, keep, turn


class _Onwards(soundfile.SoundFile):
    """libsndfile without going back to where it has read to after each block: the end of a file that doesn't say how
    long it is can't be gone to."""

    reading = False

    def seekable(self) -> bool:
        return not self.reading and super().seekable()


@contextmanager
def _by_libsndfile(path: str | Path) -> Iterator[_Opened]:
    with _Onwards(for_library(path)) as file:

        def blocks() -> Iterator[np.ndarray]:
            file.reading = True
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                yield block

        frames = file.frames if file.frames < UNKNOWN else None
        yield _Opened(file.samplerate, file.channels, frames, blocks(), file if file.seekable() else None)


@contextmanager
def _by_ffmpeg(path: str | Path) -> Iterator[_Opened]:
    """Raises OSError if it can't read the file."""
    # file: keeps a name with a colon from being an address; AU says what it is in its first bytes, and needs no length
    source = b"file:" + os.fsencode(path)
    command: list[str | bytes] = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        source,
        "-vn",
        "-c:a",
        "pcm_f32be",
        "-f",
        "au",
        "-",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ffmpeg:
        assert ffmpeg.stdout is not None
        try:
            header = np.frombuffer(ffmpeg.stdout.read(24), ">u4")
            if len(header) < 6 or header[0] != 0x2E736E64:  # .snd
                raise OSError("ffmpeg can't read it")
            ffmpeg.stdout.read(int(header[1]) - 24)
            rate, channels = int(header[4]), int(header[5])
            yield _Opened(rate, channels, None, _au_blocks(ffmpeg, ffmpeg.stdout, channels), None)
        finally:
            ffmpeg.kill()


def _au_blocks(ffmpeg: subprocess.Popen[bytes], sound: IO[bytes], channels: int) -> Iterator[np.ndarray]:
    while content := sound.read(4 * channels * BLOCK):
        whole = len(content) // (4 * channels) * channels
        yield np.frombuffer(content, ">f4", whole).astype(np.float32).reshape(-1, channels)
    if ffmpeg.wait():
        raise OSError("ffmpeg can't read it to its end")


# ---------------------------------------------------------------- writing


LARGEST = {"WAV": 0xFFFF0000, "AIFF": 0xFFFF0000}
"""Bytes of sound that a file of these kinds holds at most: its header can't say more, and would say less."""


class NewSound:
    """A sound file that is being written.

    path      where it is written
    rate      Hz
    channels  1 or more
    name      the name that it is to have, which says its kind, if that isn't `path`
    new       True: there must be no such file yet
    subtype   how samples are written, as libsndfile calls it; usually 24 bits

    All methods raise SopiError with what is wrong: the kind is none that is written here, the disk is full.
    """

    def __init__(
        self,
        path: Path,
        rate: int,
        channels: int,
        name: Path | None = None,
        *,
        new: bool = False,
        subtype: str = "PCM_24",
    ) -> None:
        self._name = name or path
        kind = kind_of(self._name)
        how = os.O_RDWR | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC) | getattr(os, "O_CLOEXEC", 0)
        try:
            # the file is opened here, for the system says why it can't be and libsndfile doesn't
            self._descriptor = os.open(path, how, 0o666)
        except FileExistsError:
            raise SopiError(f"{path}: there is such a file already, expected the name of a new one") from None
        except OSError as e:
            raise SopiError(
                f"{self._name}: {e.strerror}; expected a name such as out.wav in a folder that can be written"
            ) from None
        try:
            self._file = soundfile.SoundFile(self._descriptor, "w", rate, channels, subtype, format=kind, closefd=False)
        except _Unreadable as e:
            reason = self._reason(e)
            os.close(self._descriptor)
            raise SopiError(
                f"{self._name}: {kind} of {channels} channels at {rate} Hz could not be written ({reason})"
            ) from None
        # of floats libsndfile keeps the peak, and the time at which it was written: no file would be twice the same
        soundfile._snd.sf_command(self._file._file, SET_ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
        self.frames, self.channels = 0, channels
        width = {"PCM_16": 2, "PCM_24": 3}.get(subtype, 4)
        self._most = LARGEST.get(kind, 1 << 62) // (width * channels)

    def write(self, block: np.ndarray) -> None:
        """Adds float [n, channels] in [-1, 1]."""
        if self.frames + len(block) > self._most:
            raise SopiError(f"{self._name}: is as long as such a file can be, expected one of .w64, .rf64, .caf, .flac")
        try:
            self._file.write(block)
        except _Unreadable as e:
            raise SopiError(f"{self._name}: could not be written ({self._reason(e)})") from None
        self.frames += len(block)

    def close(self) -> None:
        """Completes the file. It may be called again."""
        if self._descriptor < 0:
            return
        try:
            self._file.close()
            os.fsync(self._descriptor)
        except _Unreadable as e:
            raise SopiError(f"{self._name}: could not be completed ({self._reason(e)})") from None
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _reason(self, error: Exception) -> str:
        """libsndfile says "System error.": what the system says of it is asked for once more."""
        if isinstance(error, OSError):
            return error.strerror or str(error)
        try:
            end = os.lseek(self._descriptor, 0, os.SEEK_END)
            os.pwrite(self._descriptor, bytes(1 << 16), end)
            os.ftruncate(self._descriptor, end)
            os.fsync(self._descriptor)
        except OSError as e:
            return e.strerror or str(e)
        return one_line(str(error))

    def __enter__(self) -> NewSound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SopiError:
            if error is None:
                raise


def kind_of(path: Path) -> str:
    """The kind of sound file that this name says, as libsndfile calls it. Raises SopiError with those that are written
    if it is none of them."""
    kind = WRITTEN.get(path.suffix[1:].upper())
    if kind is None:
        known = ", ".join(f".{suffix.lower()}" for suffix in WRITTEN)
        found = path.suffix or "a name without an end"
        raise SopiError(f"{path}: could not be written as {found}, expected a name such as out.wav: {known}")
    return kind


def write_audio(path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int, *, overwrite: bool = True) -> float:
    """Writes float blocks, each [channels, n] in [-1, 1], as a 24-bit file of the kind that its suffix says (.wav,
    .flac...), and returns its length in seconds.

    The file appears under its name when it is complete, in place of an old one unless `overwrite` is False. If it could
    not be finished, the old one is as it was, and SopiError says why; whatever the blocks raise is passed on.
    """
    path = Path(path)
    kind_of(path)
    try:
        with whole_file(path, overwrite=overwrite) as half:
            frames = _write_blocks(half, path, blocks, sample_rate)
    except OSError as e:
        raise SopiError(f"{path}: could not be written ({e.strerror or e})") from None
    return frames / sample_rate


def _write_blocks(half: Path, path: Path, blocks: Iterable[np.ndarray], sample_rate: int) -> int:
    """Writes into `half` what is to be called `path`. Returns the number of frames."""
    file: NewSound | None = None
    try:
        for block in blocks:
            if file is None:
                file = NewSound(half, sample_rate, len(block), path)
            file.write(block.T)
    finally:
        if file is not None:
            file.close()
    if file is None:
        raise SopiError(f"{path}: nothing to write, give a length above 0 seconds")
    return file.frames
