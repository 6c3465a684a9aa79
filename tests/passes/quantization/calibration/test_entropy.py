"""The range of least divergence: it cuts thin tails and keeps what has mass."""

import numpy as np
import pytest

from nascompiler.ir import DType
from nascompiler.passes.quantization.calibration.entropy import Entropy
from nascompiler.passes.quantization.ranges import Range


def collected(numbers, dtype=DType.I8, symmetric=False, portions=1):
    collector = Entropy()
    for part in np.array_split(np.asarray(numbers, np.float32), portions):
        collector.observe(np.ascontiguousarray(part), float(part.min()), float(part.max()))
        collector.end_batch()
    return collector.range(dtype, symmetric)


@pytest.fixture(scope="module")
def normal():
    return np.random.default_rng(5).standard_normal(200_000)


def test_a_few_outliers_are_cut_off_at_either_end(normal):
    found = collected(np.concatenate([normal, [40.0] * 3]))
    assert 3 < found.high < 20
    assert -5 < found.low < -3
    found = collected(np.concatenate([normal, [-40.0] * 3]))
    assert -20 < found.low < -3
    assert 3 < found.high < 5


def test_the_mass_is_never_cut_off(normal):
    found = collected(np.concatenate([np.maximum(normal, 0), [-40.0] * 20]))
    assert found.high > 3


def test_numbers_spread_evenly_lose_nothing_by_a_wide_range():
    found = collected(np.random.default_rng(6).uniform(-1, 3, 500_000))
    assert found.low == pytest.approx(-1, abs=0.05)
    assert found.high == pytest.approx(3, abs=0.05)


def test_one_tail_keeps_all_integers(normal):
    x = 3 * normal
    found = collected(x * np.clip(x / 6 + 0.5, 0, 1))
    assert found.low == pytest.approx(-0.375, abs=0.05)
    assert found.high > 5


def test_zeros_do_not_weigh(normal):
    relu = np.maximum(normal, 0)
    assert collected(relu) == collected(np.concatenate([relu, np.zeros(10**6)]))


def test_portions_do_not_matter(normal):
    assert collected(normal) == collected(normal, portions=11) == collected(normal[::-1], portions=3)


def test_symmetric_moves_both_ends_together(normal):
    found = collected(np.concatenate([normal, [30.0, -60.0]]), symmetric=True)
    assert found.low / -60 == pytest.approx(found.high / 30)


def test_16_bits_cut_nothing(normal):
    assert collected(np.concatenate([normal, [50.0]]), DType.I16).high == 50


@pytest.mark.parametrize("constant", [0.0, 3.0, -3.0])
def test_constants_keep_their_value(constant):
    assert collected(np.full(10, constant)) == Range(constant, constant)


def test_very_few_numbers():
    assert collected([0.0, 1.0, 5.0]).high == 5
