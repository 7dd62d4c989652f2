"""Takes over a Ray cluster: each unit is a task of its own, made wherever there is room, and comes back block by block.

What a take sounds like depends on its plan alone. So a task whose worker or node is lost is begun anew elsewhere, and
what comes of it goes on where it had been: Ray hands out each of its blocks once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import sopilib
from sopilib import checkpoint
from sopilib.clusters import joined
from sopilib.engine import Engine
from sopilib.errors import SopiError, one_line
from sopilib.model import Model
from sopilib.render.plan import Plan
from sopilib.render.run import Make, Unit, local

__all__ = ["Cluster", "cluster", "refuse_mixed"]

TRIES = 20
"""How often a unit is begun anew whose worker was lost."""
PATIENCE = 0.5
"""s without a block after which a unit gives an empty one, so that what waits for it can be stopped."""
BLOCK = 2.0
"""s of sound of each take that come back together."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that makes takes of a plan.

    make    makes a unit
    places  how many it makes at a time
    """

    make: Make
    places: int


@contextmanager
def cluster(address: str, model: Model, plan: Plan) -> Iterator[Cluster]:
    """Joins a cluster that makes takes of a plan, for as long as the block takes.

    address  as `clusters.joined` has it
    model    theirs; it is sent to the nodes once each

    Raises SopiError if there is no such cluster, if its nodes have another sopilib, or, in f32, processors that compute
    other samples.
    """
    with joined(address) as ray:
        _refuse_strangers(ray, plan)
        on_gpu = plan.engine["backend"] == "batch"
        places = int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 0))
        if not places:
            raise SopiError(f"the cluster at {address} has no {'GPU' if on_gpu else 'processor'} to make takes with")
        sent = ray.put(model)
        room = {"num_gpus": 1, "num_cpus": 0} if on_gpu else {"num_cpus": 1}
        task = ray.remote(num_returns="streaming", max_retries=TRIES, **room)(_made)

        def make(unit: Unit) -> Iterator[np.ndarray]:
            blocks = task.remote(sent, replace(unit, plan=replace(unit.plan, takes=unit.takes)))
            nothing = np.zeros((len(unit.takes), plan.channels, 0), np.float32)
            try:
                while True:
                    if not ray.wait([blocks], timeout=PATIENCE)[0]:
                        yield nothing
                    elif (block := next(blocks, None)) is None:
                        return
                    else:
                        yield ray.get(block)
            except ray.exceptions.RayError as e:
                raise _said(e) from None
            finally:
                ray.cancel(blocks)

        yield Cluster(make, places)


def _said(error: Any) -> SopiError:
    """What went wrong on a worker, in a sentence."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, SopiError):
        return cause
    return SopiError(one_line(f"the cluster could not make a take ({str(cause or error).strip().splitlines()[-1]})"))


# ---------------------------------------------------------------- on a node


def _made(model: Model, unit: Unit) -> Iterator[np.ndarray]:
    """Makes a unit, on a worker, and gives it in blocks that are worth being sent."""
    rate = model.config.sample_rate
    waiting: list[np.ndarray] = []
    for block in _maker(model, unit.plan)(unit):
        waiting.append(block)
        if sum(block.shape[2] for block in waiting) >= BLOCK * rate:
            yield np.concatenate(waiting, 2)
            waiting = []
    if waiting:
        yield np.concatenate(waiting, 2)


_makers: dict[tuple[str, str], Make] = {}
"""Of this worker: the weights are laid out once for all its units."""


def _maker(model: Model, plan: Plan) -> Make:
    key = (plan.fingerprint, str(plan.engine))
    if key not in _makers:
        _makers.clear()
        engine = Engine(
            model,
            backend=plan.engine["backend"],
            precision=plan.engine["precision"],
            device=plan.engine.get("device", "cpu"),
        )
        refuse_mixed(plan, {"a worker": engine.description.get("instruction_set", "")})
        _makers[key] = local(engine, _file(model) if plan.score is not None else "")
    return _makers[key]


@lru_cache(1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="sopi-")


def _file(model: Model) -> Path:
    """The model as a file, for a performer."""
    path = Path(_folder().name) / f"{model.name}.safetensors"
    checkpoint.save(model, path)
    return path


def _node() -> tuple[str, str]:
    """The version of sopilib and the instruction set of a node."""
    from sopilib.native import _native

    return sopilib.__version__, str(_native.instruction_set("auto"))


# ---------------------------------------------------------------- what does not go together


def _refuse_strangers(ray: Any, plan: Plan) -> None:
    """Raises SopiError if a node has another sopilib than the plan, or computes other samples."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as At

    ask = ray.remote(num_cpus=0, max_retries=TRIES)(_node)
    asked = {
        f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})": ask.options(
            scheduling_strategy=At(node["NodeID"], soft=False)
        ).remote()
        for node in ray.nodes()
        if node["Alive"]
    }
    sets: dict[str, str] = {}
    for name, answer in asked.items():
        try:
            version, sets[name] = ray.get(answer)
        except ray.exceptions.RayError as e:
            said = _said(e)
            raise SopiError(f"{name}: {said}; expected sopilib {plan.version} on every node") from None
        if version != plan.version:
            raise SopiError(f"{name} has sopilib {version}, expected {plan.version} as here, on every node")
    refuse_mixed(plan, sets)


def refuse_mixed(plan: Plan, nodes: dict[str, str]) -> None:
    """Raises SopiError if takes in f32, which differ between processors, would be made by several kinds of them.

    nodes  name -> its instruction set
    """
    mine = plan.engine.get("instruction_set")
    for name, its in nodes.items():
        if mine is not None and its != mine:
            raise SopiError(
                f"in f32 takes differ between processors: {name} computes with {its}, and they are described as made "
                f"with {mine}; expected nodes of one kind, or --precision int8"
            )
