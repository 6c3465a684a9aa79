"""The integer arithmetic that all ops of the dialect share: exact sums, and one way to round.

Sums of products are exact int32 values. They become integers of a result by `requantize`: one multiplication in
float32, rounding to the nearest, halves to the even one, clamping, and adding the zero point as an integer. Each step
in float32 is rounded to nearest even; no two of them may be contracted into a fused multiply-add.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir.errors import ModelError
from nascompiler.ir.types import Array, DType

Integers = NDArray[Any]
Floats = NDArray[np.float32]

EXACT_IN_FLOAT32 = 1 << 24
ACCUMULATOR_LIMIT = 1 << 31

_HALF = np.float32(0.5)
_SIXTH = np.float32(1 / 6)


@cache
def limits(dtype: DType) -> tuple[int, int]:
    """The least and the greatest integer of a type."""
    info = np.iinfo(dtype.numpy.name)
    return int(info.min), int(info.max)


def clamp_limits(dtype: DType, activation: str, scale: float, zero_point: int) -> tuple[int, int]:
    """The least and the greatest result: those of the type, narrowed by a relu or relu6 that follows."""
    low, high = limits(dtype)
    if activation in ("relu", "relu6"):
        low = min(max(low, zero_point), high)
    if activation == "relu6":
        high = min(high, int(np.rint(np.float32(6) / np.float32(scale))) + zero_point)
    return low, max(low, high)


def quantize(x: Array, scale: float, zero_point: int, dtype: DType) -> Integers:
    """clamp(rint(x / scale) + zero_point), the division in float32; NaN becomes the zero point."""
    scaled = np.divide(x.astype(np.float32, copy=False), np.float32(scale))
    return to_integers(number_or_zero(scaled), zero_point, dtype, limits(dtype))


def number_or_zero(x: Floats) -> Floats:
    """NaN, which no integer stands for, as zero."""
    return np.where(np.isnan(x), np.float32(0), x)


def dequantize(q: Array, scale: float | Floats, zero_point: int) -> Floats:
    """float32(q - zero_point) * scale."""
    return shifted(q, zero_point).astype(np.float32) * np.asarray(scale, np.float32)


def along(scale: Array, axis: int, rank: int) -> Floats:
    """Scales shaped so that they broadcast along one axis of a tensor."""
    shape = [1] * rank
    shape[axis] = -1
    return np.asarray(scale, np.float32).reshape(shape)


def shifted(q: Array, zero_point: int) -> Integers:
    """q - zero_point, in int32."""
    return np.subtract(q.astype(np.int32), np.int32(zero_point))


def ratio(numerator: float, denominator: float) -> np.float32:
    """float32(numerator / denominator), of numbers that are float32 themselves."""
    return np.float32(np.float32(numerator) / np.float32(denominator))


def multipliers(x_scale: float, weight_scale: Floats, scale: float) -> Floats:
    """float32(float32(x_scale * weight_scale) / scale): what an accumulator is multiplied by, for each channel."""
    return np.divide(np.multiply(weight_scale, np.float32(x_scale)), np.float32(scale))


def to_integers(f: Floats, zero_point: int, dtype: DType, bounds: tuple[int, int]) -> Integers:
    """clamp(rint(f) + zero_point, *bounds). The clamp comes first here, which is the same and cannot overflow."""
    low, high = (np.float32(bound - zero_point) for bound in bounds)
    rounded = np.rint(np.clip(f, low, high)).astype(np.int32)
    return (rounded + np.int32(zero_point)).astype(dtype.numpy)


def requantize(
    accumulator: Integers,
    x_scale: float,
    weight_scale: Floats,
    *,
    scale: float,
    zero_point: int,
    dtype: DType,
    activation: str,
) -> Array:
    """An int32 accumulator at scale x_scale * weight_scale as a result, by one of three formulas:

    dtype f32:                  y = activation(float32(acc) * (x_scale * weight_scale))
    hard_swish, hard_sigmoid:   the same, then q = clamp(rint(y * float32(1 / scale)) + zero_point)
    otherwise:                  q = clamp(rint(float32(acc) * multiplier) + zero_point, low, high), where
                                multiplier = (x_scale * weight_scale) / scale and relu, relu6 narrow low and high
    """
    acc = accumulator.astype(np.float32)
    if not dtype.is_float and activation not in ("hard_swish", "hard_sigmoid"):
        bounds = clamp_limits(dtype, activation, scale, zero_point)
        return to_integers(np.multiply(acc, multipliers(x_scale, weight_scale, scale)), zero_point, dtype, bounds)
    real = activate(np.multiply(acc, np.multiply(weight_scale, np.float32(x_scale))), activation)
    if dtype.is_float:
        return real
    return to_integers(np.multiply(real, ratio(1, scale)), zero_point, dtype, limits(dtype))


def activate(x: Floats, activation: str) -> Floats:
    """An activation in float32, step by step: hard_sigmoid(x) = clamp(x * float32(1 / 6) + 0.5, 0, 1)."""
    if activation == "none":
        return x
    if activation in ("relu", "relu6"):
        return np.clip(x, np.float32(0), np.float32(6 if activation == "relu6" else np.inf))
    gate = np.clip(np.add(np.multiply(x, _SIXTH), _HALF), np.float32(0), np.float32(1))
    return gate if activation == "hard_sigmoid" else np.multiply(x, gate)


def reach(dtype: DType, zero_point: int) -> int:
    """The largest |q - zero_point| of a type."""
    low, high = limits(dtype)
    return max(high - zero_point, zero_point - low)


def accumulator_bound(
    weight: Array, weight_zero_point: int, x_dtype: DType, x_zero_point: int, bias: Array | None = None
) -> int:
    """The largest |sum of products| that any input can give, for weights whose last axis is the output channel; with
    a bias [O], that of the sum with it."""
    magnitude = np.abs(weight.astype(np.int64) - weight_zero_point)
    sums = magnitude.reshape(-1, weight.shape[-1]).sum(axis=0) if weight.size else magnitude.sum(keepdims=True)
    bound = sums.reshape(-1) * reach(x_dtype, x_zero_point)
    if bias is not None:
        added = np.abs(bias.astype(np.int64))
        bound = bound + (added if added.size == bound.size else added.max(initial=0))
    return int(np.max(bound, initial=0))


def exact_dtype(bound: int) -> type[np.float32 | np.float64]:
    """The float type in which sums of integers up to `bound` are exact in any order: BLAS then does the work."""
    return np.float32 if bound < EXACT_IN_FLOAT32 else np.float64


def accumulated(sums: Array, bias: Array | None) -> Integers:
    """Exact sums, plus the bias, in int32; raises ModelError when one does not fit."""
    total = sums.astype(np.int64)
    if bias is not None:
        total += bias.astype(np.int64)
    if total.size and max(-int(total.min()), int(total.max())) >= ACCUMULATOR_LIMIT:
        raise ModelError("an accumulator exceeds 32 bits; use 8-bit activations here, or keep the layer in float")
    return np.asarray(total.astype(np.int32))
