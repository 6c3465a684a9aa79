"""Matrix products of quantised matrices."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.dialects.nn.inference import dims
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.dialects.qnn.declarations import (
    SUM_RESULT,
    affine,
    as_float,
    quantized,
    require_scale,
    result_type,
)
from nascompiler.ir.dialects.qnn.sums import register_sum
from nascompiler.ir.ops import OPS, OpDef, register_op
from nascompiler.ir.types import Array, DType, TensorType

register_sum(
    "linear",
    "acc = (x [..., K] - x_zero_point) @ (weight [K, N] - weight_zero_point), exact in int32, plus bias [N] at scale "
    "x_scale * weight_scale; then as in qnn.conv2d.",
)


def _infer_matmul(
    a: TensorType,
    b: TensorType,
    *,
    a_scale: float,
    a_zero_point: int,
    b_scale: float,
    b_zero_point: int,
    scale: float,
    zero_point: int,
    dtype: DType,
) -> TensorType:
    require_scale("a", a, a_scale, a_zero_point)
    require_scale("b", b, b_scale, b_zero_point)
    made = OPS["nn.matmul"].infer(as_float(a), as_float(b))
    assert isinstance(made, TensorType)
    return result_type(dims(made), dtype, scale, zero_point)


def _matmul(
    a: Array,
    b: Array,
    *,
    a_scale: float,
    a_zero_point: int,
    b_scale: float,
    b_zero_point: int,
    scale: float,
    zero_point: int,
    dtype: DType,
) -> Array:
    left, right = arithmetic.shifted(a, a_zero_point), arithmetic.shifted(b, b_zero_point)
    sums = np.matmul(left.astype(np.float64), right.astype(np.float64))  # exact up to 2 ** 53
    return arithmetic.requantize(
        arithmetic.accumulated(np.asarray(sums), None),
        a_scale,
        np.asarray(b_scale, np.float32),
        scale=scale,
        zero_point=zero_point,
        dtype=dtype,
        activation="none",
    )


register_op(
    OpDef(
        name="qnn.matmul",
        summary=(
            "The product of two computed matrices, [..., M, K] by [..., K, N] as in nn.matmul: "
            "acc = (a - a_zero_point) @ (b - b_zero_point), exact in int32; then as in qnn.conv2d, with b_scale for "
            "weight_scale."
        ),
        operands=(quantized("a"), quantized("b")),
        attributes=(*affine("a_"), *affine("b_"), *SUM_RESULT),
        infer=_infer_matmul,
        evaluate=_matmul,
        macs=lambda result, a, b, **attributes: result.size * a.static_shape[-1],
        result_dtype="dtype",
    )
)
