"""What convolutions and linear layers share: exact sums of products with weights, rounded once at the end."""

from __future__ import annotations

from typing import Any

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


def register_sum(op: str, summary: str) -> None:
    """Register the integer form of `nn.<op>`, whose shape rules, windows and sums it shares."""
    float_op = OPS[f"nn.{op}"]
    x_operand, weight_operand, _ = float_op.operands
    windows = tuple(a for a in float_op.attributes if a.name != "activation")

    def infer(
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
        **window: Any,
    ) -> TensorType:
        require_scale("x", x, x_scale, x_zero_point)
        made = float_op.infer(as_float(x), as_float(weight), None if bias is None else as_float(bias), **window)
        assert isinstance(made, TensorType)
        require_weight_scale(weight_scale, dims(made)[-1])
        return result_type(dims(made), dtype, scale, zero_point)

    def evaluate(
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
        **window: Any,
    ) -> Array:
        # Of a transposed convolution the last axis is an output channel of one group: the bound holds all the same.
        bound = arithmetic.accumulator_bound(weight, weight_zero_point, DType.of(x.dtype), x_zero_point)
        exact = arithmetic.exact_dtype(bound)
        image = arithmetic.shifted(x, x_zero_point).astype(exact)
        kernel = arithmetic.shifted(weight, weight_zero_point).astype(exact)
        assert float_op.evaluate is not None
        sums = float_op.evaluate(image, kernel, None, activation="none", **window)
        return arithmetic.requantize(
            arithmetic.accumulated(sums, bias),
            x_scale,
            np.asarray(weight_scale, np.float32),
            scale=scale,
            zero_point=zero_point,
            dtype=dtype,
            activation=activation,
        )

    def macs(
        result: TensorType,
        x: TensorType,
        weight: TensorType,
        weight_scale: TensorType,
        bias: TensorType | None,
        **attributes: Any,
    ) -> int:
        assert float_op.macs is not None
        return float_op.macs(result, x, weight, bias, **{a.name: attributes[a.name] for a in windows})

    register_op(
        OpDef(
            name=f"qnn.{op}",
            summary=summary,
            operands=(
                quantized("x", rank=x_operand.rank),
                weights("weight", rank=weight_operand.rank),
                WEIGHT_SCALE,
                BIAS,
            ),
            attributes=(*affine("x_"), WEIGHT_ZERO_POINT, *SUM_RESULT, *windows, EPILOGUE),
            infer=infer,
            evaluate=evaluate,
            macs=macs,
            result_dtype="dtype",
        )
    )
