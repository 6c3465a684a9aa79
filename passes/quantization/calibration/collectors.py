"""What is remembered about the numbers of a value while samples pass, and the range that comes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import DType
from nascompiler.ir.errors import UsageError
from nascompiler.passes.quantization.calibration.histogram import Histogram
from nascompiler.passes.quantization.ranges import Range


class Collector(ABC):
    """Sees all numbers that share one range, a portion at a time, in memory that does not grow with them."""

    summary: ClassVar[str]

    @abstractmethod
    def observe(self, numbers: NDArray[np.float32], low: float, high: float) -> None:
        """Take in finite numbers [K], contiguous, the least of which is `low` and the greatest `high`."""

    def end_batch(self) -> None:
        """All numbers of a batch were observed."""
        return

    @abstractmethod
    def range(self, dtype: DType = DType.I8, symmetric: bool = False) -> Range:
        """The range to quantise to, once something was observed.

        `dtype` and `symmetric` say which integers it is for, see `parameters.activation_quantization`: where there are
        more of them, clipping pays less.
        """


class MinMax(Collector):
    """From the least to the greatest number seen."""

    summary = "from the least to the greatest number"

    def __init__(self) -> None:
        self._low, self._high = inf, -inf

    @property
    def is_empty(self) -> bool:
        """Whether nothing was observed yet."""
        return self._low > self._high

    def observe(self, numbers: NDArray[np.float32], low: float, high: float) -> None:
        self._low, self._high = min(self._low, low), max(self._high, high)

    def range(self, dtype: DType = DType.I8, symmetric: bool = False) -> Range:
        return Range(self._low, self._high)


class MovingAverage(Collector):
    """Moving averages of the least and the greatest number of each batch, as quantisation-aware training keeps them.

    end = momentum * end + (1 - momentum) * end of the batch, beginning with the ends of the first batch (Jacob et al.
    2018, arXiv:1712.05877, section 3.1). The only method whose result depends on the order of the samples and on how
    many make a batch.
    """

    summary = "moving averages of the ends of each batch"
    MOMENTUM = 0.9

    def __init__(self) -> None:
        self._batch = MinMax()
        self._average: Range | None = None

    def observe(self, numbers: NDArray[np.float32], low: float, high: float) -> None:
        self._batch.observe(numbers, low, high)

    def end_batch(self) -> None:
        if self._batch.is_empty:
            return
        batch, self._batch = self._batch.range(), MinMax()
        if self._average is None:
            self._average = batch
        else:
            keep, take = self.MOMENTUM, 1 - self.MOMENTUM
            old = self._average
            self._average = Range(keep * old.low + take * batch.low, keep * old.high + take * batch.high)

    def range(self, dtype: DType = DType.I8, symmetric: bool = False) -> Range:
        assert self._average is not None
        return self._average


class HistogramCollector(Collector):
    """Decides by a histogram of all numbers."""

    def __init__(self) -> None:
        self.histogram = Histogram()

    def observe(self, numbers: NDArray[np.float32], low: float, high: float) -> None:
        self.histogram.add(numbers, low, high)


class Percentile(HistogramCollector):
    """Leaves the same share of the numbers out at each end: 0.01 % by default, `percentile:99.9` for 0.1 %."""

    summary = "leaves out 0.01 % at each end; percentile:99.9 for 0.1 %"
    DEFAULT = 99.99

    def __init__(self, percentile: float = DEFAULT) -> None:
        super().__init__()
        if not 50 < percentile <= 100:
            raise UsageError(f"the percentile {percentile:g} is not accepted: above 50, up to 100")
        self.percentile = percentile

    def range(self, dtype: DType = DType.I8, symmetric: bool = False) -> Range:
        return Range(
            self.histogram.percentile(1 - self.percentile / 100), self.histogram.percentile(self.percentile / 100)
        )
