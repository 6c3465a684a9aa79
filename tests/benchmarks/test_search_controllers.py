"""The comparison of controllers, on the synthetic table and few seeds; the recorded one is for the slow run."""

import itertools

import numpy as np
import pytest

from benchmarks.search_controllers import compare, needed, recorded_worth, signed_rank_p
from nascompiler import spaces
from nascompiler.search.recorded.benchmark import SPACE
from tests.search.synthetic import space, worths

WORTH = {vector: accuracy for vector, (accuracy, _) in worths().items()}


def test_controllers_learn_on_the_synthetic_table():
    findings = compare(space(), WORTH, range(100, 108), 200)
    assert findings.evolution_needs <= findings.random_needs / 2
    assert findings.ppo_last > findings.percentile
    assert findings.ppo_area > findings.random_area
    assert findings.p_value < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("landscape", [2, 3])
def test_controllers_learn_on_other_landscapes(landscape):
    worth = {vector: accuracy for vector, (accuracy, _) in worths(landscape).items()}
    assert compare(space(), worth, range(20), 600).holds


@pytest.mark.slow
def test_controllers_learn_on_the_recorded_table():
    findings = compare(spaces.load(SPACE), recorded_worth(), range(20), 600)
    assert findings.evolution_needs <= findings.random_needs / 2
    assert findings.ppo_last > findings.percentile
    assert findings.ppo_area > findings.random_area
    assert findings.p_value < 0.05


def test_samples_needed_are_a_median_over_runs():
    runs = [np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0])]
    assert needed(runs, 1.0) == 3


@pytest.mark.parametrize("differences", [[1.0, -2.0, 3.0, 4.0], [0.5, 0.5, -0.5, 1.0, 0.0], [-1.0, -2.0]])
def test_the_signed_rank_test_counts_all_signs(differences):
    kept = [d for d in differences if d]
    order = sorted(map(abs, kept))
    ranks = [np.mean([i + 1 for i, size in enumerate(order) if size == abs(d)]) for d in kept]
    observed = sum(rank for rank, d in zip(ranks, kept, strict=True) if d > 0)
    ways = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product([False, True], repeat=len(kept))
    ]
    assert signed_rank_p(np.array(differences)) == pytest.approx(np.mean([way >= observed for way in ways]))


def test_no_difference_says_nothing():
    assert signed_rank_p(np.zeros(5)) == 1.0
