"""Convolution and transposed convolution of quantised NHWC images."""

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


def _register(op: str, summary: str) -> None:
    """The integer form of `nn.<op>`, a sum of products whose shape rules and windows it shares."""
    float_op = OPS[f"nn.{op}"]
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

    register_op(
        OpDef(
            name=f"qnn.{op}",
            summary=summary,
            operands=(quantized("x", rank=4), weights("weight", rank=4), WEIGHT_SCALE, BIAS),
            attributes=(*affine("x_"), WEIGHT_ZERO_POINT, *SUM_RESULT, *windows, EPILOGUE),
            infer=infer,
            evaluate=evaluate,
            macs=lambda result, x, weight, weight_scale, bias, **attributes: _macs(op, result, x, weight),
            result_dtype="dtype",
        )
    )


def _macs(op: str, result: TensorType, x: TensorType, weight: TensorType) -> int:
    height, width, inputs, outputs = weight.static_shape
    if op == "conv2d":
        return result.size * height * width * inputs
    return x.size * height * width * outputs


_register(
    "conv2d",
    "acc = sum of (x - x_zero_point) * (weight - weight_zero_point) over the window, as in nn.conv2d, exact in int32, "
    "plus bias [O] at scale x_scale * weight_scale; x is padded with its zero point. With multiplier = float32(float32("
    "x_scale * weight_scale[o]) / scale): q = clamp(rint(float32(acc) * multiplier) + zero_point), clamped from "
    "zero_point on by relu, and to rint(6 / scale) + zero_point by relu6. With hard_swish, hard_sigmoid or dtype f32: "
    "y = activation(float32(acc) * float32(x_scale * weight_scale[o])), each step in float32, then "
    "q = clamp(rint(y * float32(1 / scale)) + zero_point), or y itself.",
)
_register(
    "conv2d_transpose",
    "acc = the sums of nn.conv2d_transpose on x - x_zero_point and weight - weight_zero_point, exact in int32, plus "
    "bias; then as in qnn.conv2d.",
)
