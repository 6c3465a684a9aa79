"""The inner loops of fake quantisation, compiled by Numba at the first call; one pass over memory each.

torch would need eight passes there and back, several times the cost of the convolution in front. Arrays are float32
and contiguous. This module is imported where it is called: importing Numba takes half a second.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_PORTION = 4096
"""Sums are taken in float32 within a portion, which vectorises, and in float64 over them, which keeps their digits."""


@numba.njit(nogil=True, error_model="numpy")
def forward(x: Floats, scale: np.float32, low: np.float32, high: np.float32, result: Floats) -> None:
    """result = rint(clamp(x / scale, low, high)) * scale; NaN stays NaN."""
    for i in range(x.size):
        integer = x[i] / scale
        integer = low if integer < low else integer
        integer = high if integer > high else integer
        result[i] = np.rint(integer) * scale


@numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def backward(
    x: Floats, gradient: Floats, scale: np.float32, low: np.float32, high: np.float32, to_x: Floats
) -> tuple[float, float, float]:
    """Fills `to_x`: the gradient where x / scale lies within the limits, else 0.

    Returns the gradients for the scale, for `low` and for `high`; the scale's is the sum of gradient * (rint(q) - q)
    within the limits and of gradient * limit beyond.
    """
    to_scale, to_low, to_high = 0.0, 0.0, 0.0
    zero = np.float32(0)
    for start in range(0, x.size, _PORTION):
        inner, below, above = zero, zero, zero
        for i in range(start, min(start + _PORTION, x.size)):
            quotient, given = x[i] / scale, gradient[i]
            under, over = quotient < low, quotient > high
            passed = zero if under or over else given
            to_x[i] = passed
            inner += passed * (np.rint(quotient) - quotient)
            below += given if under else zero
            above += given if over else zero
        to_scale += float(inner + below * low + above * high)
        to_low += float(below * scale)
        to_high += float(above * scale)
    return to_scale, to_low, to_high
