"""The range that loses the least information, as TensorRT chooses it, for affine integers."""

from __future__ import annotations

from math import inf

from nascompiler.ir import DType
from nascompiler.ir.dialects.qnn.arithmetic import limits
from nascompiler.passes.quantization.calibration.collectors import HistogramCollector
from nascompiler.passes.quantization.calibration.search import least_loss
from nascompiler.passes.quantization.parameters import activation_quantization
from nascompiler.passes.quantization.ranges import Range

BINS = 2048
"""As in TensorRT: of the numbers' whole range here, since it has two ends."""


class Entropy(HistogramCollector):
    """The ends, each by itself, whose quantised histogram has the least Kullback-Leibler divergence from the float one.

    Migacz, "8-bit inference with TensorRT", GPU Technology Conference 2017, clips |x| at one threshold: half of the
    integers are lost on activations that have one tail, as hard-swish has. Here both ends are searched for the affine
    integers that they give; bins below the lower end count to the first one inside, bins above the upper to the last.
    Exact zeros are left out on both sides, being exact at any scale. A range of fewer bins than integers tells nothing
    and is not considered; with 16-bit integers that leaves the widest.
    """

    summary = "the least Kullback-Leibler divergence of the histogram, TensorRT's method with two ends"

    def range(self, dtype: DType = DType.I8, symmetric: bool = False) -> Range:
        from nascompiler.passes.quantization.calibration import kernels

        edges, counts = self.histogram.bins(BINS)
        widest = Range(self.histogram.low, self.histogram.high)
        least, greatest = limits(dtype)
        if widest.low == widest.high or dtype.bytes > 1:
            return widest
        centres = (edges[0] + edges[1]) / 2
        width = float((edges[1] - edges[0]).max())

        def divergence(range: Range) -> float:
            quantization = activation_quantization(range, dtype, symmetric=symmetric)
            (scale,), (zero,) = quantization.scale, quantization.zero_point
            if range.high - range.low < (greatest - least + 1) * width:
                return inf
            return float(
                kernels.divergence(centres, counts, width, range.low, range.high, scale, least - zero, greatest - zero)
            )

        return least_loss(widest.including_zero(), divergence, together=symmetric)
