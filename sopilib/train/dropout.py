"""Dropout whose mask depends on the seed, the step, the lane and the place alone. So it is the same on any device, for
any division of the batch over processes, and after any interruption."""

from __future__ import annotations

import torch
from torch import Tensor


def _mixed(x: Tensor) -> Tensor:
    """A hash of 64 bits, the last part of splitmix64. The arithmetic, int64, wraps around."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


class Dropout:
    """The dropout of one step of training, called for the input of each RNN layer.

    share       how much of each input is left out, 0 to 1
    seed, step  of the run: the same ones give the same mask
    first_lane  which lane of the whole batch is the first of this process
    """

    def __init__(self, share: float, seed: int, step: int, first_lane: int) -> None:
        self.share, self.seed, self.step, self.first_lane = share, seed, step, first_lane

    def __call__(self, tier: int, layer: int, x: Tensor) -> Tensor:
        """Takes a layer's input, x [frames, lanes, width], and gives the same with some of it zero and the rest scaled
        up, so that the mean stays. `tier` and `layer` say which one it is, from 0."""
        frames, lanes, width = x.shape

        def axis(n: int, first: int = 0) -> Tensor:
            return torch.arange(first, first + n, device=x.device)

        key = _mixed(axis(lanes, self.first_lane) + ((self.seed << 32) + self.step) * 4099 + tier * 64 + layer)
        # one draw of 64 bits for four units of 16
        counter = (axis(frames) << 20)[:, None, None] + axis(-(-width // 4))
        bits = _mixed(_mixed(key[:, None] + counter))
        draws = torch.stack([(bits >> shift) & 0xFFFF for shift in (0, 16, 32, 48)], 3).flatten(2)[:, :, :width]
        kept = draws >= round(self.share * 65536)
        return x * (kept / (1 - self.share)).to(x.dtype)
