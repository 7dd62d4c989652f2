"""docs/notebooks/training.ipynb, run on this machine's CPU with a small model: it brings back one file that plays."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sopilib

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "training.ipynb"
OF_TEST = 'OPTIONS = "--dim 16 --mlp-dim 16 --seq-len 64 --batch 2 --steps 8 --preview-every 4 --preview-seconds 1"'


@pytest.mark.long
def test_the_notebook_trains_and_brings_back_one_file_that_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbclient
    import nbformat

    (tmp_path / "my-recordings").mkdir()
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 80_000)
    soundfile.write(tmp_path / "my-recordings" / "a.wav", sound, 16_000)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not cell.metadata.get("tags")]
    for cell in notebook.cells:
        cell.source = "\n".join(OF_TEST if line.startswith("OPTIONS") else line for line in cell.source.split("\n"))
    assert any(OF_TEST in cell.source for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    engine = sopilib.Engine(sopilib.load(tmp_path / "mine.safetensors"))
    assert engine.generate(100).shape == (1, 100)
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("audio" in str(output.get("data", {}).get("text/html", "")) for output in shown)
