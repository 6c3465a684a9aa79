"""Matrix products of quantised matrices."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.dialects.nn.inference import dims
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.dialects.qnn.declarations import (
    BIAS,
    EPILOGUE,
    SUM_RESULT,
    WEIGHT_SCALE,
    WEIGHT_ZERO_POINT,
    affine,
    as_float,
    quantized,
    require_scale,
    require_weight_scale,
    result_type,
    weights,
)
from nascompiler.ir.ops import OPS, OpDef, register_op
from nascompiler.ir.types import Array, DType, TensorType


def _infer_linear(
    x: TensorType,
    weight: TensorType,
    weight_scale: TensorType,
    bias: TensorType | None,
    *,
    x_scale: float,
    x_zero_point: int,
    weight_zero_point: int,
    scale: float,
    zero_point: int,
    dtype: DType,
    activation: str,
) -> TensorType:
    require_scale("x", x, x_scale, x_zero_point)
    made = OPS["nn.linear"].infer(as_float(x), as_float(weight), None if bias is None else as_float(bias))
    assert isinstance(made, TensorType)
    require_weight_scale(weight_scale, dims(made)[-1])
    return result_type(dims(made), dtype, scale, zero_point)


def _linear(
    x: Array,
    weight: Array,
    weight_scale: Array,
    bias: Array | None,
    *,
    x_scale: float,
    x_zero_point: int,
    weight_zero_point: int,
    scale: float,
    zero_point: int,
    dtype: DType,
    activation: str,
) -> Array:
    bound = arithmetic.accumulator_bound(weight, weight_zero_point, DType.of(x.dtype), x_zero_point)
    exact = arithmetic.exact_dtype(bound)
    sums = np.matmul(
        arithmetic.shifted(x, x_zero_point).astype(exact), arithmetic.shifted(weight, weight_zero_point).astype(exact)
    )
    return arithmetic.requantize(
        arithmetic.accumulated(sums, bias),
        x_scale,
        np.asarray(weight_scale, np.float32),
        scale=scale,
        zero_point=zero_point,
        dtype=dtype,
        activation=activation,
    )


register_op(
    OpDef(
        name="qnn.linear",
        summary=(
            "acc = (x [..., K] - x_zero_point) @ (weight [K, N] - weight_zero_point), exact in int32, plus bias [N] at "
            "scale x_scale * weight_scale; then as in qnn.conv2d."
        ),
        operands=(quantized("x"), weights("weight", rank=2), WEIGHT_SCALE, BIAS),
        attributes=(*affine("x_"), WEIGHT_ZERO_POINT, *SUM_RESULT, EPILOGUE),
        infer=_infer_linear,
        evaluate=_linear,
        macs=lambda result, x, weight, *others, **attributes: result.size * weight.static_shape[0],
        result_dtype="dtype",
    )
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
