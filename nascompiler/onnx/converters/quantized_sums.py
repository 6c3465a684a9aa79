"""QLinearConv, QLinearMatMul and QGemm: sums of products of integers, rounded once."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.onnx.contributed import DOMAIN
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.convolution import (
    as_two_dimensional,
    image_size,
    kernel_sizes,
    spatial_dimensions,
)
from nascompiler.onnx.converters.matrix import as_row
from nascompiler.onnx.converters.quantization_parameters import (
    common_zero_point,
    per_tensor,
    read_scales,
    read_zero_points,
)
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.converters.windows import read_window
from nascompiler.onnx.errors import Refusal

FAMILY = Family()


@FAMILY.op("QLinearConv")
def quantized_conv(c: Conversion) -> Value:
    x, weight = c.operand(0), c.operand(3)
    spatial = spatial_dimensions(c, weight)
    window = read_window(c, kernel_sizes(c, weight), image_size(c, x))
    result = c.op(
        "qnn.conv2d",
        c.image(x, spatial),
        c.transpose(as_two_dimensional(c, weight, spatial), (2, 3, 1, 0)),
        c.constant(read_scales(c, 4)),
        c.optional(8),
        **per_tensor(c, x, 1, 2).operand(),
        weight_zero_point=common_zero_point(read_zero_points(c, 5)),
        **per_tensor(c, None, 6, 7).result(),
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
    a_affine, result = per_tensor(c, a, 1, 2), per_tensor(c, None, 6, 7).result()
    if b.array is not None and b.array.ndim == 2 and c.rank(a) >= 2:
        return c.op(
            "qnn.linear",
            a,
            b,
            c.constant(read_scales(c, 4)),
            **a_affine.operand(),
            weight_zero_point=common_zero_point(read_zero_points(c, 5)),
            **result,
        )
    return c.op("qnn.matmul", a, b, **a_affine.operand("a"), **per_tensor(c, b, 4, 5).operand("b"), **result)


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
    return c.op(
        "qnn.linear",
        a,
        b,
        c.constant(read_scales(c, 4) * np.float32(c.number("alpha"))),
        row,
        **affine.operand(),
        weight_zero_point=common_zero_point(read_zero_points(c, 5)),
        **(per_tensor(c, None, 7, 8).result() if c.optional(7) is not None else {"dtype": DType.F32}),
    )
