"""Sound files keep their pitch, unfinished ones never appear, and the numbers that judge a sound are right."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_disk import no_file_above

from sopilib import Config, Engine, Model, SopiError, sound
from sopilib.score import bits_per_sample, describe, log_mel_distance

RATE = 16000


def tone(hz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_files_of_another_rate_keep_their_pitch_and_channels_are_mixed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "t.wav", np.stack([tone(440, rate=44100), tone(440, rate=44100)], 1), 44100)
    read = sound.read_audio(tmp_path / "t.wav", RATE)
    assert read.dtype == np.float32
    assert np.abs(np.fft.rfft(read)).argmax() * RATE / len(read) == pytest.approx(440, abs=2)
    assert np.abs(read).max() == pytest.approx(0.5, abs=0.01)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    blocks = [tone(100)[None, :700], tone(100)[None, 700:]]
    assert sound.write_audio(tmp_path / "t.flac", blocks, RATE) == 1
    np.testing.assert_allclose(sound.read_audio(tmp_path / "t.flac", RATE), tone(100), atol=1e-6)


def test_a_file_that_could_not_be_finished_never_appears(tmp_path: Path) -> None:
    def breaks() -> Iterator[np.ndarray]:
        yield tone(100)[None]
        raise SopiError("the model broke")

    with pytest.raises(SopiError, match="broke"):
        sound.write_audio(tmp_path / "t.wav", breaks(), RATE)
    with pytest.raises(SopiError, match="could not be written"):
        sound.write_audio(tmp_path / "nowhere" / "t.wav", [tone(1)[None]], RATE)
    with pytest.raises(SopiError, match="could not be written"):
        sound.write_audio(tmp_path / "t.xyz", [tone(1)[None]], RATE)
    with pytest.raises(SopiError, match="nothing to write"):
        sound.write_audio(tmp_path / "t.wav", [], RATE)
    assert not list(tmp_path.iterdir())


def streamed(path: Path, seconds: float) -> Path:
    """A FLAC without its length, as a pipe gets it."""
    sound = path.with_name("whole.wav")
    soundfile.write(sound, tone(440, seconds, 44100), 44100)
    made = subprocess.run(["ffmpeg", "-v", "error", "-i", sound, "-f", "flac", "-"], check=True, capture_output=True)
    path.write_bytes(made.stdout)
    sound.unlink()
    return path


def test_a_flac_that_was_streamed_is_read_to_its_end(tmp_path: Path) -> None:
    audio, rate = sound.read_sound(streamed(tmp_path / "s.flac", 3))
    assert (len(audio), rate) == (3 * 44100, 44100)
    np.testing.assert_allclose(audio, tone(440, 3, 44100), atol=1e-4)
    assert sound.is_sound(tmp_path / "s.flac")


KINDS = ["wav", "flac", "streamed.flac", "ogg", "mp3", "m4a"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_what_it_is_within_the_whole(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{kind}"
    if kind == "streamed.flac":
        streamed(path, 20)
    else:
        noise = np.random.default_rng(0).normal(0, 0.05, (20 * 44100, 2)).cumsum(axis=0)
        soundfile.write(tmp_path / "noise.wav", np.sin(noise) / 2, 44100)
        subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "noise.wav", path], check=True)
    for rate in (RATE, 44100):
        whole = sound.read_audio(path, rate)
        for part, start, end in (
            (sound.Part(4.5, 6), 4.5, 6),
            (sound.Part(0, 3), 0, 3),
            (sound.Part(12.3456, None), 12.3456, len(whole) / rate),
            (sound.Part(1, None, 7), len(whole) / rate - 7, len(whole) / rate),
            (sound.Part(1, 15, 7), 8, 15),
        ):
            found, expected = sound.read_audio(path, rate, part), whole[round(start * rate) : round(end * rate)]
            assert abs(len(found) - len(expected)) <= 1
            n = min(len(found), len(expected))
            np.testing.assert_allclose(found[:n], expected[:n], atol=1e-4)
        with pytest.raises(SopiError, match="has no sound from 30 s on"):
            sound.read_audio(path, rate, sound.Part(30, 31))


def test_of_a_recording_of_hours_only_the_part_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hours.wav"
    with soundfile.SoundFile(path, "w", 48000, 1, "PCM_16") as file:
        file.write(np.zeros(1000))
    # two hours that take no room on the disk: the rest is a hole, and the header says how long it is
    frames = 2 * 3600 * 48000
    with path.open("r+b") as raw:
        raw.truncate(44 + 2 * frames)
        for at, size in ((4, 36 + 2 * frames), (40, 2 * frames)):
            raw.seek(at)
            raw.write(struct.pack("<I", size))
    read, real = [], soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, n: int = -1, *more: object, **options: object) -> np.ndarray:
        read.append(n)
        return real(self, n, *more, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    assert len(sound.read_audio(path, RATE, sound.Part(1, 4))) == 3 * RATE
    assert len(sound.read_audio(path, RATE, sound.Part(0, None, 60))) == 60 * RATE
    assert min(read) > 0
    assert sum(read) < 70 * 48000


def test_a_full_disk_is_called_that_and_a_kind_that_isnt_written_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(SopiError, match=r"t\.wav: .*could not be written \(No space left on device\)"):
        sound.NewSound(Path("/dev/full"), RATE, 1, Path("t.wav"))
    with pytest.raises(SopiError, match="File too large"), no_file_above(10000):
        sound.write_audio(tmp_path / "t.wav", [tone(100)[None]], RATE)
    with pytest.raises(SopiError, match=r"could not be written as \.mp3, expected a name such as out\.wav: \.wav, "):
        sound.write_audio(tmp_path / "t.mp3", [tone(100)[None]], RATE)
    assert not list(tmp_path.iterdir())


def test_a_file_that_only_ffmpeg_may_know_says_that_it_isnt_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RAVE's `preprocess` said "FileNotFoundError(2, 'No such file or directory')" (acids-ircam/RAVE#160, #318)."""
    (tmp_path / "a.m4a").write_bytes(bytes(1000))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SopiError, match=r"a\.m4a: not a readable sound file \(.*; ffmpeg, which may know it, is not"):
        sound.read_sound(tmp_path / "a.m4a")


