"""Several processes that train one network, started by torchrun: each has some of the lanes, and all take the same
decisions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed

from sopilib.errors import SopiError


@dataclass
class Group:
    """This process, number `rank` from 0, among the `size` that train together; alone if torchrun didn't start it.

    What is passed around here goes through threads of its own, which have ended when `leave` returns. Those of the
    gradients, which DDP never ends, hold nothing that belongs to Python: a thread that still lets go of such a thing
    while the interpreter ends makes the process abort (pytorch/pytorch#190489).
    """

    rank: int = 0
    size: int = 1
    _own: Any = field(default=None, repr=False)
    """torch's group for what is passed around here."""

    @classmethod
    def join(cls, device: str) -> Group:
        """Joins the processes that torchrun started. Gradients on GPUs go by NCCL, all else by gloo."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if not distributed.is_initialized():
            distributed.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size(), distributed.new_group(backend="gloo"))

    def lanes(self, batch: int) -> slice:
        """Which lanes of the batch are this process's. Raises SopiError if they can't be divided evenly."""
        if batch % self.size:
            raise SopiError(f"batch is {batch}, expected a multiple of the {self.size} processes")
        share = batch // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def wrap(self, module: torch.nn.Module, device: str) -> torch.nn.Module:
        """Gives a module that does the same and whose gradients are the mean over all processes."""
        if self.size == 1:
            return module
        devices = [torch.device(device)] if device.startswith("cuda") else None
        return torch.nn.parallel.DistributedDataParallel(module, device_ids=devices)

    def sum(self, values: Tensor) -> Tensor:
        """Gives the sum of these values over the processes, the same in all of them. The tensor `values` is changed."""
        if self.size > 1:
            distributed.all_reduce(values, group=self._own)
        return values

    def gather(self, value: Any) -> list[Any]:
        """Gives the list of what each process passes here, in the order of their ranks, the same in all of them. It
        returns when all have called it."""
        if self.size == 1:
            return [value]
        out: list[Any] = [None] * self.size
        distributed.all_gather_object(out, value, group=self._own)
        return out

    def leave(self) -> None:
        """Parts from the other processes. It is called once, at the end, also if something went wrong in this one."""
        if self.size > 1 and distributed.is_initialized():
            self._own = None
            distributed.destroy_process_group()
