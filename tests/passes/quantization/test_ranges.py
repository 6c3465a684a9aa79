"""Intervals: unions, clipping, and what is no interval."""

from math import inf, nan

import pytest

from nascompiler.passes.quantization.ranges import Range


@pytest.mark.parametrize(
    "range, expected",
    [
        (Range(1, 2), Range(0, 2)),
        (Range(-2, -1), Range(-2, 0)),
        (Range(-2, 3), Range(-2, 3)),
        (Range(0, 0), Range(0, 0)),
    ],
)
def test_including_zero(range, expected):
    assert range.including_zero() == expected


def test_union_is_the_least_that_contains_both():
    assert Range(-1, 2).union(Range(1, 5)) == Range(-1, 5)
    assert Range(3, 4).union(Range(-4, -3)) == Range(-4, 4)


@pytest.mark.parametrize(
    "range, limits, expected",
    [
        (Range(-5, 10), (-3, inf), Range(-3, 10)),
        (Range(-5, 10), (-inf, 6), Range(-5, 6)),
        (Range(-1, 1), (-3, 6), Range(-1, 1)),
        (Range(-9, -5), (-3, inf), Range(-3, -3)),  # beyond the limits nothing but the limit is left
        (Range(7, 9), (0, 6), Range(6, 6)),
    ],
)
def test_clipping_moves_both_ends(range, limits, expected):
    assert range.clipped(*limits) == expected


@pytest.mark.parametrize("low, high", [(1, 0), (nan, 1), (0, nan), (-inf, 0), (0, inf)])
def test_what_is_no_range(low, high):
    with pytest.raises(ValueError, match=r"no range.*accepted: finite numbers"):
        Range(low, high)
