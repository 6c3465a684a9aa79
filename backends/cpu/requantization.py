"""What a quantised call of sums gives to the kernel that computes it: how sums become results, with which numbers."""

from __future__ import annotations

import numpy as np

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.requantize import Requantization
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.types import Array, DType

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


def _activation(call: KernelCall) -> str:
    return str(dict(call.attributes).get("activation", "none"))
