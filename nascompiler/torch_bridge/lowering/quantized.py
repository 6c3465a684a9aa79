"""Fake quantisation: from real numbers to integers and back, with gradients.

Integers that `qnn.quantize` and `qnn.quantize_per_axis` make are carried as floats, so that gradients pass; what moves
or selects them works as it is. The module turns them into their own type where the graph returns them. Forward is the
reference's arithmetic step by step; backward takes rounding for the identity (straight-through estimator, Bengio et al.
2013, arXiv:1308.3432), so that numbers beyond the limits get no gradient, and scales that are tensors get the gradient
of LSQ (Esser et al. 2020, arXiv:1902.08153, equation 3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nascompiler.ir.dialects.qnn.arithmetic import limits
from nascompiler.ir.types import DType
from nascompiler.torch_bridge.lowering.registry import Family, Layout

FAMILY = Family("qnn")


class _Round(torch.autograd.Function):
    """To the nearest integer, halves to the even one; the gradient passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def rounded(x: Tensor) -> Tensor:
    """x rounded to the nearest integer, halves to the even one, with the gradient of x."""
    result: Tensor = _Round.apply(x)  # type: ignore[no-untyped-call]
    return result


def along(scale: Tensor, axis: int, rank: int) -> Tensor:
    """Scales [n] or [1] shaped so that they broadcast along one axis of a tensor."""
    return scale.reshape([-1 if place == axis % rank else 1 for place in range(rank)])


def _integers(f: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    """clamp(rint(f) + zero_point, low, high), clamped first as the reference does; NaN counts as 0."""
    number = torch.nan_to_num(f, nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    return rounded(torch.clamp(number, low - zero_point, high - zero_point)) + zero_point


def _real(q: Tensor, scale: Tensor, zero_point: int) -> Tensor:
    """(q - zero_point) * scale, of integers that are carried as floats or are integers."""
    carried = q if q.dtype.is_floating_point else q.to(torch.int32)
    return (carried - zero_point).to(scale.dtype) * scale


def _constant(number: float, like: Tensor) -> Tensor:
    # A tensor on the same device: torch multiplies by the reciprocal when it divides by a number on a GPU.
    dtype = like.dtype if like.dtype.is_floating_point else torch.float32
    return torch.tensor(number, dtype=dtype, device=like.device)


@FAMILY.op("quantize", layout=Layout.FOLLOW)
def quantize(x: Tensor, *, scale: float, zero_point: int, dtype: DType) -> Tensor:
    return _integers(x / _constant(scale, x), zero_point, *limits(dtype))


@FAMILY.op("dequantize", layout=Layout.FOLLOW)
def dequantize(x: Tensor, *, x_scale: float, x_zero_point: int) -> Tensor:
    return _real(x, _constant(x_scale, x), x_zero_point)


@FAMILY.op("quantize_per_axis")
def quantize_per_axis(x: Tensor, scale: Tensor, *, axis: int, dtype: DType) -> Tensor:
    _, high = limits(dtype)
    return _integers(x / along(scale, axis, x.ndim), 0, -high, high)


@FAMILY.op("dequantize_per_axis")
def dequantize_per_axis(x: Tensor, x_scale: Tensor, *, axis: int, x_zero_point: int) -> Tensor:
    return _real(x, along(x_scale, axis, x.ndim), x_zero_point)
