"""The formulas of qnn once more, one number at a time: exact Python integers, and float32 where they say float32."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from hypothesis import settings

from nascompiler.ir.evaluate import evaluate_op
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import DType

f32 = np.float32

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)


def run(op: str, *operands: Any, **attributes: Any) -> Any:
    """The reference evaluation of an op with one result."""
    arrays = [np.asarray(a) for a in operands if a is not None]
    (result,) = evaluate_op(OPS[op], arrays, OPS[op].complete_attributes(attributes))
    return result


def limits(dtype: DType) -> tuple[int, int]:
    info = np.iinfo(dtype.numpy.name)
    return int(info.min), int(info.max)


def rounded(f: Any, zero_point: int, low: int, high: int) -> int:
    """clamp(rint(f) + zero_point, low, high): Python's round takes halves to even, and its integers have no limit."""
    if np.isinf(f):
        return high if f > 0 else low
    return min(max(round(float(f)) + zero_point, low), high)


def activated(x: Any, activation: str) -> Any:
    """An activation of a float32 number, step by step."""
    if activation == "none":
        return x
    if activation in ("relu", "relu6"):
        return min(max(x, f32(0)), f32(6) if activation == "relu6" else f32(np.inf))
    gate = f32(f32(x * f32(1 / 6)) + f32(0.5))
    gate = min(max(gate, f32(0)), f32(1))
    return gate if activation == "hard_sigmoid" else f32(x * gate)


def requantized(
    acc: int, x_scale: float, weight_scale: float, *, scale: float, zero_point: int, dtype: DType, activation: str
) -> Any:
    """A sum of products at scale x_scale * weight_scale as a result."""
    low, high = limits(dtype) if dtype is not DType.F32 else (0, 0)
    both = f32(f32(x_scale) * f32(weight_scale))
    if dtype is DType.F32:
        return activated(f32(f32(acc) * both), activation)
    if activation in ("hard_swish", "hard_sigmoid"):
        y = activated(f32(f32(acc) * both), activation)
        return rounded(f32(y * f32(f32(1) / f32(scale))), zero_point, low, high)
    if activation in ("relu", "relu6"):
        low = zero_point
    if activation == "relu6":
        high = min(high, round(float(f32(6) / f32(scale))) + zero_point)
    return rounded(f32(f32(acc) * f32(both / f32(scale))), zero_point, low, high)


def convolved(
    x: Any,
    weight: Any,
    x_zero_point: int,
    weight_zero_point: int,
    *,
    strides: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Any:
    """The sums of products of a convolution, as Python integers: an object array [N, H', W', O]."""
    n, height, width, channels = x.shape
    rows, columns, per_group, features = weight.shape
    top, left, bottom, right = padding
    out_height = (height + top + bottom - dilation[0] * (rows - 1) - 1) // strides[0] + 1
    out_width = (width + left + right - dilation[1] * (columns - 1) - 1) // strides[1] + 1
    sums = np.zeros((n, out_height, out_width, features), object)
    for index in np.ndindex(*sums.shape):
        b, h, w, o = index
        first = o // (features // groups) * per_group
        for row, column, i in product(range(rows), range(columns), range(per_group)):
            y = h * strides[0] + row * dilation[0] - top
            k = w * strides[1] + column * dilation[1] - left
            inside = 0 <= y < height and 0 <= k < width
            value = int(x[b, y, k, first + i]) if inside else x_zero_point  # padding is the zero point
            sums[index] += (value - x_zero_point) * (int(weight[row, column, i, o]) - weight_zero_point)
    assert channels == per_group * groups
    return sums


def transposed(
    x: Any,
    weight: Any,
    x_zero_point: int,
    *,
    strides: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    output_padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Any:
    """The sums of a transposed convolution: every input adds its multiple of the kernel to the result."""
    n, height, width, channels = x.shape
    rows, columns, _, per_group = weight.shape
    top, left, bottom, right = padding
    size = [
        (length - 1) * strides[a] + dilation[a] * (taps - 1) + 1 - before - after + output_padding[a]
        for a, (length, taps, before, after) in enumerate([(height, rows, top, bottom), (width, columns, left, right)])
    ]
    sums = np.zeros((n, *size, per_group * groups), object)
    for b, h, w, c in np.ndindex(*x.shape):
        group = c // (channels // groups)
        for row, column, o in product(range(rows), range(columns), range(per_group)):
            y = h * strides[0] + row * dilation[0] - top
            k = w * strides[1] + column * dilation[1] - left
            if 0 <= y < size[0] and 0 <= k < size[1]:
                term = (int(x[b, h, w, c]) - x_zero_point) * int(weight[row, column, c, o])
                sums[b, y, k, group * per_group + o] += term
    return sums


def integers(dtype: DType, *shape: int, seed: int = 0) -> Any:
    """Integers from the whole range of a type."""
    low, high = limits(dtype)
    return np.random.default_rng(seed).integers(low, high + 1, shape).astype(dtype.numpy)
