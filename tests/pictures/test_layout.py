"""Layered layouts: layers, crossings, positions."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascompiler.pictures.layout import crossings, layered, layers_of, ordered
from nascompiler.pictures.positions import isotonic


def random_graph(seed: int, nodes: int = 25) -> nx.DiGraph:
    generator = np.random.default_rng(seed)
    graph = nx.DiGraph()
    graph.add_nodes_from(f"n{i}" for i in range(nodes))
    for head in range(1, nodes):
        for tail in generator.choice(head, size=min(head, int(generator.integers(1, 4))), replace=False):
            graph.add_edge(f"n{tail}", f"n{head}")
    return graph


@pytest.mark.parametrize("seed", range(20))
def test_nodes_do_not_overlap_and_edges_go_forward(seed: int) -> None:
    graph = random_graph(seed)
    generator = np.random.default_rng(seed)
    sizes = {n: (float(generator.uniform(20, 90)), float(generator.uniform(20, 50))) for n in graph.nodes}
    layout = layered(graph, sizes, across=10)
    rows: dict[float, list[tuple[float, float]]] = {}
    for node, (x, y) in layout.centres.items():
        width = sizes[node][0]
        rows.setdefault(round(y, 6), []).append((x - width / 2, x + width / 2))
        assert x - width / 2 >= -1e-6
        assert x + width / 2 <= layout.width + 1e-6
    for row in rows.values():
        row.sort()
        assert all(b[0] - a[1] >= 10 - 1e-6 for a, b in pairwise(row))
    for route in layout.routes.values():
        assert all(a[1] <= b[1] for a, b in pairwise(route))
    assert layered(graph, sizes, across=10) == layout


def test_layers_are_longest_paths_and_sources_stand_near_their_use() -> None:
    graph = nx.DiGraph([("a", "b"), ("b", "c"), ("a", "c"), ("late", "c")])
    assert layers_of(graph) == {"a": 0, "b": 1, "c": 2, "late": 1}


def test_crossings() -> None:
    graph = nx.DiGraph([("a", "y"), ("b", "x")])
    assert crossings(graph, [["a", "b"], ["x", "y"]]) == 1
    assert crossings(graph, ordered(graph, [["a", "b"], ["x", "y"]])) == 0


def test_a_cycle_is_refused() -> None:
    with pytest.raises(nx.NetworkXUnfeasible):
        layered(nx.DiGraph([("a", "b"), ("b", "a")]), {"a": (1, 1), "b": (1, 1)})


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 10)), min_size=1, max_size=12))
def test_isotonic_regression_is_monotone_and_keeps_the_mean(pairs: list[tuple[float, float]]) -> None:
    values, weights = [list(column) for column in zip(*pairs, strict=True)]
    fitted = isotonic(values, weights)
    assert all(a <= b + 1e-9 for a, b in pairwise(fitted))
    assert np.dot(fitted, weights) == pytest.approx(np.dot(values, weights), abs=1e-6)


def test_isotonic_regression_against_a_search() -> None:
    assert isotonic([1, 3, 2, 4], [1, 1, 1, 1]) == [1, 2.5, 2.5, 4]
    assert isotonic([5, 1], [1, 3]) == [2, 2]
