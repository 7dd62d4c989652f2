"""RNN layers over whole sequences on the CPU, where each step does only what depends on the step before.

The caller does the input projection, all frames at once. On the way back a step only computes the gradients of its
gates, and the recurrent matrix gets its gradient in one product over all steps afterwards; torch's own layers add to it
step by step.

In shapes times come first: T frames, B lanes, D units. The order of gates is as in `sopilib.model.weights`. The state
is float32, and matrix products are in the type of the recurrent matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def gru(projected: Tensor, h: Tensor, recurrent: Tensor, candidate: Tensor) -> Tensor:
    """Runs a GRU with the reset after the product with the recurrent matrix, and gives its states, float32 [T, B, D].

    projected  [T, B, 3D]: what comes from the input, for r, z and n
    h          [B, D]: the state before
    recurrent  [3D, D]
    candidate  [D]: the recurrent bias of n
    """
    return _Gru.apply(projected, h, recurrent, candidate)


def gru_reset_before(projected: Tensor, h: Tensor, recurrent: Tensor) -> Tensor:
    """Runs a GRU with the reset before the product with the recurrent matrix. Shapes are as for `gru`."""
    return _GruResetBefore.apply(projected, h, recurrent)


def lstm(projected: Tensor, h: Tensor, cell: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
    """Runs an LSTM, and gives its outputs, float32 [T, B, D], and the last cell state [B, D].

    projected  [T, B, 4D]: what comes from the input, for i, f, g and o
    h, cell    [B, D]: the output and the cell state before
    recurrent  [4D, D]
    """
    return _Lstm.apply(projected, h, cell, recurrent)


def _weight_gradient(d: Tensor, h: Tensor, recurrent: Tensor) -> Tensor:
    """The gradient of a recurrent matrix: the sum over steps and lanes of d^T h, as one product."""
    low = recurrent.dtype
    return d.flatten(0, 1).to(low).t() @ h.flatten(0, 1).to(low)


class _Gru(Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, h0: Tensor, recurrent: Tensor, candidate: Tensor) -> Tensor:
        steps, batch, width = *projected.shape[:2], h0.shape[1]
        low, u = recurrent.dtype, recurrent.t()
        hs = h0.new_empty(steps + 1, batch, width)
        gates, inner = h0.new_empty(steps, batch, 3 * width), h0.new_empty(steps, batch, width)
        hs[0] = h0
        for t in range(steps):
            from_h = hs[t].to(low) @ u
            rz, n = gates[t, :, : 2 * width], gates[t, :, 2 * width :]
            torch.add(projected[t, :, : 2 * width], from_h[:, : 2 * width], out=rz)
            rz.sigmoid_()
            torch.add(from_h[:, 2 * width :], candidate, out=inner[t])
            torch.addcmul(projected[t, :, 2 * width :].float(), rz[:, :width], inner[t], out=n)
            n.tanh_()
            torch.lerp(n, hs[t], rz[:, width:], out=hs[t + 1])
        ctx.save_for_backward(hs, gates, inner, recurrent)
        ctx.low = projected.dtype
        return hs[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        (d_hs,) = grads
        hs, gates, inner, recurrent = ctx.saved_tensors
        steps, batch, width = d_hs.shape
        low = recurrent.dtype
        # everything that doesn't wait for the step after, at once: derivatives of h to the gates' sums
        r, z, n = gates.chunk(3, 2)
        of_n = (1 - z) * (1 - n * n)
        of_z = (hs[:-1] - n) * z * (1 - z)
        of_r = of_n * inner * r * (1 - r)
        d = torch.empty_like(gates)  # for the recurrent product; the input's differs in n only
        d_n = torch.empty_like(inner)
        dh = torch.zeros_like(hs[0])
        for t in reversed(range(steps)):
            dh += d_hs[t]
            torch.mul(dh, of_r[t], out=d[t, :, :width])
            torch.mul(dh, of_z[t], out=d[t, :, width : 2 * width])
            torch.mul(dh, of_n[t], out=d_n[t])
            torch.mul(d_n[t], r[t], out=d[t, :, 2 * width :])
            dh *= z[t]
            dh += d[t].to(low) @ recurrent
        d_recurrent = _weight_gradient(d, hs[:-1], recurrent)
        d_candidate = d[:, :, 2 * width :].sum((0, 1))
        d[:, :, 2 * width :] = d_n
        return d.to(ctx.low), dh, d_recurrent, d_candidate


class _GruResetBefore(Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, h0: Tensor, recurrent: Tensor) -> Tensor:
        steps, batch, width = *projected.shape[:2], h0.shape[1]
        low, u = recurrent.dtype, recurrent.t()
        hs, gates = h0.new_empty(steps + 1, batch, width), h0.new_empty(steps, batch, 3 * width)
        hs[0] = h0
        for t in range(steps):
            rz, n = gates[t, :, : 2 * width], gates[t, :, 2 * width :]
            torch.add(projected[t, :, : 2 * width], hs[t].to(low) @ u[:, : 2 * width], out=rz)
            rz.sigmoid_()
            torch.add(projected[t, :, 2 * width :], (rz[:, :width] * hs[t]).to(low) @ u[:, 2 * width :], out=n)
            n.tanh_()
            torch.lerp(n, hs[t], rz[:, width:], out=hs[t + 1])
        ctx.save_for_backward(hs, gates, recurrent)
        ctx.low = projected.dtype
        return hs[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        (d_hs,) = grads
        hs, gates, recurrent = ctx.saved_tensors
        steps, batch, width = d_hs.shape
        low = recurrent.dtype
        r, z, n = gates.chunk(3, 2)
        of_n = (1 - z) * (1 - n * n)
        of_z = (hs[:-1] - n) * z * (1 - z)
        of_r = hs[:-1] * r * (1 - r)
        d, dh = torch.empty_like(gates), torch.zeros_like(hs[0])
        for t in reversed(range(steps)):
            dh += d_hs[t]
            torch.mul(dh, of_z[t], out=d[t, :, width : 2 * width])
            torch.mul(dh, of_n[t], out=d[t, :, 2 * width :])
            d_reset = (d[t, :, 2 * width :].to(low) @ recurrent[2 * width :]).float()
            torch.mul(d_reset, of_r[t], out=d[t, :, :width])
            dh *= z[t]
            dh += d_reset * r[t]
            dh += d[t, :, : 2 * width].to(low) @ recurrent[: 2 * width]
        d_recurrent = torch.cat(
            [
                _weight_gradient(d[:, :, : 2 * width], hs[:-1], recurrent),
                _weight_gradient(d[:, :, 2 * width :], r * hs[:-1], recurrent),
            ]
        )
        return d.to(ctx.low), dh, d_recurrent


class _Lstm(Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, h0: Tensor, cell0: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
        steps, batch, width = *projected.shape[:2], h0.shape[1]
        low, u = recurrent.dtype, recurrent.t()
        hs, cells = h0.new_empty(steps + 1, batch, width), h0.new_empty(steps + 1, batch, width)
        gates = h0.new_empty(steps, batch, 4 * width)
        hs[0], cells[0] = h0, cell0
        for t in range(steps):
            torch.add(projected[t], hs[t].to(low) @ u, out=gates[t])
            i, f, g, o = gates[t].chunk(4, 1)
            gates[t, :, : 2 * width].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, cells[t], out=cells[t + 1])
            cells[t + 1].addcmul_(i, g)
            torch.mul(o, torch.tanh(cells[t + 1]), out=hs[t + 1])
        ctx.save_for_backward(hs, cells, gates, recurrent)
        ctx.low = projected.dtype
        return hs[1:], cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        d_hs, d_last = grads
        hs, cells, gates, recurrent = ctx.saved_tensors
        steps, batch, width = d_hs.shape
        low = recurrent.dtype
        i, f, g, o = gates.chunk(4, 2)
        squashed = torch.tanh(cells[1:])
        of_i, of_f = g * i * (1 - i), cells[:-1] * f * (1 - f)
        of_g, of_o = i * (1 - g * g), squashed * o * (1 - o)
        of_cell = o * (1 - squashed * squashed)
        d, dh, dc = torch.empty_like(gates), torch.zeros_like(hs[0]), d_last.clone()
        for t in reversed(range(steps)):
            dh += d_hs[t]
            dc.addcmul_(dh, of_cell[t])
            torch.mul(dc, of_i[t], out=d[t, :, :width])
            torch.mul(dc, of_f[t], out=d[t, :, width : 2 * width])
            torch.mul(dc, of_g[t], out=d[t, :, 2 * width : 3 * width])
            torch.mul(dh, of_o[t], out=d[t, :, 3 * width :])
            dc *= f[t]
            dh = (d[t].to(low) @ recurrent).float()
        return d.to(ctx.low), dh, dc, _weight_gradient(d, hs[:-1], recurrent)
