"""[samplernn2~], [samplernn4~] and [samplernn8~]: a voice at each signal outlet, and the rest as in [samplernn~]."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pd_host import ROOT, Patch, run

pytestmark = pytest.mark.usefixtures("pd_models")


def test_the_abstractions_are_those_that_their_one_source_writes() -> None:
    spec = importlib.util.spec_from_file_location("write_outlets", ROOT / "pd" / "write_outlets.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for number in module.OUTLETS:
        assert module.path(number).read_text() == module.abstraction(number), "run python pd/write_outlets.py"


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
