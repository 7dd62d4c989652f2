"""Ray on this machine, as small as it can be: 80 MB for objects, no dashboard, and sockets with short paths."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

SMALL: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
TRIES = 5
"""A node that hasn't started within 30 s, on a busy machine, is started again."""


def _started(start: Callable[..., Any], *given: Any, **options: Any) -> Any:
    for left in reversed(range(TRIES)):
        try:
            return start(*given, **options)
        except Exception as e:
            if not left or "timed out" not in str(e):
                raise
            import ray

            ray.shutdown()
    return None


@contextmanager
def _temporary(patch: pytest.MonkeyPatch) -> Iterator[str]:
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        patch.setenv("RAY_TMPDIR", folder)
        os.mkdir(f"{folder}/ray")
        yield folder


@pytest.fixture
def small_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What --ray without an address starts has one processor."""
    import ray

    with _temporary(monkeypatch) as folder:
        init = partial(_started, ray.init, **SMALL, include_dashboard=False, _temp_dir=folder)
        monkeypatch.setattr(ray, "init", init)
        yield


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A ray.cluster_utils.Cluster of two nodes with a processor each; the first one is its head."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, _temporary(patch):
        cluster: Any = Cluster()
        try:
            _started(cluster.add_node, **SMALL, include_dashboard=False)
            _started(cluster.add_node, **SMALL)
            yield cluster
        finally:
            cluster.shutdown()
