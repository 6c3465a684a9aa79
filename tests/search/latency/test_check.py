"""Predictions against measurements: figures of the pairs as they are."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.errors import StoreError
from nascompiler.search.latency.check import (
    ANCHORS,
    Check,
    Pair,
    check_predictions,
    keep_check,
    kept_check,
    kept_error,
    rank_correlation,
)
from nascompiler.search.latency.end_to_end import NetworkTimer
from nascompiler.search.latency.predicted import PredictedLatency


def test_figures():
    made = [(110, 200, 100), (190, 400, 200), (300, 600, 300)]  # the machine is half as fast as it was
    pairs = tuple(Pair(i, p, m, 0.0, a, 0, False) for i, (p, m, a) in enumerate(made))
    check = Check("s", "cpu", pairs)
    assert check.slowdown == 2.0
    assert check.unanchored_error == pytest.approx((0.45 + 0.525 + 0.5) / 3)
    assert check.mean_error == pytest.approx(0.05)
    assert check.bias == pytest.approx((0.1 - 0.05) / 3)
    assert check.rank_correlation == 1.0


def test_rank_correlation_is_spearmans_with_shared_ranks():
    assert rank_correlation([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(0.8)
    assert rank_correlation([1, 2, 2, 3], [5, 6, 6, 9]) == pytest.approx(1.0)
    assert rank_correlation([1, 2], [2, 1]) == pytest.approx(-1.0)
    assert rank_correlation([1], [1]) != rank_correlation([1], [1])


def test_a_check_is_kept_and_states_the_error_from_then_on(space, target, known, measurer, network_worker):
    assert kept_error(space.name, target) is None
    predicted = PredictedLatency("cpu", known=known, measurer=measurer())
    with NetworkTimer(target, command=network_worker) as timer:
        check = check_predictions(space, target, range(7), predicted=predicted, timer=timer)
    assert [pair.number for pair in check.pairs] == list(range(7))
    assert {pair.measured_ns for pair in check.pairs} == {1001.0}  # as the worker makes up for names of one letter
    expected = [predicted.of(space.architecture(space.sample(seed))).ns for seed in ANCHORS.values()]
    slowdown = np.mean([(1000 + len(name)) / ns for name, ns in zip(ANCHORS, expected, strict=True)])
    assert [pair.anchored_ns for pair in check.pairs] == pytest.approx([1001 / slowdown] * 7)
    assert all(pair.predicted_ns > 1000 and pair.missing == 0 for pair in check.pairs)
    keep_check(check, target)
    assert kept_check(space.name, target) == check
    assert kept_error(space.name, target) == check.mean_error


def test_a_damaged_file_is_named(target, space):
    keep_check(Check(space.name, str(target), ()), target)
    assert kept_error(space.name, target) is None
    (path,) = (cache_folder() / "latency-tables").glob("*check.json")
    path.write_text("[")
    with pytest.raises(StoreError, match="cannot read the check"):
        kept_error(space.name, target)
