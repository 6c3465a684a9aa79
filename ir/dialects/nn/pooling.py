"""Pooling over windows of NHWC images and over whole images."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.attributes import boolean, integers
from nascompiler.ir.dialects.nn.inference import dims, like, moved
from nascompiler.ir.dialects.nn.windows import Padding, Pair, extent, output_size, padded, tap
from nascompiler.ir.ops import InferenceError, OpDef, floats, numbers, register_op
from nascompiler.ir.types import Array, TensorType

_WINDOW_ATTRIBUTES = (
    integers("kernel", length=2, minimum=1),
    integers("strides", (1, 1), length=2, minimum=1),
    integers("padding", (0, 0, 0, 0), length=4, minimum=0),
    integers("dilation", (1, 1), length=2, minimum=1),
)


def _infer_pool(
    x: TensorType, *, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair, count_include_pad: bool = False
) -> TensorType:
    batch, height, width, channels = dims(x)
    for axis in (0, 1):
        span = extent(kernel[axis], dilation[axis])
        if max(padding[axis], padding[axis + 2]) >= span:
            raise InferenceError(
                f"padding {list(padding)} is not smaller than the kernel {list(kernel)} with dilation "
                f"{list(dilation)}, which spans {span} along the {('height', 'width')[axis]}: "
                "a window would see nothing of x"
            )
    size = (
        output_size(0, height, kernel[0], strides[0], padding, dilation[0]),
        output_size(1, width, kernel[1], strides[1], padding, dilation[1]),
    )
    return moved(x, (batch, *size, channels))


def pooled(x: Array, reduce: Any, initial: Any, *, kernel: Pair, strides: Pair, dilation: Pair) -> Any:
    """`reduce` over the taps of each window of an image that is padded already."""
    size = tuple((x.shape[i + 1] - extent(kernel[i], dilation[i])) // strides[i] + 1 for i in (0, 1))
    result = np.full((x.shape[0], *size, x.shape[3]), initial, x.dtype)
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            reduce(result, tap(x, row, column, (size[0], size[1]), strides, dilation), out=result)
    return result


def _average_pool2d(
    x: Array, *, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair, count_include_pad: bool
) -> Array:
    total = pooled(padded(x.astype(np.float64), padding), np.add, 0, kernel=kernel, strides=strides, dilation=dilation)
    if count_include_pad:
        return like(total / (kernel[0] * kernel[1]), x)
    inside = padded(np.ones((1, *x.shape[1:3], 1)), padding)
    return like(total / pooled(inside, np.add, 0, kernel=kernel, strides=strides, dilation=dilation), x)


def lowest(dtype: np.dtype[np.generic]) -> float | int:
    """The neutral element of the maximum."""
    return -np.inf if dtype.kind == "f" else int(np.iinfo(dtype.name).min)


def highest(dtype: np.dtype[np.generic]) -> float | int:
    """The neutral element of the minimum."""
    return np.inf if dtype.kind == "f" else int(np.iinfo(dtype.name).max)


def _max_pool2d(x: Array, *, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair) -> Array:
    low = lowest(x.dtype)
    return like(pooled(padded(x, padding, low), np.maximum, low, kernel=kernel, strides=strides, dilation=dilation), x)


register_op(
    OpDef(
        name="nn.average_pool2d",
        summary=(
            "The mean of each window of x [N, H, W, C] -> [N, H', W', C]; padded elements count as zeros when "
            "`count_include_pad`, else not at all."
        ),
        operands=(floats("x", rank=4),),
        attributes=(*_WINDOW_ATTRIBUTES, boolean("count_include_pad", False)),
        infer=_infer_pool,
        evaluate=_average_pool2d,
    )
)

register_op(
    OpDef(
        name="nn.max_pool2d",
        summary="The maximum of each window of x [N, H, W, C] -> [N, H', W', C]; padded elements do not count.",
        operands=(numbers("x", rank=4),),
        attributes=_WINDOW_ATTRIBUTES,
        infer=_infer_pool,
        evaluate=_max_pool2d,
    )
)


def _infer_global(x: TensorType) -> TensorType:
    return moved(x, (dims(x)[0], 1, 1, dims(x)[3]))


def _global_max_pool(x: Array) -> Array:
    return like(np.max(x, axis=(1, 2), keepdims=True, initial=lowest(x.dtype)), x)


register_op(
    OpDef(
        name="nn.global_average_pool",
        summary="The mean over height and width: x [N, H, W, C] -> [N, 1, 1, C].",
        operands=(floats("x", rank=4),),
        infer=_infer_global,
        evaluate=lambda x: like(np.mean(x, axis=(1, 2), keepdims=True, dtype=np.float64), x),
    )
)

register_op(
    OpDef(
        name="nn.global_max_pool",
        summary="The maximum over height and width: x [N, H, W, C] -> [N, 1, 1, C].",
        operands=(numbers("x", rank=4),),
        infer=_infer_global,
        evaluate=_global_max_pool,
    )
)
