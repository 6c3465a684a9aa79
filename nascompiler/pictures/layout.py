"""Layered drawings of directed graphs (Sugiyama, Tagawa, Toda 1981): layers, order within them, then positions.

Layers are by longest path from the sources; edges over several layers bend at invisible points of their own; the
order comes from barycentre sweeps, of which the one with the fewest crossings is kept. Nothing is random.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from nascompiler.pictures.positions import place

Point = tuple[float, float]
Size = tuple[float, float]

PORT = 14.0
"""Distance between edges where they meet a node, as far as it is wide enough."""

ROUND = 30.0
"""Edges meet nodes that are no wider than this in the middle."""

SWEEPS = 12
"""How often the order is improved downwards and upwards."""


@dataclass(frozen=True)
class Layout:
    """Centres of nodes, and for each edge the points that it goes through, ends at the borders of nodes included.

    y grows from the sources on; the drawing begins at (0, 0).
    """

    centres: dict[str, Point]
    routes: dict[tuple[str, str], tuple[Point, ...]]
    width: float
    height: float


def layered(graph: nx.DiGraph, sizes: Mapping[str, Size], *, across: float = 18, between: float = 34) -> Layout:
    """Lay out an acyclic graph whose nodes have (width, height) as given.

    `across` is the least distance between neighbours in a layer, `between` the one between layers. Raises
    networkx.NetworkXUnfeasible for a graph with cycles.
    """
    layer = layers_of(graph)
    chains = {(tail, head): _chain(tail, head, layer) for tail, head in graph.edges}
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node in graph.nodes:
        rows[layer[node]].append(node)
    bent = nx.DiGraph()
    bent.add_nodes_from(graph.nodes)
    for chain in chains.values():
        nx.add_path(bent, chain)
        for bend in chain[1:-1]:
            layer[bend] = layer[chain[0]] + chain.index(bend)
            rows[layer[bend]].append(bend)
    rows = ordered(bent, rows)
    widths = {node: sizes[node][0] if node in sizes else 2.0 for node in bent.nodes}
    x = place(bent, rows, widths, across, real=set(graph.nodes))
    heights = [max((sizes[n][1] for n in row if n in sizes), default=0.0) for row in rows]
    y = [sum(heights[:i]) + between * i + heights[i] / 2 for i in range(len(rows))]
    centres = {node: (x[node], y[layer[node]]) for node in graph.nodes}
    ports = _ports(graph, chains, x, sizes)
    routes = {}
    for (tail, head), chain in chains.items():
        start = (x[tail] + ports[tail, chain[1], "out"], centres[tail][1] + sizes[tail][1] / 2)
        end = (x[head] + ports[head, chain[-2], "in"], centres[head][1] - sizes[head][1] / 2)
        bends = []
        for bend in chain[1:-1]:
            half = heights[layer[bend]] / 2
            bends += [(x[bend], y[layer[bend]] - half), (x[bend], y[layer[bend]] + half)]
        routes[tail, head] = (start, *bends, end)
    right = max((x[n] + widths[n] / 2 for n in bent.nodes), default=0.0)
    return Layout(centres, routes, right, sum(heights) + between * (len(rows) - 1))


def _ports(
    graph: nx.DiGraph, chains: Mapping[tuple[str, str], list[str]], x: Mapping[str, float], sizes: Mapping[str, Size]
) -> dict[tuple[str, str, str], float]:
    """Where edges leave and enter nodes, as distances from their middle: in the order of the other ends."""
    ports: dict[tuple[str, str, str], float] = {}
    for node in graph.nodes:
        width = sizes[node][0]
        for side, others in (
            ("out", [chains[node, head][1] for head in graph.successors(node)]),
            ("in", [chains[tail, node][-2] for tail in graph.predecessors(node)]),
        ):
            others.sort(key=x.__getitem__)
            step = min(PORT, 0.7 * width / max(len(others) - 1, 1)) if width > ROUND else 0.0
            for index, other in enumerate(others):
                ports[node, other, side] = step * (index - (len(others) - 1) / 2)
    return ports


def layers_of(graph: nx.DiGraph) -> dict[str, int]:
    """The layer of each node: its longest path from a source, sources directly before their first successor."""
    layer: dict[str, int] = {}
    for node in nx.topological_sort(graph):
        layer[node] = max((layer[p] + 1 for p in graph.predecessors(node)), default=0)
    for node in graph.nodes:
        if graph.in_degree(node) == 0 and graph.out_degree(node):
            layer[node] = min(layer[s] for s in graph.successors(node)) - 1
    return layer


def _chain(tail: str, head: str, layer: Mapping[str, int]) -> list[str]:
    """The edge as a path with one invisible node in each layer that it crosses."""
    return [tail, *(f"{tail}\0{head}\0{i}" for i in range(layer[tail] + 1, layer[head])), head]


def ordered(graph: nx.DiGraph, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows so that few edges cross: each node goes to the mean place of its neighbours, down and up in turn."""
    current = [list(row) for row in rows]
    best, fewest = [list(row) for row in current], crossings(graph, current)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        indices = range(1, len(current)) if down else range(len(current) - 2, -1, -1)
        for index in indices:
            place_of = {n: i for i, n in enumerate(current[index - 1 if down else index + 1])}
            neighbours = graph.pred if down else graph.succ
            wanted = {}
            for own, node in enumerate(current[index]):
                places = [place_of[n] for n in neighbours[node] if n in place_of]
                wanted[node] = sum(places) / len(places) if places else float(own)
            current[index].sort(key=wanted.__getitem__)
        count = crossings(graph, current)
        if count < fewest:
            best, fewest = [list(row) for row in current], count
        if fewest == 0:
            break
    return best


def crossings(graph: nx.DiGraph, rows: Sequence[Sequence[str]]) -> int:
    """How many pairs of edges between neighbouring rows cross."""
    total = 0
    for upper, lower in pairwise(rows):
        place_of = {n: i for i, n in enumerate(lower)}
        seen: list[int] = []
        for node in upper:
            ends = sorted(place_of[s] for s in graph.succ[node] if s in place_of)
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
