"""Min-max, moving average and percentile on numbers whose range is known."""

import numpy as np
import pytest

from nascompiler.ir.errors import UsageError
from nascompiler.passes.quantization.calibration.collectors import MinMax, MovingAverage, Percentile
from nascompiler.passes.quantization.ranges import Range


def fed(collector, *batches):
    for batch in batches:
        numbers = np.asarray(batch, np.float32)
        collector.observe(numbers, float(numbers.min()), float(numbers.max()))
        collector.end_batch()
    return collector.range()


def test_min_max():
    assert fed(MinMax(), [1, 2], [-3, 0], [2, 5]) == Range(-3, 5)


def test_moving_average_starts_with_the_first_batch_and_moves_by_a_tenth():
    assert fed(MovingAverage(), [-1, 10]) == Range(-1, 10)
    found = fed(MovingAverage(), [-1, 10], [-2, 20], [-1, 10])
    assert found.low == pytest.approx(0.9 * (0.9 * -1 + 0.1 * -2) + 0.1 * -1)
    assert found.high == pytest.approx(0.9 * (0.9 * 10 + 0.1 * 20) + 0.1 * 10)


def test_moving_average_takes_all_portions_of_a_batch_together():
    collector = MovingAverage()
    for numbers in ([1.0, 2.0], [-7.0, 0.0]):
        collector.observe(np.array(numbers, np.float32), *numbers)
    collector.end_batch()
    assert collector.range() == Range(-7, 2)


def test_percentile_cuts_the_same_share_at_each_end():
    numbers = np.random.default_rng(0).permutation(np.linspace(-1, 3, 100_001))
    found = fed(Percentile(), *np.array_split(numbers, 7))
    assert (found.low, found.high) == (pytest.approx(-0.9996, abs=1e-4), pytest.approx(2.9996, abs=1e-4))
    found = fed(Percentile(90), numbers)
    assert (found.low, found.high) == (pytest.approx(-0.6, abs=1e-3), pytest.approx(2.6, abs=1e-3))
    assert fed(Percentile(100), numbers) == Range(-1, 3)


@pytest.mark.parametrize("percentile", [50, 0, 100.1, float("nan")])
def test_percentiles_that_are_none(percentile):
    with pytest.raises(UsageError, match="not accepted: above 50, up to 100"):
        Percentile(percentile)
