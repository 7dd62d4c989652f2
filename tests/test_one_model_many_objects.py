"""Several objects that play one model share its weights; and how many threads an object takes where nobody says."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from pathlib import Path

import pytest

from sopilib import library
from sopilib.engine import Engine
from sopilib.live import Performer, music
from sopilib.threads import cores, thread_count


def playing(path: Path, **options: object) -> Performer:
    performer = Performer(freewheel=True, **options)  # type: ignore[arg-type]
    performer.perform("load", str(path))
    return performer


def engine(performer: Performer) -> Engine:
    assert performer.music.engine is not None
    return performer.music.engine


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(shutil.copy(library.find("tabla"), tmp_path / "mine.safetensors"))


def test_objects_share_the_weights_of_one_file_and_the_last_one_lets_them_go(file: Path) -> None:
    first, second = playing(file), playing(file, voices=2)
    packed = weakref.ref(engine(first).origin)
    assert engine(first).model is engine(second).model
    assert engine(second).voices == 2
    first.close()
    second.perform("voices", 3)  # an engine of another size, of the same weights
    third = playing(file)
    assert engine(third).model is engine(second).model
    second.close()
    third.close()
    del first, second, third
    gc.collect()
    assert packed() is None


def test_a_file_that_is_another_now_is_loaded_anew_while_the_old_one_plays_on(file: Path) -> None:
    first = playing(file)
    shutil.copy(library.find("voice"), file)
    second = playing(file)
    assert engine(first).model is not engine(second).model
    first.close()
    second.close()


@pytest.mark.skipif(cores() < 2, reason="there is one core")
@pytest.mark.parametrize(("enough", "several"), [(0.0, False), (1e9, True)])
def test_more_threads_are_tried_only_where_one_is_too_slow(
    file: Path, enough: float, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(music, "ENOUGH", enough)
    tried: list[int] = []
    measure = music.Packed._measure

    def watched(packed: music.Packed, voices: int, threads: int) -> float:
        tried.append(threads)
        return measure(packed, voices, threads)

    monkeypatch.setattr(music.Packed, "_measure", watched)
    performer = playing(file, threads=None)
    assert (len(tried) > 1) == several
    assert engine(performer).source.threads in tried
    performer.close()


def test_how_many_threads_is_auto_or_a_number() -> None:
    assert thread_count("auto") is None
    assert thread_count("2") == 2
    for wrong in ("0", "65", "two", ""):
        with pytest.raises(ValueError):
            thread_count(wrong)


def test_cores_are_those_of_this_process() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
