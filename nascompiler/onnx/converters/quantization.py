"""QuantizeLinear and DequantizeLinear, which stay nodes of their own: passes make integer ops of what is between."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.graph import Value
from nascompiler.ir.types import Array, DType
from nascompiler.onnx.contributed import DOMAIN
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.quantization_parameters import (
    Floats,
    common_zero_point,
    per_tensor,
    read_scales,
    read_zero_points,
)
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal, Unknown
from nascompiler.onnx.tensors import dtype_of

FAMILY = Family()

_QUANTIZED = (DType.I8, DType.U8, DType.I16, DType.U16)
_FLOAT = 1
"""ONNX's number for f32."""


@FAMILY.op("QuantizeLinear", f"{DOMAIN}.QuantizeLinear", block_size=(0,), precision=(0, _FLOAT))
def quantize(c: Conversion) -> Value:
    """Of a constant, its integers; otherwise qnn.quantize, with one scale for the whole tensor."""
    x = c.operand(0)
    scales, points = read_scales(c, 1), read_zero_points(c, 2)
    dtype = DType.of(points.dtype) if points is not None else _output_dtype(c)
    if dtype not in _QUANTIZED:
        raise Refusal(f"quantising to {dtype}; accepted: {', '.join(map(str, _QUANTIZED))}")
    if x.type.dtype is DType.I32:
        x = c.op("cast", x, to=DType.F32)
    elif x.type.dtype is not DType.F32:
        raise Unknown(f"its input is {x.type.dtype}; f32 or i32 is accepted")
    if x.array is not None:
        return c.constant(_quantized(c, x.array, scales, points, dtype))
    affine = per_tensor(c, None, 1, 2)
    return c.op("qnn.quantize", x, scale=affine.scale, zero_point=affine.zero_point, dtype=dtype)


def _output_dtype(c: Conversion) -> DType:
    number = c.integer("output_dtype")
    return dtype_of(number) if number else DType.U8


def _quantized(c: Conversion, x: Array, scales: Floats, points: Array | None, dtype: DType) -> Array:
    if points is None:
        points = np.zeros(1, dtype.numpy)
    f = np.divide(x.astype(np.float32), _along(c, scales, x.ndim))
    zero = _along(c, points, x.ndim).astype(np.float64)
    rounded = np.rint(np.where(np.isnan(f), np.float32(0), f)).astype(np.float64) + zero
    return np.asarray(np.clip(rounded, *arithmetic.limits(dtype)).astype(dtype.numpy))


@FAMILY.op("DequantizeLinear", f"{DOMAIN}.DequantizeLinear", block_size=(0,), output_dtype=(0, _FLOAT))
def dequantize(c: Conversion) -> Value:
    """qnn.dequantize; of constants with a scale for each channel, qnn.dequantize_per_axis."""
    x = c.operand(0)
    scales, points = read_scales(c, 1), read_zero_points(c, 2)
    if x.type.dtype is DType.I32:
        return _dequantize_sums(c, x, scales, points)
    if x.type.dtype not in _QUANTIZED:
        raise Unknown(f"its input is {x.type.dtype}; accepted: {', '.join(map(str, _QUANTIZED))} and i32")
    if scales.size == 1 and (points is None or points.size == 1):
        return c.op("qnn.dequantize", x, **per_tensor(c, x, 1, 2).operand())
    if x.array is None:
        raise Refusal(f"{scales.size} scales for an activation; one for the whole tensor is accepted")
    return dequantized_parameter(c, x, scales, points, c.axis(c.integer("axis", 1), x.array.ndim))


def dequantized_parameter(c: Conversion, x: Value, scales: Floats, points: Array | None, axis: int) -> Value:
    """A constant of integers, with one scale or one for each index along an axis, as numbers.

    What no qnn op takes as weights (zero points that differ along the axis, u16) becomes float32 here and now.
    """
    point = common_zero_point(points)
    if x.array is not None and (point is None or x.type.dtype is DType.U16):
        rank = x.array.ndim
        shift = along(np.zeros(1) if points is None else points, axis, rank).astype(np.int32)
        shifted = np.subtract(x.array.astype(np.int32), shift).astype(np.float32)
        return c.constant(np.multiply(shifted, along(scales, axis, rank).astype(np.float32)))
    return c.op("qnn.dequantize_per_axis", x, c.constant(scales), axis=axis, x_zero_point=point or 0)


def _dequantize_sums(c: Conversion, x: Value, scales: Floats, points: Array | None) -> Value:
    """A bias, or accumulators: float32(x) * scale."""
    if points is not None and np.any(points):
        raise Refusal("a zero point other than 0 for 32-bit integers")
    rank = c.rank(x)
    if x.array is not None and rank > 0:
        axis = c.axis(c.integer("axis", 1), rank) if scales.size > 1 else 0
        return dequantized_parameter(c, x, scales, None, axis)
    return c.op("mul", c.op("cast", x, to=DType.F32), c.constant(_along(c, scales, rank)))


def _along(c: Conversion, values: Array, rank: int) -> Array:
    return along(values, 0 if values.size == 1 else c.axis(c.integer("axis", 1), rank), rank)


def along(values: Array, axis: int, rank: int) -> Array:
    """One number as it is; several so that they broadcast along an axis."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)
