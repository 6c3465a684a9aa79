"""Pooling of NCHW images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nascompiler.torch_bridge.lowering.registry import Family, Layout
from nascompiler.torch_bridge.lowering.windows import Padding, Pair, counts, padded, symmetric, taps

FAMILY = Family()
_first = Layout.CHANNELS_FIRST


def _fitting(padding: Padding, kernel: Pair) -> Pair | None:
    """Padding as torch's pools take it: even, and at most half the kernel; else None."""
    even = symmetric(padding)
    return even if even is not None and all(2 * p <= k for p, k in zip(even, kernel, strict=True)) else None


@FAMILY.op("max_pool2d", layout=_first)
def max_pool2d(x: Tensor, *, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair) -> Tensor:
    """Integers, which torch does not pool, by the maximum over the taps of a window."""
    if not x.dtype.is_floating_point:
        windows = taps(padded(x, padding, torch.iinfo(x.dtype).min), kernel, strides, dilation)
        result = next(windows)
        for tap in windows:
            result = torch.maximum(result, tap)
        return result
    fitting = _fitting(padding, kernel)
    if fitting is None:
        x, fitting = padded(x, padding, -torch.inf), (0, 0)
    return F.max_pool2d(x, kernel, strides, fitting, dilation)


@FAMILY.op("average_pool2d", layout=_first)
def average_pool2d(
    x: Tensor, *, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair, count_include_pad: bool
) -> Tensor:
    """Uneven padding and dilation, which torch does not have, by sums divided by counts."""
    fitting = _fitting(padding, kernel)
    if fitting is not None and dilation == (1, 1):
        return F.avg_pool2d(x, kernel, strides, fitting, False, count_include_pad)
    around = padded(x, padding)
    if dilation == (1, 1):
        total = F.avg_pool2d(around, kernel, strides, divisor_override=1)
    else:
        total = torch.stack(tuple(taps(around, kernel, strides, dilation))).sum(0)
    if count_include_pad:
        return total / (kernel[0] * kernel[1])
    return total / counts(x, kernel, strides, padding, dilation)


@FAMILY.op("global_average_pool", layout=_first)
def global_average_pool(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


@FAMILY.op("global_max_pool", layout=_first)
def global_max_pool(x: Tensor) -> Tensor:
    return x.amax((2, 3), keepdim=True)
