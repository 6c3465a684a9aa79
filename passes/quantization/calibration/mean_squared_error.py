"""The range whose integers are nearest to the numbers, by the sum of squared differences."""

from __future__ import annotations

from nascompiler.ir import DType
from nascompiler.ir.dialects.qnn.arithmetic import limits
from nascompiler.passes.quantization.calibration.collectors import HistogramCollector
from nascompiler.passes.quantization.calibration.search import least_loss
from nascompiler.passes.quantization.parameters import activation_quantization
from nascompiler.passes.quantization.ranges import Range


class MeanSquaredError(HistogramCollector):
    """The ends, each by itself, with the least sum of (x - Q(x))², Q rounding to the very integers that are used.

    Clipping a tail costs the square of what is cut off, a wide range scale² / 12 for each number, and nothing for exact
    zeros. Choosing clip thresholds by this error: Banner et al. 2019, arXiv:1810.05723; the search is over a histogram
    instead of an assumed distribution, and over both ends.
    """

    summary = "the least sum of squared rounding and clipping errors"

    def range(self, dtype: DType = DType.I8, symmetric: bool = False) -> Range:
        from nascompiler.passes.quantization.calibration import kernels

        edges, counts = self.histogram.bins()
        least, greatest = limits(dtype)

        def error(range: Range) -> float:
            quantization = activation_quantization(range, dtype, symmetric=symmetric)
            (scale,), (zero,) = quantization.scale, quantization.zero_point
            return float(kernels.squared_error(edges, counts, scale, least - zero, greatest - zero))

        widest = Range(self.histogram.low, self.histogram.high)
        if widest.low == widest.high:
            return widest
        return least_loss(widest.including_zero(), error, together=symmetric or dtype.bytes > 1)
