"""A histogram of a stream of numbers whose range is not known before its end."""

from __future__ import annotations

from math import floor, frexp, inf, ldexp

import numpy as np
from numpy.typing import NDArray

BINS = 8192
"""At least half of them lie within the range: 16 to 32 to a step of 8-bit integers, 64 KiB a histogram."""

_LEAST_EXPONENT = -100
"""Bins are never narrower than 2**-100, whose inverse float32 still holds."""

_MANTISSA_BITS = 24
"""Of a float32; narrower bins would tell nothing more apart, and their numbers must fit integers."""


class Histogram:
    """Counts of the numbers in [i, i + 1) * 2**exponent, for the least exponent at which the range fits `BINS` bins.

    A wider range doubles the width of bins: pairs of them become one, and no number is counted in a wrong bin. So the
    state depends on the numbers alone, never on their order or on how they came in portions (but for negative numbers
    2**120 times nearer to 0 than the greatest, which may be taken for positive ones). Exact zeros, which relu and
    padding make in masses and which every quantisation represents, are counted apart.
    """

    def __init__(self) -> None:
        self.low, self.high = inf, -inf
        self.zeros = 0
        self._exponent = _LEAST_EXPONENT
        self._first = 0
        self._counts = np.zeros(BINS, np.int64)

    @property
    def total(self) -> int:
        """How many numbers were added."""
        return self.zeros + int(self._counts.sum())

    def add(self, numbers: NDArray[np.float32], low: float, high: float) -> None:
        """Count finite numbers [K], contiguous, the least of which is `low` and the greatest `high`."""
        from nascompiler.passes.quantization.calibration import kernels

        if low < self.low or high > self.high:
            self._widen(min(low, self.low), max(high, self.high))
        per_width = np.float32(ldexp(1.0, -self._exponent))
        self.zeros += kernels.count(numbers, per_width, self._first, self._counts)

    def _widen(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        exponent = self._exponent
        if low < high:
            exponent = max(exponent, frexp(high - low)[1] - BINS.bit_length())
        if low != 0 or high != 0:
            exponent = max(exponent, frexp(max(-low, high))[1] - _MANTISSA_BITS)
        while floor(ldexp(high, -exponent)) - floor(ldexp(low, -exponent)) >= BINS:
            exponent += 1
        first = floor(ldexp(low, -exponent))
        (old,) = self._counts.nonzero()
        counts = np.zeros(BINS, np.int64)
        np.add.at(counts, ((old + self._first) >> min(exponent - self._exponent, 63)) - first, self._counts[old])
        self._exponent, self._first, self._counts = exponent, first, counts

    def bins(self, most: int = BINS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The bins that are not empty, merged by powers of two until at most `most` span the range, without the zeros.

        Returns their ends [2, B], ascending and within the range, and their counts [B].
        """
        exponent = self._exponent
        (filled,) = self._counts.nonzero()
        counts = self._counts[filled]
        places = filled + self._first
        while places.size and places[-1] - places[0] >= most:
            exponent += 1
            places, where = np.unique(places >> 1, return_inverse=True)
            counts = np.bincount(where, counts).astype(np.int64)
        width = ldexp(1.0, exponent)
        edges = np.clip(np.stack([places * width, (places + 1) * width]), self.low, self.high)
        return edges, counts.astype(np.float64)

    def percentile(self, share: float) -> float:
        """The number below which lies the given share, from 0 to 1, of all; linear within a bin."""
        edges, counts = self.bins()
        here = int(np.searchsorted(edges[0], 0.0)) if self.zeros else 0
        if self.zeros:
            edges = np.insert(edges, here, 0.0, axis=1)
            counts = np.insert(counts, here, self.zeros)
        ends = np.cumsum(counts)
        wanted = share * ends[-1]
        place = min(int(np.searchsorted(ends, wanted)), counts.size - 1)
        inside = 1 - (ends[place] - wanted) / counts[place]
        return float(edges[0, place] + (edges[1, place] - edges[0, place]) * min(max(inside, 0.0), 1.0))
