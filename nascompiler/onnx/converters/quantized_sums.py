"""QLinearConv, QLinearMatMul and QGemm: sums of products of integers, rounded once.

Weights whose zero points differ by channel have no qnn op: such a sum is a float op between dequantize and quantize.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.ir.types import Array, DType
from nascompiler.onnx.contributed import DOMAIN
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.convolution import (
    as_two_dimensional,
    image_size,
    kernel_sizes,
    spatial_dimensions,
)
from nascompiler.onnx.converters.matrix import as_row
from nascompiler.onnx.converters.quantization import dequantized_parameter
from nascompiler.onnx.converters.quantization_parameters import (
    Affine,
    Floats,
    common_zero_point,
    per_tensor,
    read_scales,
    read_zero_points,
)
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.converters.windows import read_window
from nascompiler.onnx.errors import Refusal

FAMILY = Family()


@dataclass(frozen=True)
class _Weights:
    """Integers whose last axis is the output channel, and what they stand for."""

    integers: Value
    scales: Floats
    zero_points: Array | None


def _sum(
    c: Conversion,
    op: str,
    x: Value,
    affine: Affine,
    weights: _Weights,
    bias: Value | None,
    result: Affine | None,
    **window: Any,
) -> Value:
    """The sums in the types of `result`, float32 without one."""
    zero_point = common_zero_point(weights.zero_points)
    if zero_point is not None:
        rounded = {"dtype": DType.F32} if result is None else result.result()
        how = {**affine.operand(), "weight_zero_point": zero_point, **rounded, **window}
        return c.op(f"qnn.{op}", x, weights.integers, c.constant(weights.scales), bias, **how)
    axis = c.rank(weights.integers) - 1
    kernel = dequantized_parameter(c, weights.integers, weights.scales, weights.zero_points, axis)
    if bias is not None:
        bias = dequantized_parameter(c, bias, weights.scales * np.float32(affine.scale), None, 0)
    made = c.op(op, c.op("qnn.dequantize", x, **affine.operand()), kernel, bias, **window)
    return made if result is None else c.op("qnn.quantize", made, **result.result())


@FAMILY.op("QLinearConv")
def quantized_conv(c: Conversion) -> Value:
    x, weight = c.operand(0), c.operand(3)
    spatial = spatial_dimensions(c, weight)
    window = read_window(c, kernel_sizes(c, weight), image_size(c, x))
    kernel = c.transpose(as_two_dimensional(c, weight, spatial), (2, 3, 1, 0))
    result = _sum(
        c,
        "conv2d",
        c.image(x, spatial),
        per_tensor(c, x, 1, 2),
        _Weights(kernel, read_scales(c, 4), read_zero_points(c, 5)),
        c.optional(8),
        per_tensor(c, None, 6, 7),
        strides=window.strides,
        padding=window.padding,
        dilation=window.dilation,
        groups=c.integer("group", 1),
    )
    return c.from_image(result, spatial)


@FAMILY.op("QLinearMatMul")
def quantized_matmul(c: Conversion) -> Value:
    """A linear layer where the second matrix is a constant; its scales may differ by column."""
    a, b = c.operand(0), c.operand(3)
    affine, result = per_tensor(c, a, 1, 2), per_tensor(c, None, 6, 7)
    if b.array is not None and b.array.ndim == 2 and c.rank(a) >= 2:
        weights = _Weights(b, read_scales(c, 4), read_zero_points(c, 5))
        return _sum(c, "linear", a, affine, weights, None, result)
    scales = {**affine.operand("a"), **per_tensor(c, b, 4, 5).operand("b")}
    return c.op("qnn.matmul", a, b, **scales, **result.result())


@FAMILY.op(f"{DOMAIN}.QGemm")
def quantized_gemm(c: Conversion) -> Value:
    """Without a scale for the result, that is float32."""
    a, b, bias = c.operand(0), c.operand(3), c.optional(6)
    affine = per_tensor(c, a, 1, 2)
    if c.boolean("transA"):
        a = c.transpose(a, (1, 0))
    if c.boolean("transB"):
        b = c.transpose(b, (1, 0))
    row = bias if bias is None else as_row(c, bias, b)
    if bias is not None and row is None:
        raise Refusal("a bias that differs from row to row")
    weights = _Weights(b, read_scales(c, 4) * np.float32(c.number("alpha", 1)), read_zero_points(c, 5))
    result = None if c.optional(7) is None else per_tensor(c, None, 7, 8)
    return _sum(c, "linear", a, affine, weights, row, result)
