"""Pictures of graphs as SVG: cells, networks by their blocks, networks by their operations."""

from __future__ import annotations

from nascompiler.ir import Graph
from nascompiler.pictures.cell import draw_cell
from nascompiler.pictures.network import draw_network
from nascompiler.pictures.operations import draw_operations
from nascompiler.pictures.svg import Canvas

__all__ = ["draw", "draw_cell", "draw_network", "draw_operations"]

APART = 56.0
"""Between a network and its cells."""


def draw(graph: Graph) -> str:
    """The graph as an SVG file: an architecture by its blocks, its cells beside them; a network by its operations."""
    if graph.level != "arch":
        return draw_operations(graph).render(graph.name)
    page = Canvas()
    page.add(draw_network(graph), 0, 0)
    x, y = page.right + APART, 0.0
    for cell in graph.cells.values():
        page.add(drawn := draw_cell(cell, graph), x, y)
        y += drawn.bottom - drawn.top + APART
    return page.render(graph.name)