def test_a_wav_that_would_get_longer_than_its_header_can_say_ends_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some hours: libsndfile wraps the length in the header around (libsndfile/libsndfile#930)."""
    monkeypatch.setitem(sound.LARGEST, "WAV", 3 * RATE)
    with sound.NewSound(tmp_path / "t.wav", RATE, 1) as file:
        file.write(tone(100, 0.75)[:, None])
        with pytest.raises(SopiError, match=r"as long as such a file can be, expected one of \.w64"):
            file.write(tone(100, 0.75)[:, None])
    assert soundfile.info(tmp_path / "t.wav").duration == 0.75
    with sound.NewSound(tmp_path / "t.w64", RATE, 1) as file:
        file.write(tone(100, 1.5)[:, None])


def test_sounds_as_pipes_and_cut_off_downloads_have_them_are_read(tmp_path: Path) -> None:
    """A WAV with FFFFFFFF for its length (swesterfeld/audiowmark#17), an MP3 that says more than it has
    (bastibe/python-soundfile#379)."""
    soundfile.write(tmp_path / "whole.wav", tone(440, 4, 44100), 44100)
    for name, kind in (("pipe.wav", "wav"), ("whole.mp3", "mp3")):
        command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "whole.wav"), "-f", kind, "-"]
        (tmp_path / name).write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    assert len(sound.read_sound(tmp_path / "pipe.wav")[0]) == 4 * 44100
    half = (tmp_path / "whole.mp3").read_bytes()
    (tmp_path / "half.mp3").write_bytes(half[: len(half) // 2])
    assert 1.5 < len(sound.read_sound(tmp_path / "half.mp3")[0]) / 44100 < 2.5
    assert 0.5 < len(sound.read_audio(tmp_path / "half.mp3", RATE, sound.Part(1, None))) / RATE < 1.5


def test_silence_level_and_offset_are_measured() -> None:
    d = describe(np.concatenate([tone(440), np.zeros(RATE), tone(440, 0.5) + 0.1]), RATE)
    assert d.longest_silence == pytest.approx(1, abs=0.03)
    assert d.dc == pytest.approx(0.02, abs=1e-3)
    assert d.peak_db == pytest.approx(20 * np.log10(0.6), abs=0.1)
    assert describe(tone(440), RATE).rms_db == pytest.approx(-9.03, abs=0.05)


def test_a_spectrum_is_nearest_to_its_own_kind() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    low, lower = tone(300), tone(290)
    assert log_mel_distance(low, low, RATE) == 0
    assert log_mel_distance(low, lower, RATE) < log_mel_distance(low, noise, RATE)


def test_a_model_that_knows_nothing_needs_log2_q_bits() -> None:
    model = Model.random(Config(frame_sizes=[2, 4], dim=8, q_levels=64))
    flat = Model(model.config, {k: np.zeros_like(w) for k, w in model.weights.items()})
    codes = np.random.default_rng(0).integers(0, 64, 400)
    assert bits_per_sample(Engine(flat), codes) == pytest.approx(6)
    with pytest.raises(SopiError, match="at least 4"):
        bits_per_sample(Engine(flat), codes[:3])
