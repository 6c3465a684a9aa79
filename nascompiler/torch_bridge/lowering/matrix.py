"""Matrix products; weights of fully connected layers are [outputs, inputs], as torch has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nascompiler.torch_bridge.lowering.activations import activate, hard_sigmoid, sigmoid
from nascompiler.torch_bridge.lowering.registry import Family, Layout

FAMILY = Family()


@FAMILY.op("matmul")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


@FAMILY.op("linear", weights={1: (1, 0)})
def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, activation: str) -> Tensor:
    return activate(F.linear(x, weight, bias), activation)


@FAMILY.op("squeeze_excite", layout=Layout.CHANNELS_FIRST, weights={1: (1, 0), 3: (1, 0)})
def squeeze_excite(
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    *,
    activation: str,
    gate: str,
    alpha: float,
    beta: float,
) -> Tensor:
    squeezed = activate(F.linear(x.mean((2, 3)), w1, b1), activation)
    excited = F.linear(squeezed, w2, b2)
    factor = hard_sigmoid(excited, alpha=alpha, beta=beta) if gate == "hard_sigmoid" else sigmoid(excited)
    result: Tensor = x * factor[:, :, None, None]
    return result
