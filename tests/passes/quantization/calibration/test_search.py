"""The search for two ends."""

import pytest

from nascompiler.passes.quantization.calibration.search import least_loss
from nascompiler.passes.quantization.ranges import Range


def test_each_end_is_found_for_itself():
    found = least_loss(Range(-10, 100), lambda r: (r.low + 2.5) ** 2 + (r.high - 60) ** 2 / 100)
    assert found.low == pytest.approx(-2.5, abs=10 / 1024)
    assert found.high == pytest.approx(60, abs=100 / 1024)


def test_ends_that_depend_on_each_other():
    found = least_loss(Range(-8, 8), lambda r: (r.high - r.low - 6) ** 2 + 0.1 * (r.high + 2 * r.low) ** 2)
    assert found.high == pytest.approx(4, abs=0.3)
    assert found.low == pytest.approx(-2, abs=0.3)


def test_together_keeps_the_proportion():
    found = least_loss(Range(-4, 8), lambda r: (r.high - 2) ** 2, together=True)
    assert (found.low, found.high) == (pytest.approx(-1, abs=0.02), pytest.approx(2, abs=0.02))


def test_of_equal_losses_the_wider_wins():
    assert least_loss(Range(-1, 1), lambda _: 0.0) == Range(-1, 1)


def test_an_end_at_zero_stays_there():
    assert least_loss(Range(0, 8), lambda r: abs(r.high - 8)) == Range(0, 8)


def test_it_takes_a_few_hundred_evaluations():
    calls = []
    least_loss(Range(-10, 100), lambda r: calls.append(r) or (r.low + 2.5) ** 2 + (r.high - 60) ** 2)
    assert len(calls) < 600
