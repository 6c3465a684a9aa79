"""The inner loops of calibration, compiled by Numba at the first call. Arrays are contiguous and finite.

This module is imported where it is called: importing Numba takes half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    return cast("Function", numba.njit(nogil=True)(function))


@_compiled
def add_rows(rows: NDArray[np.float32], sums: Floats) -> None:
    """Add the rows of [R, C] to sums [C], one after the other: the order, and so the result, depends on no batch."""
    for row in range(rows.shape[0]):
        for channel in range(rows.shape[1]):
            sums[channel] += rows[row, channel]


_PORTION = 256


@_compiled
def count(numbers: NDArray[np.float32], per_width: np.float32, first: int, counts: Counts) -> int:
    """Count numbers other than 0 in bin floor(number * per_width) - first; returns how many are 0.

    All bins must exist: nothing is checked here.
    """
    zeros = 0
    offset = np.int32(first)
    places = np.empty(_PORTION, np.int32)
    for start in range(0, numbers.size, _PORTION):  # two loops, so that the first is done in vectors
        length = min(_PORTION, numbers.size - start)
        for i in range(length):
            number = numbers[start + i]
            zeros += number == 0
            places[i] = np.int32(np.floor(number * per_width)) - offset
        for i in range(length):
            counts[places[i]] += 1
    if zeros:
        counts[-first] -= zeros
    return zeros


@_compiled
def squared_error(edges: Floats, counts: Floats, scale: float, least: int, greatest: int) -> float:
    """The sum of (x - Q(x))² over a histogram, Q rounding to the multiples least * scale ... greatest * scale.

    `edges` [2, B] holds the ends of the bins, `counts` [B]. Numbers are taken to be spread evenly over their bin, and
    the integral over it is exact, however wide it is: with j the integer nearest to t / scale, clamped to least and
    greatest, (t - Q(t))² has the integral scale³ * (j / 12 + (t / scale - j)³ / 3): each whole step adds scale³ / 12.
    """
    total = 0.0
    for i in range(counts.size):
        start, end = edges[0, i] / scale, edges[1, i] / scale
        from_ = min(max(np.rint(start), least), greatest)
        to = min(max(np.rint(end), least), greatest)
        if end > start:
            integral = (to - from_) / 12 + ((end - to) ** 3 - (start - from_) ** 3) / 3
            total += counts[i] * integral / (end - start)
        else:
            total += counts[i] * (start - from_) ** 2
    return total * scale * scale


_NEXT_TO_NOTHING = 1e-4
"""What an empty bin of Q counts as where P is not empty."""


@_compiled
def divergence(
    centres: Floats, counts: Floats, width: float, low: float, high: float, scale: float, least: int, greatest: int
) -> float:
    """Kullback-Leibler divergence of a histogram clipped to [low, high] from what its quantised form tells about it.

    `centres` and `counts` [B] are those of the bins that are not empty, `width` wide. P has the bins whose centre lies
    in [low, high], those outside added to the bins at the two ends. Q has the bins without these additions; all of one
    integer share their sum evenly, as far as they are not empty. Returns infinity when no bin lies inside.
    """
    begin, end = 0, counts.size
    below, above = 0.0, 0.0
    while begin < end and centres[begin] < low:
        below += counts[begin]
        begin += 1
    while end > begin and centres[end - 1] > high:
        end -= 1
        above += counts[end]
    inside = counts[begin:end].sum()
    if inside == 0:
        return np.inf
    total = inside + below + above
    result = 0.0
    if below > 0 and centres[begin] - low > width:  # the bin at this end is empty but for what is added
        result += below / total * log((below / total) / (_NEXT_TO_NOTHING / inside))
        below = 0.0
    if above > 0 and high - centres[end - 1] > width:
        result += above / total * log((above / total) / (_NEXT_TO_NOTHING / inside))
        above = 0.0
    start = begin
    while start < end:
        level = min(max(np.rint(centres[start] / scale), least), greatest)
        stop, sum_ = start, 0.0
        while stop < end and min(max(np.rint(centres[stop] / scale), least), greatest) == level:
            sum_ += counts[stop]
            stop += 1
        q = sum_ / (stop - start) / inside
        for i in range(start, stop):
            p = counts[i]
            if i == begin:
                p += below
            if i == end - 1:
                p += above
            result += p / total * log(p / total / q)
        start = stop
    return result
