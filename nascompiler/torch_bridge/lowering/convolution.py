"""Convolutions of NCHW images, weights OIHW."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from nascompiler.torch_bridge.lowering.activations import activate
from nascompiler.torch_bridge.lowering.registry import OIHW, Family, Layout
from nascompiler.torch_bridge.lowering.windows import Padding, Pair, padded, symmetric

FAMILY = Family()


@FAMILY.op("conv2d", layout=Layout.CHANNELS_FIRST, weights={1: OIHW})
def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    activation: str,
) -> Tensor:
    even = symmetric(padding)
    if even is None:
        x, even = padded(x, padding), (0, 0)
    return activate(F.conv2d(x, weight, bias, strides, even, dilation, groups), activation)


@FAMILY.op("conv2d_transpose", layout=Layout.CHANNELS_FIRST, weights={1: (2, 3, 0, 1)})
def conv2d_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    strides: Pair,
    padding: Padding,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
    activation: str,
) -> Tensor:
    """torch limits output_padding and crops both sides alike; anything else is cropped and extended afterwards."""
    even = symmetric(padding)
    if even is not None and all(o < max(s, d) for o, s, d in zip(output_padding, strides, dilation, strict=True)):
        result = F.conv_transpose2d(x, weight, bias, strides, even, output_padding, groups, dilation)
        return activate(result, activation)
    result = F.conv_transpose2d(x, weight, None, strides, 0, 0, groups, dilation)
    top, left, bottom, right = padding
    result = padded(result, (-top, -left, output_padding[0] - bottom, output_padding[1] - right))
    if bias is not None:
        result = result + bias[:, None, None]
    return activate(result, activation)
