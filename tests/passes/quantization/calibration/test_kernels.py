"""The compiled loops against NumPy."""

import numpy as np
import pytest

from nascompiler.passes.quantization.calibration import kernels


def test_rows_are_added_one_after_the_other():
    rows = np.random.default_rng(0).standard_normal((100, 7)).astype(np.float32)
    whole, parts = np.zeros(7), np.zeros(7)
    kernels.add_rows(rows, whole)
    for part in np.array_split(rows, 9):
        kernels.add_rows(part, parts)
    assert np.array_equal(whole, parts)
    assert whole == pytest.approx(rows.sum(axis=0, dtype=np.float64), rel=1e-12)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1000])
def test_counts(size):
    numbers = np.random.default_rng(size).integers(-9, 10, size).astype(np.float32) / 4
    counts = np.zeros(64, np.int64)
    assert kernels.count(numbers, np.float32(2), -32, counts) == (numbers == 0).sum()
    places = np.floor(numbers[numbers != 0] * 2).astype(int) + 32
    assert np.array_equal(counts, np.bincount(places, minlength=64))


@pytest.mark.parametrize("scale, least, greatest", [(0.1, -128, 127), (0.03, -20, 235), (0.5, 0, 3), (1e-4, -9, 9)])
def test_squared_error_is_the_mean_over_each_bin(scale, least, greatest):
    """Against the sum over many points of each bin; bins narrower and wider than a step, and bins of no width."""
    edges = np.array([[-3.0, -1.0, 0.5, 0.51, 2.0], [-1.0, 0.5, 0.51, 2.0, 2.0]])
    counts = np.array([3.0, 10.0, 7.0, 1.0, 4.0])
    points = edges[0] + (np.arange(200_000)[:, None] + 0.5) / 200_000 * (edges[1] - edges[0])
    rounded = np.clip(np.rint(points / scale), least, greatest) * scale
    expected = (((points - rounded) ** 2).mean(axis=0) * counts).sum()
    assert kernels.squared_error(edges, counts, scale, least, greatest) == pytest.approx(expected, rel=1e-4)


def divergence(counts, begin, end, levels):
    """The formula on all bins 0, 1, ..., empty ones included: bins begin to end, `levels` to a level."""
    inside = np.asarray(counts[begin:end], np.float64)
    p = inside.copy()
    p[0] += sum(counts[:begin])
    p[-1] += sum(counts[end:])
    q = np.zeros_like(inside)
    level = np.rint((np.arange(begin, end) + 0.5) / levels)
    for one in np.unique(level):
        members = (level == one) & (inside > 0)
        if members.any():
            q[members] = inside[members].mean()
    q[q == 0] = 1e-4
    q /= inside.sum()
    p /= p.sum()
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


@pytest.mark.parametrize("begin, end", [(0, 40), (0, 20), (5, 33), (7, 12)])
@pytest.mark.parametrize("empty", [(), (6, 7, 8, 31, 32), (0, 5, 39)])
def test_divergence_by_its_definition(begin, end, empty):
    counts = np.random.default_rng(4).integers(1, 50, 40)
    counts[list(empty)] = 0
    (filled,) = counts.nonzero()
    found = kernels.divergence(
        filled + 0.5, counts[filled].astype(np.float64), 1.0, float(begin), float(end), 3.0, -128, 127
    )
    assert found == pytest.approx(divergence(counts, begin, end, 3), rel=1e-12)


def test_a_range_without_numbers_is_infinitely_far():
    assert kernels.divergence(np.array([5.5]), np.array([3.0]), 1.0, 0.0, 4.0, 1.0, 0, 255) == np.inf
