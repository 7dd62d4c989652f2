"""The wheel for Linux on ARM: in a bare Debian for ARM, which an emulator runs. Takes minutes: `make test-long`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bare_debian import Debian
from pd_host import ROOT
from test_installed import one_box

from sopilib.cli import main

pytestmark = pytest.mark.long
DEBIAN = Debian("bookworm", "3.11", "arm64")


def test_in_a_bare_debian_on_arm_the_wheel_plays_the_same_samples_and_pd_finds_it(tmp_path: Path) -> None:
    if lacking := DEBIAN.lacks():
        pytest.skip(f"the wheel in a bare Debian on ARM: {lacking}")
    # what setup-cross does was done before any test
    build: list[str | Path] = [
        "make",
        "--no-print-directory",
        "-o",
        "setup-cross",
        "-C",
        ROOT,
        "wheel-arm64",
        f"WHEELS={tmp_path}",
    ]
    subprocess.run(build, check=True)
    DEBIAN.make()
    home = DEBIAN.install(next(tmp_path.glob("sopilib-*-cp311-abi3-linux_aarch64.whl")))
    assert "aarch64" in DEBIAN.run("uname -m")
    DEBIAN.run("venv/bin/sopi play --render a.wav --seconds 1")
    assert soundfile.read(home / "a.wav")[0].std() > 1e-4
    one_box().write(home / "mine.pd")
    assert "status: loaded tabla" in DEBIAN.run("pd -nogui -noaudio -batch -stderr -open mine.pd")
    same = "generate tabla --seconds 0.5 --seed 1 -o"
    DEBIAN.run(f"venv/bin/sopi {same} takes")
    assert main([*same.split(), str(tmp_path / "takes")]) == 0
    (here,), (there,) = ((folder / "takes").glob("*.wav") for folder in (tmp_path, home))
    assert soundfile.read(here)[0].std() > 1e-4
    assert np.array_equal(soundfile.read(here, dtype="int16")[0], soundfile.read(there, dtype="int16")[0])
