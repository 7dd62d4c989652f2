"""[samplernn2~], [samplernn4~] and [samplernn8~]: a voice at each signal outlet, and the rest as in [samplernn~];
[samplernn.mc~]: a channel for each voice."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from newer_pd import newer_pd
from pd_host import ROOT, Patch, run

pytestmark = pytest.mark.usefixtures("pd_models")


def test_the_abstractions_are_those_that_their_one_source_writes() -> None:
    spec = importlib.util.spec_from_file_location("write_outlets", ROOT / "pd" / "write_outlets.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in module.NAMES:
        assert module.path(name).read_text() == module.abstraction(name), "run python pd/write_outlets.py"


@pytest.mark.parametrize("outlets", [2, 4, 8])
def test_each_outlet_has_a_voice_of_its_own_and_status_loaded_and_tick_follow(outlets: int, tmp_path: Path) -> None:
    patch = Patch()
    box = patch.obj(f"samplernn{outlets}~ small seed 3")
    for k, name in enumerate(("status", "ready", "tick")):
        patch.print(box, outlets + k, name)
    patch.at(10, f"generate, temperature hot, grid 1/16, tick 1 line, voice {outlets} gain 0", box)
    patch.at(15, "load other", box)
    for k in range(outlets):
        patch.record(tmp_path / f"{k}.wav", box, 200, outlet=k)
    patch.quit(260)
    result = run(patch.write(tmp_path / "p.pd"))
    assert not result.errors()
    status = result.printed("status")
    assert len([line for line in status if line.startswith("error")]) == 1
    assert "loaded other 16000" in status
    assert result.printed("ready") == ["bang", "bang"]
    assert result.printed("tick") == ["bang", "bang"]  # lines at 125 and 250 ms
    sounds = [soundfile.read(tmp_path / f"{k}.wav")[0][4800:] for k in range(outlets)]
    assert all(sound.std() > 1e-4 for sound in sounds[:-1])
    assert not sounds[-1].any()
    assert not any(np.array_equal(a, b) for a, b in zip(sounds, sounds[1:]))


def version(program: list[str]) -> tuple[int, ...]:
    said = subprocess.run([*program, "-version"], capture_output=True, text=True, check=True)
    found = re.search(r"Pd-(\d+)\.(\d+)", said.stdout + said.stderr)
    assert found is not None
    return tuple(map(int, found.groups()))


def of_many_channels(program: list[str], folder: Path) -> None:
    """[samplernn.mc~] beside [samplernn4~]: its channels are that one's outlets, as many as there are voices."""
    patch = Patch()
    many, four = patch.obj("samplernn.mc~ small voices 3 seed 3"), patch.obj("samplernn4~ small voices 3 seed 3")
    channels = patch.obj("snake~ out 4")
    patch.connect(many, 0, channels)
    for box in (many, four):
        patch.at(10, "generate", box)
        patch.at(300, "voices 2", box)
    for k in range(4):
        patch.record(folder / f"many-{k}.wav", channels, 200, outlet=k, begin=20)
        patch.record(folder / f"four-{k}.wav", four, 200, outlet=k, begin=20)
        patch.record(folder / f"then-{k}.wav", channels, 200, outlet=k, begin=500)
    patch.print(many, 1, "status")
    patch.at(450, "temperature hot", many)  # a wrong one: it is told at the status outlet, and once
    patch.quit(750)
    result = run(patch.write(folder / "p.pd"), program=program)
    assert not result.errors()
    status = result.printed("status")
    assert "loaded small 16000" in status
    assert len([line for line in status if line.startswith("error")]) == 1
    for k in range(4):
        many_k, four_k, then = (soundfile.read(folder / f"{n}-{k}.wav")[0] for n in ("many", "four", "then"))
        assert np.array_equal(many_k, four_k)
        assert many_k.any() == (k < 3)
        assert then.any() == (k < 2)


def test_one_cord_has_a_channel_for_each_voice_or_this_pd_says_that_it_is_too_old(tmp_path: Path) -> None:
    if version(["pd"]) >= (0, 54):
        of_many_channels(["pd"], tmp_path)
        return
    patch = Patch()
    box = patch.obj("samplernn.mc~ small voices 2 seed 3")
    patch.at(10, "generate", box)
    patch.record(tmp_path / "mix.wav", box, 200)
    patch.quit(250)
    result = run(patch.write(tmp_path / "p.pd"))
    assert len(result.errors()) == 1
    assert "cords of many channels come with Pd 0.54, this is 0." in result.errors()[0]
    assert soundfile.read(tmp_path / "mix.wav")[0].std() > 1e-4


@pytest.mark.long
def test_one_cord_of_a_newer_pd_has_a_channel_for_each_voice(tmp_path: Path) -> None:
    program = newer_pd()
    assert version(program) >= (0, 54)
    of_many_channels(program, tmp_path)
