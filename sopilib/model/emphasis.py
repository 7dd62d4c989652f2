"""Emphasis: what of each sample is written as a code, and how it is undone where it is heard.

Of each sample x a share a of the one before is taken away, x[n] - a x[n-1], for each pole a in turn. Undoing it, y[n] =
value of the code + a y[n-1], smooths the noise of the codes as it smooths the music: it falls where the music does. All
is computed in float32, each product rounded before it is added, as the native engine does (native/coding.hpp).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sopilib.model.quantise import Codes, Floats


def emphasised(audio: object, poles: Sequence[float], before: object = None) -> Floats:
    """float audio (..., n) -> float32 (..., n), what of it is to be coded. `before` (..., k): the last samples before
    it, of which as many count as there are poles; silence precedes them. NaN is silence."""
    x = np.asarray(audio, np.float32)
    x = np.where(np.isnan(x), np.float32(0), x)
    if not x.ndim:
        return x
    front = np.zeros((*x.shape[:-1], 0), np.float32) if before is None else np.asarray(before, np.float32)
    x = np.concatenate([front, x], -1)
    with np.errstate(invalid="ignore"):  # what is not finite
        for a in poles:
            x = np.concatenate([x[..., :1], x[..., 1:] - np.float32(a) * x[..., :-1]], -1)
    return x[..., front.shape[-1] :]


def undone(codes: Codes, values: Floats, poles: Sequence[float], level: float, memory: Floats) -> Floats:
    """int32 (..., n) -> float32 (..., n): the sound of codes whose values are float32 [q], `level` times what was
    coded, held at full scale. `memory` float32 (..., poles) is what was remembered before, and then what is now."""
    from sopilib.native import _native

    lines = codes.reshape(-1, codes.shape[-1])
    own = np.array(memory.reshape(-1, len(poles)))
    made = _native.decode(np.ascontiguousarray(lines), values, np.array(poles, np.float32), level, own)
    memory[...] = own.reshape(memory.shape)
    return np.asarray(made).reshape(codes.shape)
