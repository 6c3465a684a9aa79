"""LSTM; torch has our gate order i, f, g, o and keeps weights as [4H, I] and [4H, H]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nascompiler.torch_bridge.lowering.registry import Family

FAMILY = Family()
_WEIGHTS = {3: (1, 0), 4: (1, 0)}


@FAMILY.op("lstm_cell", weights=_WEIGHTS)
def lstm_cell(x: Tensor, h: Tensor, c: Tensor, w: Tensor, r: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    made: Any = torch.lstm_cell(x, (h, c), w, r, b, torch.zeros_like(b))
    return made[0], made[1]


@FAMILY.op("lstm", weights=_WEIGHTS)
def lstm(
    x: Tensor, h0: Tensor, c0: Tensor, w: Tensor, r: Tensor, b: Tensor, *, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """x [T, N, I] -> y [T, N, H], h and c [N, H]."""
    sequence = x.flip(0) if reverse else x
    weights = [w, r, b, torch.zeros_like(b)]
    y, h, c = torch.lstm(sequence, (h0[None], c0[None]), weights, True, 1, 0.0, False, False, False)
    return (y.flip(0) if reverse else y), h[0], c[0]
