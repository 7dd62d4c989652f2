"""Takes over a Ray cluster are those of one machine, though a worker and a node are lost; strangers are refused."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sopilib import Config, Engine, Model, SopiError, checkpoint
from sopilib.cli import main
from sopilib.render.cluster import refuse_mixed
from sopilib.render.order import Order, order
from sopilib.render.plan import Plan, Sound

RATE = 8000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    checkpoint.save(Model.random(Config(frame_sizes=[4, 16], dim=256, mlp_dim=128, sample_rate=RATE)), path)
    return path


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


def planned(small: Path, precision: str) -> Plan:
    return order(
        Order(takes=2, seconds=0.1), Engine(checkpoint.load(small), precision=precision), Sound(rate=RATE), "x"
    )


def test_takes_of_a_local_ray_are_those_of_this_process_and_a_finished_folder_needs_none(
    small: Path, small_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["generate", str(small), "--takes", "3", "--seconds", "0.5", "--voices", "2", "--temperature", "0.8", "1.1"]
    assert main([*line, "-o", str(tmp_path / "here")]) == 0
    assert main([*line, "-o", str(tmp_path / "ray"), "--ray"]) == 0
    assert len(contents(tmp_path / "here")) == 5
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    assert main([*line, "-o", str(tmp_path / "ray"), "--ray", "nobody:1"]) == 0, "nothing is left to be made"


def test_a_cluster_of_several_kinds_of_processors_is_refused_in_f32(small: Path) -> None:
    plan = planned(small, "f32")
    mine = plan.engine["instruction_set"]
    refuse_mixed(plan, {"a": mine, "b": mine})
    with pytest.raises(SopiError, match=f"in f32 takes differ between processors: b computes with neon, .* {mine}; "):
        refuse_mixed(plan, {"a": mine, "b": "neon"})
    refuse_mixed(planned(small, "int8"), {"a": "avx2", "b": "neon"})


def test_a_cluster_that_is_not_there_is_said_in_one_sentence(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    line = ["generate", str(small), "--takes", "2", "--seconds", "0.1", "-o", str(tmp_path / "t")]
    assert main([*line, "--ray", "auto"]) == 1
    said = capsys.readouterr().err
    assert "no Ray cluster at auto (" in said and said.count("\n") == 1
    assert main(line) == 0, "and here it goes on"


@pytest.mark.long
def test_nodes_that_compute_other_samples_or_have_another_sopilib_are_refused(
    small: Path, two_nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sopilib.render.cluster import cluster

    model, plan = checkpoint.load(small), planned(small, "f32")
    other = replace(plan, engine={**plan.engine, "instruction_set": "plain"})
    for refused, said in (
        (other, r"in f32 takes differ between processors: \d.* described as made with plain"),
        (replace(plan, version="9.9.9"), r"has sopilib .*, expected 9.9.9 as here, on every node"),
    ):
        with pytest.raises(SopiError, match=said), cluster(two_nodes.address, model, refused):
            pytest.fail("it should have been refused")


@pytest.mark.long
def test_a_worker_and_a_node_that_are_lost_change_no_file(small: Path, two_nodes: Any, tmp_path: Path) -> None:
    line = ["generate", str(small), "--takes", "12", "--seconds", "20", "--voices", "2"]
    assert main([*line, "-o", str(tmp_path / "here"), "--threads", "1"]) == 0
    killed: list[str] = []

    def kill() -> None:
        """A worker when the first takes are there, and then the node that isn't the head."""
        folder = tmp_path / "spread"
        for what in ("worker", "node"):
            wanted = len(list(folder.glob("*.wav"))) + 2 if folder.exists() else 2
            while len(list(folder.glob("*.wav"))) < wanted:
                time.sleep(0.05)
            if what == "worker":
                while not (found := workers(two_nodes)):
                    time.sleep(0.05)
                os.kill(found[0], signal.SIGKILL)
            else:
                (node,) = [n for n in two_nodes.list_all_nodes() if n is not two_nodes.head_node]
                two_nodes.remove_node(node, allow_graceful=False)
            killed.append(what)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert main([*line, "-o", str(tmp_path / "spread"), "--ray", two_nodes.address]) == 0
    assert killed == ["worker", "node"]
    assert contents(tmp_path / "spread") == contents(tmp_path / "here")


def workers(cluster: Any) -> list[int]:
    """The processes of a cluster that make units just now."""
    found = []
    raylets = [p.process.pid for n in cluster.list_all_nodes() for p in n.all_processes["raylet"]]
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent in raylets and b"ray::_made" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                pass
    return found
