"""Between real numbers and integers, and from one scale to another."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.attributes import AttributeDef, Kind, integer
from nascompiler.ir.dialects.nn.inference import axis_index, dims, require_dim
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.dialects.qnn.declarations import RESULT, affine, integer_type, quantized, require_scale
from nascompiler.ir.ops import OpDef, Operand, Trait, register_op
from nascompiler.ir.types import Array, DType, TensorType

_ELEMENTWISE = frozenset({Trait.ELEMENTWISE})
_WEIGHT_KIND = Kind("i8 or i16", lambda v: v in (DType.I8, DType.I16))

register_op(
    OpDef(
        name="qnn.quantize",
        summary="q = clamp(rint(x / scale) + zero_point), the division in float32; NaN becomes zero_point.",
        operands=(Operand("x", frozenset({DType.F32})),),
        attributes=RESULT,
        infer=lambda x, *, scale, zero_point, dtype: integer_type(dims(x), dtype, scale, zero_point),
        evaluate=lambda x, *, scale, zero_point, dtype: arithmetic.quantize(x, scale, zero_point, dtype),
        traits=_ELEMENTWISE,
        result_dtype="dtype",
    )
)


def _infer_dequantize(x: TensorType, *, x_scale: float, x_zero_point: int) -> TensorType:
    require_scale("x", x, x_scale, x_zero_point)
    return TensorType(dims(x), DType.F32)


register_op(
    OpDef(
        name="qnn.dequantize",
        summary="float32(x - x_zero_point) * x_scale.",
        operands=(quantized("x"),),
        attributes=affine("x_"),
        infer=_infer_dequantize,
        evaluate=lambda x, *, x_scale, x_zero_point: arithmetic.dequantize(x, x_scale, x_zero_point),
        traits=_ELEMENTWISE,
        result_dtype=DType.F32,
    )
)


def _infer_per_axis(x: TensorType, x_scale: TensorType, *, axis: int, x_zero_point: int) -> TensorType:
    place = axis_index(axis, len(dims(x)))
    if dims(x_scale) != (1,):
        require_dim(
            "x_scale", 0, x_scale, dims(x)[place], f"one for each index of x along axis {axis}, or a single one"
        )
    return TensorType(dims(x), DType.F32)


def _dequantize_per_axis(x: Array, x_scale: Array, *, axis: int, x_zero_point: int) -> Array:
    return arithmetic.dequantize(x, arithmetic.along(x_scale, axis, x.ndim), x_zero_point)


register_op(
    OpDef(
        name="qnn.dequantize_per_axis",
        summary=(
            "float32(x - x_zero_point) * x_scale[i], i the index along `axis`: weights and biases, whose scale differs "
            "by output channel."
        ),
        operands=(
            Operand("x", frozenset({DType.I8, DType.U8, DType.I16, DType.I32}), parameter=True),
            Operand("x_scale", frozenset({DType.F32}), rank=1, parameter=True),
        ),
        attributes=(integer("axis"), integer("x_zero_point", 0)),
        infer=_infer_per_axis,
        evaluate=_dequantize_per_axis,
        result_dtype=DType.F32,
    )
)


def _infer_quantize_per_axis(x: TensorType, scale: TensorType, *, axis: int, dtype: DType) -> TensorType:
    place = axis_index(axis, len(dims(x)))
    if dims(scale) != (1,):
        require_dim("scale", 0, scale, dims(x)[place], f"one for each index along axis {axis}, or a single one")
    return TensorType(dims(x), dtype)


def _quantize_per_axis(x: Array, scale: Array, *, axis: int, dtype: DType) -> Array:
    _, high = arithmetic.limits(dtype)
    f = np.divide(x.astype(np.float32, copy=False), arithmetic.along(scale, axis, x.ndim))
    return arithmetic.to_integers(arithmetic.number_or_zero(f), 0, dtype, (-high, high))


register_op(
    OpDef(
        name="qnn.quantize_per_axis",
        summary=(
            "clamp(rint(x / scale[i])), i the index along `axis`, the division in float32; symmetric, so from -127 to "
            "127 in i8; NaN becomes 0. Of a constant it makes quantised weights."
        ),
        operands=(
            Operand("x", frozenset({DType.F32}), parameter=True),
            Operand("scale", frozenset({DType.F32}), rank=1, parameter=True),
        ),
        attributes=(integer("axis"), AttributeDef("dtype", _WEIGHT_KIND, DType.I8)),
        infer=_infer_quantize_per_axis,
        evaluate=_quantize_per_axis,
        result_dtype="dtype",
    )
)


def _infer_requantize(
    x: TensorType, *, x_scale: float, x_zero_point: int, scale: float, zero_point: int, dtype: DType
) -> TensorType:
    require_scale("x", x, x_scale, x_zero_point)
    return integer_type(dims(x), dtype, scale, zero_point)


def _requantize(x: Array, *, x_scale: float, x_zero_point: int, scale: float, zero_point: int, dtype: DType) -> Array:
    f = arithmetic.shifted(x, x_zero_point).astype(np.float32) * arithmetic.ratio(x_scale, scale)
    return arithmetic.to_integers(f, zero_point, dtype, arithmetic.limits(dtype))


register_op(
    OpDef(
        name="qnn.requantize",
        summary=(
            "The same numbers at another scale: f = float32(x - x_zero_point) * float32(x_scale / scale), "
            "q = clamp(rint(f) + zero_point)."
        ),
        operands=(quantized("x"),),
        attributes=(*affine("x_"), *RESULT),
        infer=_infer_requantize,
        evaluate=_requantize,
        traits=_ELEMENTWISE,
        result_dtype="dtype",
    )
)
