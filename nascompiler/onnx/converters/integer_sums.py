"""ConvInteger and MatMulInteger, whose results are exact 32-bit sums, and quantisation at run time.

The sums are computed on wide numbers, and noted: see `nascompiler.onnx.integer_sums`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.convolution import (
    as_two_dimensional,
    image_size,
    kernel_sizes,
    spatial_dimensions,
)
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.converters.windows import read_window
from nascompiler.onnx.errors import Refusal
from nascompiler.onnx.integer_sums import IntegerSum

FAMILY = Family()


@FAMILY.op("ConvInteger")
def conv_integer(c: Conversion) -> Value:
    """The convolution runs in float64, in which the sums of 8-bit integers are exact."""
    x, weight = c.operand(0), c.operand(1)
    spatial = spatial_dimensions(c, weight)
    window = read_window(c, kernel_sizes(c, weight), image_size(c, x))
    attributes = {
        "strides": window.strides,
        "padding": window.padding,
        "dilation": window.dilation,
        "groups": c.integer("group", 1),
    }
    image = c.image(x, spatial)
    kernel = c.transpose(as_two_dimensional(c, weight, spatial), (2, 3, 1, 0))
    points = [_zero_point(c, 2, x), _zero_point(c, 3, weight, per_channel=True)]
    sums = c.op("conv2d", _wide(c, image, points[0], DType.F64), _wide(c, kernel, points[1], DType.F64), **attributes)
    total = c.from_image(c.op("cast", sums, to=DType.I32), spatial)

    def make(scale: Value, bias: Value | None, **more: Any) -> Value:
        return c.from_image(c.op("qnn.conv2d", image, kernel, scale, bias, **attributes, **more), spatial)

    _note(c, total, x, weight, points, 1, make)
    return total


@FAMILY.op("MatMulInteger")
def matmul_integer(c: Conversion) -> Value:
    a, b = c.operand(0), c.operand(1)
    points = [_zero_point(c, 2, a), _zero_point(c, 3, b, per_channel=True)]
    total = c.op("matmul", _wide(c, a, points[0], DType.I32), _wide(c, b, points[1], DType.I32))

    def make(scale: Value, bias: Value | None, **more: Any) -> Value:
        return c.op("qnn.linear", a, b, scale, bias, **more)

    if b.type.rank == 2 and c.rank(a) >= 2:
        _note(c, total, a, b, points, c.rank(a) - 1, make)
    return total


def _zero_point(c: Conversion, index: int, of: Value, *, per_channel: bool = False) -> Value | None:
    """One number for the whole tensor, perhaps computed, or None; of weights also one for each output channel."""
    point = c.optional(index)
    one = point is None or point.type.rank == 0 or point.type.shape == (1,)
    if point is not None and not one and not (per_channel and point.type.rank == 1):
        raise Refusal(f"zero points {point.type} of {of.type}; one for the whole tensor is accepted")
    return point


def _wide(c: Conversion, x: Value, zero_point: Value | None, to: DType) -> Value:
    """x - zero_point as i32 or f64; several zero points lie along the last axis."""
    if x.array is not None and (zero_point is None or zero_point.array is not None):
        shift = np.int32(0) if zero_point is None or zero_point.array is None else zero_point.array.astype(np.int32)
        return c.constant((x.array.astype(np.int32) - shift).astype(to.numpy))
    wide = c.op("cast", x, to=to)
    return wide if zero_point is None else c.op("sub", wide, c.op("cast", zero_point, to=to))


def _note(
    c: Conversion,
    total: Value,
    x: Value,
    weight: Value,
    points: list[Value | None],
    channel_axis: int,
    make: Callable[..., Value],
) -> None:
    arrays = [None if p is None else p.array for p in points]
    if weight.array is None or any(p is not None and a is None for p, a in zip(points, arrays, strict=True)):
        return
    if any(a is not None and a.size > 1 for a in arrays):
        return
    shifts = [0 if a is None else int(a.reshape(-1)[0]) for a in arrays]
    if x.type.quantization is not None and x.type.quantization.zero_point[0] != shifts[0]:
        return

    def complete(scale: Value, bias: Value | None, **more: Any) -> Value:
        return make(scale, bias, x_zero_point=shifts[0], weight_zero_point=shifts[1], dtype=DType.F32, **more)

    c.note_sum(IntegerSum(total, x, channel_axis, complete))


@FAMILY.op("DynamicQuantizeLinear")
def dynamic_quantize(c: Conversion) -> tuple[Value, ...]:
    """The range of x, 0 included, over 255 steps (ONNX, DynamicQuantizeLinear-11); written out in float ops."""
    x = c.operand(0)
    axes = tuple(range(c.rank(x)))
    zero, top = c.scalar(0, x), c.scalar(255, x)
    low = c.op("minimum", c.op("reduce_min", x, axes=axes, keepdims=False), zero)
    high = c.op("maximum", c.op("reduce_max", x, axes=axes, keepdims=False), zero)
    span = c.op("sub", high, low)
    scale = c.op("where", c.op("equal", span, zero), c.scalar(1, x), c.op("div", span, top))
    point = c.op("clip", c.op("round", c.op("div", c.op("neg", low), scale)), min=0, max=255)
    integers = c.op("clip", c.op("add", c.op("round", c.op("div", x, scale)), point), min=0, max=255)
    return c.op("cast", integers, to=DType.U8), scale, c.op("cast", point, to=DType.U8)
