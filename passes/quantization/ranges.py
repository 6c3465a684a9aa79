"""Intervals of real numbers: what calibration finds, and what scales and zero points are made from."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True)
class Range:
    """The real numbers from `low` to `high`, both finite."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"no range: {self.low} to {self.high}; accepted: finite numbers, the lower one first")

    def including_zero(self) -> Range:
        """The least range that also contains 0."""
        return Range(min(self.low, 0.0), max(self.high, 0.0))

    def union(self, other: Range) -> Range:
        """The least range that contains both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def clipped(self, low: float, high: float) -> Range:
        """Both ends moved into [low, high], which may be infinite on either side: `low <= high` is needed."""
        return Range(min(max(self.low, low), high), min(max(self.high, low), high))
