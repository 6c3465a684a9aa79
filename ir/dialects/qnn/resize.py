"""Linear resizing of quantised NHWC images. By nearest neighbour, `nn.resize` takes integers as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.dialects.nn.inference import dims
from nascompiler.ir.dialects.nn.resize import nearest_elements, neighbours
from nascompiler.ir.dialects.nn.windows import Pair
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

_FLOAT = OPS["nn.resize"]


def _infer(
    x: TensorType, *, x_scale: float, x_zero_point: int, scale: float, zero_point: int, dtype: DType, **sampling: Any
) -> TensorType:
    require_scale("x", x, x_scale, x_zero_point)
    made = _FLOAT.infer(as_float(x), **sampling)
    assert isinstance(made, TensorType)
    return integer_type(dims(made), dtype, scale, zero_point)


def _resize(
    x: Array,
    *,
    x_scale: float,
    x_zero_point: int,
    scale: float,
    zero_point: int,
    dtype: DType,
    size: Pair,
    mode: str,
    coordinates: str,
    rounding: str,
    scales: tuple[float, ...],
) -> Array:
    resized = arithmetic.shifted(x, x_zero_point).astype(np.float32)
    for axis, target in enumerate(size, start=1):
        sampled = (x.shape[axis], target, scales[axis - 1] if scales else None, coordinates)
        if mode == "nearest":
            resized = resized.take(nearest_elements(*sampled, rounding), axis)
            continue
        low, high, share = neighbours(*sampled)
        fraction = arithmetic.along(share, axis, x.ndim)
        before = np.multiply(resized.take(low, axis), np.float32(1) - fraction)
        resized = np.add(before, np.multiply(resized.take(high, axis), fraction))
    f = np.multiply(resized, arithmetic.ratio(x_scale, scale))
    return arithmetic.to_integers(f, zero_point, dtype, arithmetic.limits(dtype))


register_op(
    OpDef(
        name="qnn.resize",
        summary=(
            "r = nn.resize of float32(x - x_zero_point): along height, then width, low * (1 - fraction) + high * "
            "fraction, each step in float32; q = clamp(rint(r * float32(x_scale / scale)) + zero_point)."
        ),
        operands=(quantized("x", rank=4),),
        attributes=(*affine("x_"), *RESULT, *_FLOAT.attributes),
        infer=_infer,
        evaluate=_resize,
        result_dtype="dtype",
    )
)
