"""From ranges and weights to scales and zero points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, DType, Quantization
from nascompiler.ir.dialects.qnn.arithmetic import limits, reach
from nascompiler.ir.errors import UsageError, unknown
from nascompiler.passes.quantization.ranges import Range

Scales = NDArray[np.float32]

MINIMUM_SCALE = 2.0**-60
"""No scale is smaller: products and ratios of scales must stay normal numbers in float32."""

DEAD_RANGE = 1.0
"""The range, from 0, given to a value that is always 0, and the largest weight assumed where all are 0."""

WEIGHT_METHODS = ("max", "mse")
CLIP_FACTORS = np.linspace(1.0, 0.5, 51)
"""Shares of the largest weight at which `mse` tries to clip, the widest first: it wins a tie."""

MOST_AT_A_TIME = 1 << 16
"""Weights whose clips are compared together: they and their differences take half a megabyte."""

LARGEST_BIAS = 1 << 30
"""Half of what 32 bits hold; the other half is for the sums."""


def activation_quantization(range: Range, dtype: DType, *, symmetric: bool = False) -> Quantization:
    """The per-tensor quantisation that covers a range: real = scale * (integer - zero_point).

    The range is widened to contain 0, and the zero point is the integer nearest to where 0 falls, so that 0 is exact
    (Jacob et al. 2018, arXiv:1712.05877, section 3.1): the ends move by at most half a step. `symmetric` puts 0 in the
    middle: zero point 0, or 128 in u8. 16-bit integers are always symmetric, which costs one of their 16 bits at most
    and lets kernels leave out the zero point. A range from 0 to 0 is taken for one from 0 to 1, since a scale must not
    be 0: the scale is then 1/255 in i8, symmetric 1/127.
    """
    widened = range.including_zero()
    if widened.low == widened.high:
        widened = Range(0.0, DEAD_RANGE)
    least, greatest = limits(dtype)
    if symmetric or dtype.bytes > 1:
        middle = (least + greatest + 1) // 2
        scale = _positive(max(-widened.low, widened.high) / (greatest - middle))
        return Quantization.per_tensor(scale, middle)
    scale = _positive((widened.high - widened.low) / (greatest - least))
    zero_point = round(least - widened.low / scale)
    return Quantization.per_tensor(scale, min(max(zero_point, least), greatest))


def representable(quantization: Quantization, dtype: DType) -> Range:
    """The least and the greatest real number that a per-tensor quantisation can express."""
    (scale,), (zero_point,) = quantization.scale, quantization.zero_point
    least, greatest = limits(dtype)
    return Range(scale * (least - zero_point), scale * (greatest - zero_point))


def _positive(scale: float) -> float:
    return float(np.float32(max(scale, MINIMUM_SCALE)))


def weight_scales(
    weight: Array,
    axis: int,
    *,
    per_channel: bool = True,
    method: str = "max",
    dtype: DType = DType.I8,
) -> Scales:
    """Scales of symmetric weights, float32 [O] along `axis`, or [1] when not `per_channel`: w = scale * q, |q| <= 127.

    `max` is the largest |w| / 127 (32767 in i16). `mse` clips at the share of it, one of `CLIP_FACTORS`, that has the
    least sum of (w - scale * q)² in each channel. A channel of zeros gets the largest scale of the others, or 1/127
    where there are none: any scale keeps its weights, and a tiny one would blow up its bias.

    Raises UsageError for another method, and for weights that are not finite.
    """
    if method not in WEIGHT_METHODS:
        raise unknown("method for weights", method, WEIGHT_METHODS)
    if not np.isfinite(weight).all():
        raise UsageError("the weights are not finite: they hold NaN or infinity")
    channels = np.moveaxis(np.asarray(weight, np.float32), axis, 0)
    rows = channels.reshape(channels.shape[0], -1) if per_channel else channels.reshape(1, -1)
    _, greatest = limits(dtype)
    largest = np.abs(rows).max(axis=1, initial=0).astype(np.float64)
    dead = largest / greatest < MINIMUM_SCALE
    largest[dead] = largest.max() if not dead.all() else DEAD_RANGE
    scales: Scales = (largest / greatest).astype(np.float32)
    if method == "max" or not scales.size:
        return scales
    step = max(1, MOST_AT_A_TIME // max(rows.shape[1], 1))  # every clip is tried while the weights are in the cache
    parts = [slice(first, first + step) for first in range(0, len(rows), step)]
    found: Scales = np.concatenate([_least_squared_error(rows[part], scales[part], greatest) for part in parts])
    return found


def _least_squared_error(rows: NDArray[np.float32], widest: Scales, greatest: int) -> Scales:
    best, least = widest.copy(), np.full(len(rows), np.inf)
    for factor in CLIP_FACTORS:
        scales = (widest * factor).astype(np.float32)
        difference = np.divide(rows, scales[:, None])
        np.subtract(difference, np.clip(np.rint(difference), -greatest, greatest), out=difference)
        error = np.einsum("ij,ij->i", difference, difference, dtype=np.float64) * scales.astype(np.float64) ** 2
        better = error < least
        best[better], least[better] = scales[better], error[better]
    return best


def scales_for_bias(scales: Scales, bias: Array, x_scale: float) -> Scales:
    """The scales of weights, raised where the bias, an integer at x_scale * scale, would need more than 31 bits.

    `scales` is [O] or [1], `bias` [O] float. Only channels of tiny weights and a large bias are concerned.
    """
    needed = np.abs(np.asarray(bias, np.float64)) / (x_scale * LARGEST_BIAS)
    if scales.size == 1:
        needed = needed.max(initial=0, keepdims=True)
    raised: Scales = np.maximum(scales, needed.astype(np.float32))
    return raised


def scales_for_sums(scales: Scales, weight: Array, bias: Array | None, x: Quantization, x_dtype: DType) -> Scales:
    """The scales of weights, raised where sums with 16-bit numbers could need more than 32 bits, whatever x is.

    `scales` is [O] or [1], `weight` [..., O] and `bias` [O] are float. A sum of n products is at most reach(x) * (the
    sum of |w| / scale, and 1 for each of the n that is rounded); it has 31 bits less what bias correction may want.
    """
    limit = (1 << 31) * (1 - 1 / 64)
    magnitudes = np.abs(np.asarray(weight, np.float64)).reshape(-1, weight.shape[-1])
    farthest = reach(x_dtype, x.zero_point[0])
    left = limit - farthest * len(magnitudes)
    if left <= 0:
        return scales  # no scale makes it fit: the layer stays in float, and says so
    needed = magnitudes.sum(axis=0) * farthest / left
    if bias is not None and bias.size == needed.size:
        needed += np.abs(np.asarray(bias, np.float64)) / (x.scale[0] * left)
    if scales.size == 1:
        needed = needed.max(initial=0, keepdims=True)
    raised: Scales = np.maximum(scales, np.nextafter(needed.astype(np.float32), np.float32(np.inf)))
    return raised
