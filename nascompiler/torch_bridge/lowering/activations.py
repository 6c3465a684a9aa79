"""Activation functions, and those that other ops apply to their results."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nascompiler.torch_bridge.lowering.registry import Family, Layout

FAMILY = Family()
_follow = Layout.FOLLOW


@FAMILY.op("relu", layout=_follow)
def relu(x: Tensor) -> Tensor:
    return torch.relu(x)


@FAMILY.op("relu6", layout=_follow)
def relu6(x: Tensor) -> Tensor:
    return F.relu6(x)  # whose gradient is one kernel, as that of clamp is not


@FAMILY.op("sigmoid", layout=_follow)
def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@FAMILY.op("tanh", layout=_follow)
def tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


@FAMILY.op("softplus", layout=_follow)
def softplus(x: Tensor) -> Tensor:
    return F.softplus(x)


@FAMILY.op("hard_sigmoid", layout=_follow)
def hard_sigmoid(x: Tensor, *, alpha: float = 1 / 6, beta: float = 0.5) -> Tensor:
    if alpha == 1 / 6 and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(alpha * x + beta, 0, 1)


@FAMILY.op("hard_swish", layout=_follow)
def hard_swish(x: Tensor) -> Tensor:
    return F.hardswish(x)


@FAMILY.op("swish", layout=_follow)
def swish(x: Tensor) -> Tensor:
    return F.silu(x)


@FAMILY.op("elu", layout=_follow)
def elu(x: Tensor, *, alpha: float) -> Tensor:
    return F.elu(x, alpha)


@FAMILY.op("leaky_relu", layout=_follow)
def leaky_relu(x: Tensor, *, alpha: float) -> Tensor:
    return F.leaky_relu(x, alpha)


@FAMILY.op("clip", layout=_follow)
def clip(x: Tensor, *, min: float, max: float) -> Tensor:
    """On integers the bounds round inwards; the upper one wins where they cross."""
    if x.dtype.is_floating_point:
        return torch.clamp(x, min, max)
    limits = torch.iinfo(x.dtype)
    low = limits.min if min <= limits.min else limits.max if min > limits.max else math.ceil(min)
    high = limits.max if max >= limits.max else limits.min if max < limits.min else math.floor(max)
    return torch.clamp(x, low, high)


_FUSED = {
    "relu": relu,
    "relu6": relu6,
    "hard_swish": hard_swish,
    "hard_sigmoid": hard_sigmoid,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "swish": swish,
}


def activate(x: Tensor, activation: str) -> Tensor:
    """x through the activation that an op of the IR applies to its own result."""
    result: Tensor = x if activation == "none" else _FUSED[activation](x)
    return result
