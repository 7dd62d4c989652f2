"""What real Pd plays: the same patch is the same sound, and every message is heard when it was promised."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pd_host import ROOT, Patch, Result, run

pytestmark = pytest.mark.usefixtures("pd_models")


def render(patch: Patch, folder: Path, name: str = "patch", **options) -> Result:
    result = run(patch.write(folder / f"{name}.pd"), **options)
    assert result.code == 0, result.out
    return result


def played(folder: Path, name: str = "out") -> np.ndarray:
    return soundfile.read(folder / f"{name}.wav", dtype="float32")[0]


def player(folder: Path, ms: float, box: str = "samplernn~ small", name: str = "out", rate: int = 48000):
    """A patch that plays from the start, recorded, and the number of its box."""
    patch = Patch()
    box_ = patch.obj(box)
    patch.at(0, "generate", box_)
    patch.record(folder / f"{name}.wav", box_, ms, rate=rate)
    patch.quit(ms + 20)
    return patch, box_


def first_difference(a: np.ndarray, b: np.ndarray) -> int:
    different = np.flatnonzero(a != b)
    assert len(different), "the two recordings are the same"
    return int(different[0])


def test_the_same_patch_and_seed_are_the_same_sound_under_load_and_with_more_threads(tmp_path: Path) -> None:
    patch, box = player(tmp_path, 2000, "samplernn~ tabla seed 4")
    patch.at(777.7, "temperature 1.2 300", box)
    takes = []
    for environment in ({}, {"load": "1"}, {"SOPI_THREADS": "2"}):
        busy = []
        if "load" in environment:
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
        try:
            render(patch, tmp_path, environment=environment)
        finally:
            for process in busy:
                process.kill()
                process.wait()
        takes.append((tmp_path / "out.wav").read_bytes())
    sound = played(tmp_path)
    assert sound.std() > 0.01
    assert takes[0] == takes[1] == takes[2]


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("ms", [200, 251.3])
def test_a_message_is_heard_latency_after_its_logical_time(tmp_path: Path, rate: int, ms: float) -> None:
    """The temperature from the first model sample that can know of it, the volume from the very sample."""
    for name, message in (("plain", None), ("warm", "temperature 5"), ("half", "gain 0.5")):
        patch, box = player(tmp_path, 400, "samplernn~ small temperature 0.5 latency 25", name, rate)
        if message:
            patch.at(ms, message, box)
        render(patch, tmp_path, rate=rate)
    plain, warm, half = (played(tmp_path, name) for name in ("plain", "warm", "half"))
    due = (ms + 25) * rate / 1000
    assert abs(first_difference(plain, half) - due) <= 1
    assert due - 1 <= first_difference(plain, warm) <= due + 4 * rate / 16000
    np.testing.assert_allclose(half[int(due) + 2 :], 0.5 * plain[int(due) + 2 :], atol=1e-6)


@pytest.mark.parametrize("block", ["block~ 2048", "block~ 1", "block~ 64 1 2"])
def test_in_a_subpatch_of_another_block_or_twice_the_rate_it_is_the_same_sound(tmp_path: Path, block: str) -> None:
    takes = []
    for setting in ("block~ 64", block):
        patch = Patch()
        boxes = ("obj 10 10 inlet", "obj 10 40 samplernn~ small seed 4", "obj 10 80 outlet~", f"obj 200 10 {setting}")
        patch.lines += ["#N canvas 0 0 400 300 sub 0;", *(f"#X {box};" for box in boxes)]
        patch.lines += ["#X connect 0 0 1 0;", "#X connect 1 0 2 0;"]
        inside = patch.add("restore", "pd sub")
        patch.at(0, "generate", inside)
        patch.record(tmp_path / "out.wav", inside, 300)
        patch.quit(400)
        render(patch, tmp_path)
        takes.append(played(tmp_path))
    assert takes[0].std() > 0.01
    assert np.array_equal(takes[0], takes[1])


def test_two_objects_play_at_once_and_leave_each_other_alone(tmp_path: Path) -> None:
    patch, one = player(tmp_path, 500, "samplernn~ small seed 1", "one")
    two = patch.obj("samplernn~ other seed 1")
    patch.at(0, "generate", two)
    patch.record(tmp_path / "two.wav", two, 500)
    patch.at(100, "temperature 2, gain 0.1", two)
    result = render(patch, tmp_path)
    alone, _ = player(tmp_path, 500, "samplernn~ small seed 1", "alone")
    render(alone, tmp_path)
    assert not result.errors()
    assert np.array_equal(played(tmp_path, "one"), played(tmp_path, "alone"))
    assert played(tmp_path, "two").std() > 0.001
    assert one != two


def test_voices_of_a_clone_play_different_music(tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj("clone samplernn~ 3 small")
    patch.print(box, 1, "status")
    patch.at(0, "all generate", box)
    patch.at(5, "all seed?", box)
    patch.quit(50)
    result = render(patch, tmp_path)
    assert not result.errors()
    seeds = {line for line in result.printed("status") if " seed " in line}
    assert seeds == {"0 seed 0", "1 seed 1", "2 seed 2"}
    for voice in (0, 1):
        single, _ = player(tmp_path, 200, f"samplernn~ {voice} small", f"voice{voice}")
        render(single, tmp_path)
    assert not np.array_equal(played(tmp_path, "voice0"), played(tmp_path, "voice1"))


def test_a_large_model_is_loaded_while_playing_without_gap_or_click(tmp_path: Path) -> None:
    patch, box = player(tmp_path, 800)
    patch.print(box, 1, "status")
    patch.at(300, "load large", box)
    result = render(patch, tmp_path)
    assert any(line.startswith("loaded large") for line in result.printed("status"))
    sound = played(tmp_path)[4800:]
    loud = np.sqrt(np.convolve(sound**2, np.ones(96) / 96, "valid"))
    assert loud.min() > 0.1 * np.median(loud), "there is a gap"
    jumps = np.abs(np.diff(sound))
    at = round(0.325 * 48000) - 4800
    assert jumps[at - 100 : at + 2000].max() <= 1.1 * np.delete(jumps, np.s_[at - 100 : at + 2000]).max()


def test_editing_a_patch_elsewhere_changes_no_sample(tmp_path: Path) -> None:
    for name in ("still", "edited"):
        patch, _ = player(tmp_path, 500, name=name)
        patch.sub("elsewhere")
        to = patch.obj("s pd-elsewhere")
        if name == "edited":
            for ms in range(50, 450, 40):
                patch.at(ms + 0.7, "obj 10 10 osc~ 440, obj 10 40 dac~, connect 0 0 1 0", to)
                patch.at(ms + 20.3, "clear", to)
        render(patch, tmp_path)
    assert np.array_equal(played(tmp_path, "still"), played(tmp_path, "edited"))


def test_a_pyext_without_rings_plays_the_same_sound(tmp_path: Path) -> None:
    patch, box = player(tmp_path, 500)
    patch.print(box, 1, "status")
    patch.at(100, "latency?", box)
    sounds = []
    for environment in ({}, {"SOPI_NO_RINGS": "1"}):
        result = render(patch, tmp_path, environment=environment)
        assert not result.errors()
        assert "latency 20 960" in result.printed("status")
        sounds.append(played(tmp_path))
    assert np.array_equal(sounds[0], sounds[1])
    assert sounds[0].std() > 0.001


def test_without_rings_all_signal_outlets_sound_and_all_inlets_are_heard(tmp_path: Path) -> None:
    """Two voices, each at an outlet of its own; a sine comes in, and a temperature signal."""

    def sounds(name: str, environment: dict[str, str], warmth: float) -> list[np.ndarray]:
        patch = Patch()
        box = patch.obj("pyext~ 1 1 2 2 samplernn_pd samplernn small temperature 0.5")
        patch.connect(patch.obj("osc~ 440"), 0, box)
        patch.connect(patch.obj(f"sig~ {warmth}"), 0, box, 1)
        patch.at(0, "generate", box, 2)
        for outlet in (0, 1):
            patch.record(tmp_path / f"{name}{outlet}.wav", box, 300, outlet)
        patch.quit(340)
        assert not render(patch, tmp_path, name, environment=environment).errors()
        return [played(tmp_path, f"{name}{outlet}") for outlet in (0, 1)]

    with_rings = sounds("rings", {}, 4)
    without = sounds("copied", {"SOPI_NO_RINGS": "1"}, 4)
    assert np.array_equal(with_rings, without)
    assert not np.array_equal(with_rings[0], with_rings[1])
    assert not np.array_equal(without, sounds("cold", {"SOPI_NO_RINGS": "1"}, 0)), "the temperature signal counts"


def test_an_array_is_heard_by_the_model_before_it_goes_on(tmp_path: Path) -> None:
    for name, message in (("plain", "seed 0"), ("primed", "seed mine 10 200")):
        patch, box = player(tmp_path, 400, name=name)
        patch.print(box, 1, "status")
        patch.print(box, 2, "done")
        patch.obj("array define mine 16384")
        patch.at(1, "sinesum 16384 0.5 0.2", patch.obj("s mine"))
        patch.at(100, message, box)
        result = render(patch, tmp_path)
        assert not result.errors()
    assert "primed mine 200" in result.printed("status")
    assert result.printed("done") == ["bang", "bang"], "one for the load, one for the priming"
    assert first_difference(played(tmp_path, "plain"), played(tmp_path, "primed")) >= round(0.12 * 48000) - 1


def test_a_tick_comes_with_each_smallest_frame(tmp_path: Path) -> None:
    patch, box = player(tmp_path, 400)
    patch.print(box, 3, "tick")
    patch.at(100, "tick 1", box)
    patch.at(200, "tick 0", box)
    ticks = len(render(patch, tmp_path).printed("tick"))
    assert abs(ticks - 0.1 * 16000 / 4) <= 16


def test_make_play_renders_the_instrument(tmp_path: Path) -> None:
    """The patch that `sopi play` uses where there is no sound card."""
    result = run(
        ROOT / "samplernn.pd", "-open", str(ROOT / "pd" / "render.pd"), "-send", f"render {tmp_path}/out.wav 1500"
    )
    assert not result.errors(), result.out
    sound = played(tmp_path)
    assert abs(len(sound) - 1.5 * 48000) < 200
    assert sound.std() > 0.01
