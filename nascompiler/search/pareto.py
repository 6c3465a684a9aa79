"""The Pareto front of what was evaluated, and the hypervolume it dominates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
"""[points, objectives], each to be made small."""


def pareto_front(costs: Costs) -> list[int]:
    """Indices of the points that no other one dominates, in order of their costs; of equal points the first.

    A point dominates another when it is nowhere worse and somewhere better.
    """
    order = np.lexsort((np.arange(len(costs)), *costs.T[::-1]))
    if costs.shape[1] == 2 and len(costs):  # along the order only a new minimum of the second is not dominated
        second = costs[order, 1]
        least_before = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])
        return [int(index) for index in order[second < least_before]]
    front: list[int] = []
    kept = np.empty((0, costs.shape[1]))
    for index in order:  # in this order nobody is dominated by a later one
        if not (kept <= costs[index]).all(axis=1).any():
            front.append(int(index))
            kept = np.vstack([kept, costs[index]])
    return front


def hypervolume(costs: Costs, reference: Sequence[float]) -> float:
    """The volume between the front and a reference point, which is worse than all that shall count.

    By sweeping the last objective and measuring the cross-section of what lies below, exact in any dimension.
    """
    bound = np.asarray(reference, float)
    inside = costs[(costs < bound).all(axis=1)]
    if not len(inside):
        return 0.0
    if len(bound) == 1:
        return float(bound[0] - inside[:, 0].min())
    front = inside[pareto_front(inside)]
    if len(bound) == 2:
        return _area(front, bound)
    ordered = front[np.argsort(front[:, -1], kind="stable")]
    edges = np.append(ordered[1:, -1], bound[-1])
    volume = 0.0
    for count, (low, high) in enumerate(zip(ordered[:, -1], edges, strict=True), start=1):
        if high > low:
            volume += float(high - low) * hypervolume(ordered[:count, :-1], reference[:-1])
    return volume


def _area(front: Costs, bound: NDArray[np.float64]) -> float:
    """Of points in order of the first objective, which are in falling order of the second."""
    widths = np.append(front[1:, 0], bound[0]) - front[:, 0]
    return float((widths * (bound[1] - front[:, 1])).sum())
