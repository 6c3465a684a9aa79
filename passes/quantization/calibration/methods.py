"""The ways to choose a range, by name."""

from __future__ import annotations

from collections.abc import Callable

from nascompiler.ir.errors import UsageError, unknown
from nascompiler.passes.quantization.calibration.collectors import Collector, MinMax, MovingAverage, Percentile
from nascompiler.passes.quantization.calibration.entropy import Entropy
from nascompiler.passes.quantization.calibration.mean_squared_error import MeanSquaredError

METHODS: dict[str, type[Collector]] = {
    "min-max": MinMax,
    "moving-average": MovingAverage,
    "percentile": Percentile,
    "mse": MeanSquaredError,
    "entropy": Entropy,
}
DEFAULT_METHOD = "mse"


def collector_maker(method: str) -> Callable[[], Collector]:
    """What makes the collectors of a method.

    `method` is one of `METHODS`, or `percentile:99.9`. Raises UsageError for anything else.
    """
    name, colon, option = method.partition(":")
    if name not in METHODS:
        raise unknown("calibration method", name, METHODS)
    if not colon:
        return METHODS[name]
    if name != "percentile":
        raise UsageError(f"the calibration method {name} has no option; accepted: {name}, or percentile:99.9")
    try:
        percentile = float(option)
    except ValueError:
        raise UsageError(f"the percentile {option!r} is no number; accepted: above 50, up to 100") from None
    Percentile(percentile)  # raises now what it would raise at the first value
    return lambda: Percentile(percentile)
