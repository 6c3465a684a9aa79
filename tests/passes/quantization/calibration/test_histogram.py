"""The streaming histogram: exact counts, whatever the order and the portions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascompiler.passes.quantization.calibration.histogram import BINS, Histogram

MAGNITUDES = st.floats(2.0**-40, 2.0**60, width=32)
NUMBERS = st.just(0.0) | MAGNITUDES | MAGNITUDES.map(lambda x: -x)
PORTIONS = st.lists(st.lists(NUMBERS, min_size=1, max_size=20), min_size=1, max_size=6)


def histogram(*portions):
    made = Histogram()
    for portion in portions:
        numbers = np.ascontiguousarray(portion, np.float32).reshape(-1)
        made.add(numbers, float(numbers.min()), float(numbers.max()))
    return made


def assert_same(one, other):
    assert (one.low, one.high, one.zeros) == (other.low, other.high, other.zeros)
    for a, b in zip(one.bins(), other.bins(), strict=True):
        assert np.array_equal(a, b)


@given(PORTIONS)
def test_portions_and_their_order_do_not_matter(portions):
    whole = histogram([x for portion in portions for x in portion])
    assert_same(histogram(*portions), whole)
    assert_same(histogram(*reversed(portions)), whole)


@given(PORTIONS)
def test_every_number_is_counted_in_the_bin_that_holds_it(portions):
    made = histogram(*portions)
    numbers = np.sort(np.array([x for portion in portions for x in portion], np.float32).astype(np.float64))
    edges, counts = made.bins()
    assert made.zeros == (numbers == 0).sum()
    assert made.total == numbers.size == counts.sum() + made.zeros
    numbers = numbers[numbers != 0]
    places = np.repeat(np.arange(counts.size), counts.astype(int))
    assert (edges[0, places] <= numbers).all()
    assert (numbers <= edges[1, places]).all()


def test_a_range_that_grows_on_both_sides_doubles_the_bins():
    generator = np.random.default_rng(0)
    portions = [generator.standard_normal(999) * 4.0**i + i for i in range(-6, 7)]
    made = histogram(*portions)
    assert_same(made, histogram(np.concatenate(portions)))
    edges, _ = made.bins()
    span = (edges[1, -1] - edges[0, 0]) / np.diff(edges, axis=0).max()
    assert BINS / 2 < span <= BINS


def test_a_constant_first_does_not_spoil_the_resolution():
    assert_same(histogram([5.0], [5.0, 5.0001]), histogram([5.0, 5.0, 5.0001]))
    assert histogram([5.0], [5.0001]).bins()[1].tolist() == [1, 1]


def test_bins_merge_to_at_most_so_many():
    made = histogram(np.random.default_rng(1).standard_normal(10_000))
    edges, counts = made.bins(64)
    assert counts.sum() == 10_000
    assert 32 < counts.size <= 64
    assert np.array_equal(edges[0, 1:] % 0.125, np.zeros(counts.size - 1))


@pytest.mark.parametrize("zeros", [0, 5_000])
def test_percentiles_are_those_of_the_numbers(zeros):
    numbers = np.concatenate([np.random.default_rng(2).standard_normal(5_000), np.zeros(zeros)])
    made = histogram(numbers[::2], numbers[1::2])
    for share in (0.0, 0.001, 0.3, 0.5, 0.9, 0.9999, 1.0):
        expected = np.quantile(numbers.astype(np.float32), share)
        assert made.percentile(share) == pytest.approx(expected, abs=0.02 if 0.002 < share < 0.99 else 0.1)
    assert made.percentile(0) == made.low
    assert made.percentile(1) == made.high


@pytest.mark.parametrize("numbers", [[1e-45], [-1e-45, 1e-45], [3e38, -3e38, 1e-45], [0.0], [-0.0, 1e-38]])
def test_the_ends_of_single_precision(numbers):
    made = histogram(numbers)
    assert made.total == len(numbers)
    assert made.bins()[1].sum() == sum(x != 0 for x in numbers)


def test_memory_does_not_grow():
    made = histogram(*(np.random.default_rng(i).standard_normal(1000) for i in range(50)))
    assert sum(a.nbytes for a in vars(made).values() if isinstance(a, np.ndarray)) == 8 * BINS
