"""Rewards over time, and what random search would have reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir.errors import UsageError
from nascompiler.search import controllers
from nascompiler.search.objective import Objective
from nascompiler.search.result import SearchResult
from nascompiler.search.study import TrialRecord

Curve = NDArray[np.float64]

FEWEST = 5
"""Random draws below which nothing is said about random search."""


@dataclass(frozen=True)
class Baseline:
    """Random search: the mean reward of its draws, and the best of the first n of them as it is to be expected."""

    mean: float
    expected_best: Curve
    source: str


def trajectory(trials: Sequence[TrialRecord], objective: Objective) -> list[float]:
    """The reward of each trial, 0 for those that failed."""
    return [0.0 if t.evaluation is None else objective.reward(t.evaluation) for t in trials]


def best_so_far(rewards: Sequence[float]) -> Curve:
    return np.maximum.accumulate(np.asarray(rewards, float)) if len(rewards) else np.zeros(0)


def moving_mean(rewards: Sequence[float], window: int) -> Curve:
    """Of the last `window` rewards, or of all while there are fewer."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(rewards, float))])
    ends = np.arange(1, len(sums))
    begins = np.maximum(ends - window, 0)
    means: Curve = (sums[ends] - sums[begins]) / (ends - begins)
    return means


def expected_best(draws: Sequence[float]) -> Curve:
    """The expectation of the best of n of the draws, for n from 1 to their number.

    Of m draws in rising order the i-th is the best of n with the chance C(i - 1, n - 1) / C(m, n).
    """
    ordered = np.sort(np.asarray(draws, float))
    count = len(ordered)
    ranks = np.arange(1, count + 1, dtype=float)
    chances = np.full(count, 1.0 / count)  # for n = 1; the next follow by ratios of binomials
    found = np.empty(count)
    for n in range(1, count + 1):
        found[n - 1] = chances @ ordered
        if n < count:
            chances = chances * np.maximum(ranks - n, 0) / n * (n + 1) / (count - n)
    return found


def baseline(result: SearchResult, against: SearchResult | None = None) -> Baseline | None:
    """Random search from another study of the same space, or from what this one drew at random before it learnt.

    Raises UsageError for a study of another space.
    """
    settings = result.settings
    if against is not None:
        if against.space.graph.choices != result.space.graph.choices:
            raise UsageError(f"{against.path} searches {against.settings.space}, not {settings.space}")
        rewards = trajectory([t for t in against.trials if t.told is not None], result.objective)
        source = f"{len(rewards)} trials of {against.path.name} ({against.settings.controller})"
    else:
        count = controllers.random_draws(settings.controller, settings.preset)
        drawn = [t for t in result.trials[:count] if t.told is not None]
        rewards = trajectory(drawn, result.objective)
        source = f"the first {len(rewards)} trials, drawn before anything was learnt"
    return Baseline(float(np.mean(rewards)), expected_best(rewards), source) if len(rewards) >= FEWEST else None
