"""The sample level and its loss, forward and back in one pass over pieces of a few thousand samples.

A piece stays in the cache between its forward and its backward half, and neither activations nor logits of the whole
batch ever exist: a batch of 32 x 1024 samples would need 64 MB for each.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

PIECE_CPU, PIECE_GPU = 2048, 1 << 15


def loss(
    rows: Tensor,
    targets: Tensor,
    tables: Tensor,
    conditioning: Tensor,
    layers: list[tuple[Tensor, Tensor]],
    relu: list[bool],
) -> tuple[Tensor, Tensor]:
    """Scores the sample level: the sum of -ln p(target), and how many targets were the likeliest code.

    rows          int64 [N, f]: the rows of `tables` that each of the N samples adds up
    targets       int64 [N]; -1: not counted
    tables        float32 [f * q, W]
    conditioning  [N, W]: what the lowest tier adds
    layers        (weight [out, in], bias [out])
    relu          after the sum, then after each layer, as in `Config.sample_relu`
    """
    flat = [t for layer in layers for t in layer]
    return _Loss.apply(rows, targets, relu, tables, conditioning, *flat)


class _Loss(Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, targets: Tensor, relu: list[bool], tables: Tensor, conditioning: Tensor, *flat: Tensor
    ) -> tuple[Tensor, Tensor]:
        learns = any(ctx.needs_input_grad)
        weights, biases = flat[::2], flat[1::2]
        low = conditioning.dtype
        total, correct = tables.new_zeros((), dtype=torch.float64), targets.new_zeros(())
        d_tables, d_conditioning = torch.zeros_like(tables), torch.empty_like(conditioning)
        d_flat = [torch.zeros_like(t, dtype=torch.float32) for t in flat]
        size = PIECE_GPU if rows.is_cuda else PIECE_CPU
        for at in range(0, len(rows), size):
            part = slice(at, at + size)
            target = targets[part]
            h = F.embedding_bag(rows[part], tables, mode="sum")
            h += conditioning[part]
            h = h.relu_().to(low) if relu[0] else h.to(low)
            hidden = [h]
            for weight, bias, rectified in zip(weights, biases, relu[1:]):
                h = torch.addmm(bias, h, weight.t())
                hidden.append(h.relu_() if rectified else h)
            log_p = F.log_softmax(h.float(), 1)
            total += F.nll_loss(log_p, target, ignore_index=-1, reduction="sum")
            correct += (log_p.argmax(1) == target).sum()
            if not learns:
                continue
            d = log_p.exp_()
            d.scatter_add_(1, target.clamp(min=0)[:, None], torch.full_like(d[:, :1], -1.0))
            d *= (target >= 0)[:, None]
            d = d.to(low)
            for k in reversed(range(len(weights))):
                if relu[k + 1]:
                    d = torch.ops.aten.threshold_backward(d, hidden[k + 1], 0)
                d_flat[2 * k] += d.t() @ hidden[k]
                d_flat[2 * k + 1] += d.sum(0)
                d = d @ weights[k]
            if relu[0]:
                d = torch.ops.aten.threshold_backward(d, hidden[0], 0)
            d_conditioning[part] = d
            _add_rows(d_tables, rows[part], d.float())
        if learns:
            ctx.save_for_backward(d_tables, d_conditioning, *(g.to(t.dtype) for g, t in zip(d_flat, flat)))
        ctx.mark_non_differentiable(correct)
        return total.float(), correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = grads[0]
        return None, None, None, *(g.mul_(scale) for g in ctx.saved_tensors)


def _add_rows(out: Tensor, rows: Tensor, d: Tensor) -> None:
    """Adds d[n] to out[rows[n, k]] for every n and k."""
    for column in rows.unbind(1):
        out.index_add_(0, column, d)
