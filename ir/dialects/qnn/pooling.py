"""Pooling of quantised NHWC images. The maximum needs no arithmetic: `nn.max_pool2d` takes integers as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.dialects.nn.inference import dims
from nascompiler.ir.dialects.nn.pooling import pooled
from nascompiler.ir.dialects.nn.windows import Padding, Pair, padded
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.dialects.qnn.declarations import (
    RESULT,
    affine,
    as_float,
    integer_type,
    quantized,
    require_scale,
)
from nascompiler.ir.ops import OPS, OpDef, register_op
from nascompiler.ir.types import Array, DType, TensorType


def _infer_as(op: str) -> Any:
    def infer(
        x: TensorType,
        *,
        x_scale: float,
        x_zero_point: int,
        scale: float,
        zero_point: int,
        dtype: DType,
        **window: Any,
    ) -> TensorType:
        require_scale("x", x, x_scale, x_zero_point)
        made = OPS[op].infer(as_float(x), **window)
        assert isinstance(made, TensorType)
        return integer_type(dims(made), dtype, scale, zero_point)

    return infer


def window_multipliers(
    x_shape: tuple[int, ...],
    *,
    x_scale: float,
    scale: float,
    kernel: Pair,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    count_include_pad: bool,
) -> arithmetic.Floats:
    """What the sum under each window is multiplied by, [1, H', W', 1]: float32(x_scale / scale) / count."""
    inside = padded(np.ones((1, *x_shape[1:3], 1), np.int32), padding, 1 if count_include_pad else 0)
    count = pooled(inside, np.add, 0, kernel=kernel, strides=strides, dilation=dilation)
    return mean_multiplier(count, x_scale, scale)


def mean_multiplier(count: Array, x_scale: float, scale: float) -> arithmetic.Floats:
    """float32(float32(x_scale / scale) / count)."""
    return np.asarray(np.divide(arithmetic.ratio(x_scale, scale), count.astype(np.float32)))


def _average_pool2d(
    x: Array, *, x_scale: float, x_zero_point: int, scale: float, zero_point: int, dtype: DType, **window: Any
) -> Array:
    taps = {name: window[name] for name in ("kernel", "strides", "dilation")}
    image = padded(arithmetic.shifted(x, x_zero_point).astype(np.int64), window["padding"])
    total = arithmetic.accumulated(pooled(image, np.add, 0, **taps), None)
    multiplier = window_multipliers(x.shape, x_scale=x_scale, scale=scale, **window)
    f = np.multiply(total.astype(np.float32), multiplier)
    return arithmetic.to_integers(f, zero_point, dtype, arithmetic.limits(dtype))


register_op(
    OpDef(
        name="qnn.average_pool2d",
        summary=(
            "total = sum of x - x_zero_point under each window, exact in int32; multiplier = float32(float32(x_scale / "
            "scale) / count), count the elements that nn.average_pool2d divides by; "
            "q = clamp(rint(float32(total) * multiplier) + zero_point)."
        ),
        operands=(quantized("x", rank=4),),
        attributes=(*affine("x_"), *RESULT, *OPS["nn.average_pool2d"].attributes),
        infer=_infer_as("nn.average_pool2d"),
        evaluate=_average_pool2d,
        result_dtype="dtype",
    )
)


def _global_average_pool(
    x: Array, *, x_scale: float, x_zero_point: int, scale: float, zero_point: int, dtype: DType
) -> Array:
    total = np.asarray(np.sum(arithmetic.shifted(x, x_zero_point), axis=(1, 2), keepdims=True, dtype=np.int64))
    multiplier = mean_multiplier(np.asarray(x.shape[1] * x.shape[2]), x_scale, scale)
    f = np.multiply(arithmetic.accumulated(total, None).astype(np.float32), multiplier)
    return arithmetic.to_integers(f, zero_point, dtype, arithmetic.limits(dtype))


register_op(
    OpDef(
        name="qnn.global_average_pool",
        summary=(
            "The mean over height and width: x [N, H, W, C] -> [N, 1, 1, C], computed as qnn.average_pool2d does with "
            "one window of H * W elements."
        ),
        operands=(quantized("x", rank=4),),
        attributes=(*affine("x_"), *RESULT),
        infer=_infer_as("nn.global_average_pool"),
        evaluate=_global_average_pool,
        result_dtype="dtype",
    )
)
