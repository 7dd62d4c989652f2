"""docs/guides.md: the queue for a class is run as it stands there, and the rest names options that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]
GUIDES = (ROOT / "docs" / "guides.md").read_text()


def test_the_guides_name_options_that_there_are() -> None:
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text()
    of_sopi = [line for line in GUIDES.splitlines() if "#SBATCH" not in line and "--signal" not in line]
    named = {option for line in of_sopi for option in re.findall("--[a-z][a-z-]+", line)}
    assert len(named) > 4
    known = set(re.findall("--[a-z][a-z-]+", reference))
    assert named <= known | {"--no-keep-previewed"}


@pytest.mark.long
def test_two_students_in_the_queue_both_get_their_model(tmp_path: Path) -> None:
    (script,) = (text for text in re.findall(r"```\n(.*?)```", GUIDES, re.DOTALL) if text.startswith("name="))
    for words, of_test in (
        ("/tmp/training.lock", f"{tmp_path}/lock"),
        ("20m", "5m"),
        ("~", f"{tmp_path}"),
        ("--preset live-small --steps 6000", "--dim 16 --mlp-dim 16 --seq-len 64 --batch 2 --steps 20"),
    ):
        assert words in script
        script = script.replace(words, of_test)
    (tmp_path / "my-recordings").mkdir()
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 60_000)
    soundfile.write(tmp_path / "my-recordings" / "a.wav", sound, 16_000)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    students = [
        subprocess.Popen(["bash", "-c", script.replace("name=ada", f"name={name}")], env=environment)
        for name in ("ada", "bob")
    ]
    for student in students:
        student.wait(timeout=900)
    assert all((tmp_path / "runs" / name / f"{name}.safetensors").is_file() for name in ("ada", "bob"))
