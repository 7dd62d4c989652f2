"""Models for tests that run Pd."""

from __future__ import annotations

from pathlib import Path

import pytest

import sopilib
from sopilib import checkpoint

SMALL = {"frame_sizes": [4, 16], "dim": 32, "mlp_dim": 32}


@pytest.fixture(scope="session")
def pd_models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models that play anything: `small` and `other` at 16 kHz, and `large`, as wide as they come."""
    folder = tmp_path_factory.mktemp("models")
    shapes = {"small": SMALL, "other": SMALL, "large": {"frame_sizes": [16, 64], "dim": 1024, "mlp_dim": 128}}
    for seed, (name, shape) in enumerate(shapes.items()):
        (folder / name).mkdir()
        model = sopilib.Model.random(sopilib.Config(**shape), seed=seed)
        checkpoint.save(model, folder / name / f"{name}.safetensors")
    return folder


@pytest.fixture
def pd_models(pd_models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pd and its children find them by name."""
    monkeypatch.setenv("SOPI_MODELS", str(pd_models_folder))
    return pd_models_folder
