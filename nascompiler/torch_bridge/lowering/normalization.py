"""Normalisation by the statistics of the input, and softmax. Batch norm with constant statistics is a module."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nascompiler.torch_bridge.lowering.registry import Family, Layout

FAMILY = Family()


@FAMILY.op("batch_norm")
def batch_norm(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *, axis: int, epsilon: float
) -> Tensor:
    """With statistics that are computed in the graph."""
    factor = scale * torch.rsqrt(variance + epsilon)
    along = [1] * x.ndim
    along[axis] = -1
    return (x - mean.reshape(along)) * factor.reshape(along) + bias.reshape(along)


@FAMILY.op("layer_norm")
def layer_norm(x: Tensor, scale: Tensor | None, bias: Tensor | None, *, axis: int, epsilon: float) -> Tensor:
    """torch's own takes scale and bias of the normalised shape only; ours broadcast."""
    shape = x.shape[axis % x.ndim :]
    fits = all(w is None or w.shape == shape for w in (scale, bias))
    result = F.layer_norm(x, shape, scale if fits else None, bias if fits else None, epsilon)
    if not fits and scale is not None:
        result = result * scale
    if not fits and bias is not None:
        result = result + bias
    return result


@FAMILY.op("instance_norm", layout=Layout.CHANNELS_FIRST)
def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float) -> Tensor:
    """Also of images of one pixel, which torch's own refuses."""
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + epsilon) * scale[:, None, None] + bias[:, None, None]


@FAMILY.op("softmax", layout=Layout.FOLLOW)
def softmax(x: Tensor, *, axis: int) -> Tensor:
    return torch.softmax(x, axis)


@FAMILY.op("log_softmax", layout=Layout.FOLLOW)
def log_softmax(x: Tensor, *, axis: int) -> Tensor:
    return torch.log_softmax(x, axis)
