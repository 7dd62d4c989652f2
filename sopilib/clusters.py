"""Ray, for work that is spread over a cluster: searches, takes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sopilib import needed
from sopilib.errors import SopiError, one_line

__all__ = ["joined"]


@contextmanager
def joined(address: str, room: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """Joins a Ray cluster for as long as the block takes -> the module ray.

    address  "auto", "HOST:PORT" or "ray://..."; "local": one that is started here, and ends with the block
    room     what one that is started here may use, as `ray.init` has it, such as {"num_cpus": 4}

    Raises SopiError without Ray, or if there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it talks to nobody else
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what it would warn of
    try:
        import ray
    except ImportError:
        raise SopiError(f"a cluster needs Ray: {needed.pip('sopilib[cluster]')}") from None
    try:
        ray.init(address=address, **(room or {}), log_to_driver=False, logging_level=logging.ERROR)
    except Exception as e:  # it raises bare ones, too
        reason = one_line(str(e).strip().partition("\n")[0])
        raise SopiError(f"no Ray cluster at {address} ({reason})") from None
    try:
        yield ray
    finally:
        ray.shutdown()
