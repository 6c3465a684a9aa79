"""What a quantised call of sums gives to the kernel that computes it: how sums become results, with which numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.requantize import SMALL_RESULTS, SMALL_SUMS, Requantization, lifted
from nascompiler.backends.target import Isa
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.types import Array, DType

_MOST = 2.0**30

_REAL = ("hard_swish", "hard_sigmoid")
"""Activations that are computed on real numbers, before those are divided by the result's scale."""


def requantization(call: KernelCall) -> Requantization:
    """How the sums of a call become its result."""
    dtype, activation = call["dtype"], _activation(call)
    return Requantization(dtype, activation if dtype.is_float or activation in _REAL else "none")


def requantization_sizes(call: KernelCall) -> dict[str, int]:
    """The zero point and the limits of an integer result; nothing for float32."""
    dtype, activation = call["dtype"], _activation(call)
    if dtype.is_float:
        return {}
    narrowing = "none" if activation in _REAL else activation
    low, high = arithmetic.clamp_limits(dtype, narrowing, call["scale"], call["zero_point"])
    return {"zero_point": call["zero_point"], "low": low, "high": high}


def requantization_constants(call: KernelCall, x_scale: float, weight_scale: Array) -> dict[str, Array]:
    """The multiplier of each channel's sums, `scale` [features], and what else `Requantization.pointers` has."""
    kind = requantization(call)
    scales = np.asarray(weight_scale, np.float32)
    is_real_first = kind.dtype is DType.F32 or kind.activation != "none"
    factors = (
        np.multiply(scales, np.float32(x_scale))
        if is_real_first
        else arithmetic.multipliers(x_scale, scales, call["scale"])
    )
    made: dict[str, Array] = {"scale": np.ascontiguousarray(np.broadcast_to(factors, call.result.static_shape[-1:]))}
    if "inverse_scale" in kind.pointers:
        made["inverse_scale"] = np.asarray([arithmetic.ratio(1, call["scale"])], np.float32)
    return made


def for_bounded_sums(made: Implementation, call: KernelCall) -> Implementation:
    """`made` for constants with which no sum can be large, and itself for the others.

    On x86 it is the packing of bytes that gains when no scaled sum exceeds 32 bits, on ARM the conversion of sums that
    are smaller than SMALL_SUMS. The kernel has a field `requantization`.
    """
    kernel: Any = made.kernel
    if kernel.isa.architecture == "aarch64":
        small = replace(kernel, requantization=_of_small_sums(call, kernel.requantization))
        return replace(
            made,
            kernel=small,
            constants=lambda operands: _with_lifted_offsets(made.constants(operands)),
            suits=lambda operands: _is_small(call, operands),
            otherwise=made,
        )
    if call["dtype"].bytes != 1:
        return made
    bounded = replace(kernel, requantization=replace(kernel.requantization, bounded=True))
    return replace(made, kernel=bounded, suits=lambda operands: _is_bounded(call, operands), otherwise=made)


def for_small_results(call: KernelCall, kind: Requantization, isa: Isa, largest: float) -> Requantization:
    """The same where what is rounded is at most `largest` in size, if that helps."""
    return _of_small_sums(call, kind) if isa.architecture == "aarch64" and largest < SMALL_RESULTS - 1 else kind


def _of_small_sums(call: KernelCall, kind: Requantization) -> Requantization:
    """The same for small sums, with what else may be promised of a call."""
    small = replace(kind, small=True)
    if kind.dtype.bytes != 1:
        return small
    sizes = requantization_sizes(call)
    whole = (sizes["low"], sizes["high"]) == arithmetic.limits(kind.dtype)
    return replace(small, even=sizes["zero_point"] % 2 == 0, whole=whole)


def _with_lifted_offsets(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {**arrays, "offset": lifted(arrays["offset"])}


def _is_small(call: KernelCall, operands: Mapping[int, Array]) -> bool:
    """Whether the largest sum there can be is less than SMALL_SUMS, and what is rounded of it than SMALL_RESULTS."""
    most = _largest_sums(call, operands)
    return float(most.max(initial=0.0)) < SMALL_SUMS and _largest_result(call, operands, most) < SMALL_RESULTS - 1


def _largest_sums(call: KernelCall, operands: Mapping[int, Array]) -> Array:
    """The largest size that the sum of each channel can have."""
    weight = operands[1].reshape(-1, operands[1].shape[-1]).astype(np.float64)
    zero_point = call["b_zero_point" if call.op == "qnn.matmul" else "weight_zero_point"]
    most: Array = 255 * np.abs(weight - zero_point).sum(axis=0) + np.abs(np.asarray(operands.get(3, 0), np.float64))
    return most


def _is_bounded(call: KernelCall, operands: Mapping[int, Array]) -> bool:
    """Whether the largest sum there can be, scaled, is less than 2 ** 31, with room for the rounding on the way."""
    return _largest_result(call, operands, _largest_sums(call, operands)) < _MOST


def _largest_result(call: KernelCall, operands: Mapping[int, Array], most: Array) -> float:
    """The largest size of a number that is rounded, of sums of at most such sizes; of float32 results there is none."""
    if call["dtype"].is_float:
        return 0.0
    is_matmul = call.op == "qnn.matmul"
    scale = np.asarray(call["b_scale"], np.float32) if is_matmul else operands[2]
    made = requantization_constants(call, call["a_scale" if is_matmul else "x_scale"], scale)
    inverse = float(made["inverse_scale"][0]) if "inverse_scale" in made else 1.0
    largest = float((most * np.abs(made["scale"].astype(np.float64))).max(initial=0.0)) * inverse
    return max(largest, inverse) if _activation(call) == "hard_sigmoid" else largest


def _activation(call: KernelCall) -> str:
    return str(dict(call.attributes).get("activation", "none"))
