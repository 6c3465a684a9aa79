"""Horizontal positions in layered drawings: near the neighbours, in order, and apart.

Each sweep solves, row by row, least squares under order and distance exactly: isotonic regression by pooling adjacent
violators. A neighbour with many edges pulls little on each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import networkx as nx

SWEEPS = 24

STRAIGHT = 8.0
"""How much more a bend of a long edge pulls than a node does: long edges run straight."""

SETTLED = 6.0
"""How much more the row just settled pulls than the one still to come: else long chains slant."""


def place(
    graph: nx.DiGraph, rows: Sequence[Sequence[str]], widths: Mapping[str, float], gap: float, *, real: Set[str]
) -> dict[str, float]:
    """The centre of every node; the leftmost border is at 0. Nodes that are not `real` are bends of edges."""
    x: dict[str, float] = {}
    for row in rows:
        offset = 0.0
        for node in row:
            x[node] = offset + widths[node] / 2
            offset += widths[node] + gap
        for node in row:
            x[node] -= (offset - gap) / 2
    for sweep in range(SWEEPS):
        down = sweep % 2 == 1
        for row in rows if down else reversed(rows):
            _settle(graph, row, x, widths, gap, real, down=down)
    left = min((x[node] - widths[node] / 2 for node in x), default=0.0)
    return {node: value - left for node, value in x.items()}


def _settle(
    graph: nx.DiGraph,
    row: Sequence[str],
    x: dict[str, float],
    widths: Mapping[str, float],
    gap: float,
    real: Set[str],
    *,
    down: bool,
) -> None:
    before, after = (SETTLED, 1.0) if down else (1.0, SETTLED)
    wanted, weights, offsets, offset = [], [], [], 0.0
    for index, node in enumerate(row):
        if index:
            offset += (widths[row[index - 1]] + widths[node]) / 2 + gap
        offsets.append(offset)
        total = weight = 0.0
        pulls = [(other, before / graph.out_degree(other)) for other in graph.pred[node]]
        pulls += [(other, after / graph.in_degree(other)) for other in graph.succ[node]]
        for other, pull in pulls:
            pull *= STRAIGHT if node not in real and other not in real else 1.0
            total, weight = total + pull * x[other], weight + pull
        wanted.append((total / weight if weight else x[node]) - offset)
        weights.append(weight or 0.1)
    for node, value, shift in zip(row, isotonic(wanted, weights), offsets, strict=True):
        x[node] = value + shift


def isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The non-decreasing numbers with the least weighted sum of squared distances to `values`."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (b, weight_b, length_b), (a, weight_a, length_a) = pools.pop(), pools.pop()
            both = weight_a + weight_b
            pools.append(((a * weight_a + b * weight_b) / both, both, length_a + length_b))
    return [mean for mean, _, length in pools for _ in range(length)]
