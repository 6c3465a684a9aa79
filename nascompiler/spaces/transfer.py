"""Cells transfer: a pair of cells found on one data set is stacked into networks for others (NASNet, section 3)."""

from __future__ import annotations

from collections.abc import Iterable

from nascompiler import zoo
from nascompiler.ir import Graph, ModelError
from nascompiler.ir.attributes import symbols_in
from nascompiler.ir.errors import unknown

SKELETONS = {"cifar": "nasnet-a-cifar", "mobile": "nasnet-a-mobile", "large": "nasnet-a-large"}
"""The networks of the zoo whose cells are exchanged: 6 @ 768 for 32x32, 4 @ 1056 for 224x224, 6 @ 4032 for 331x331."""


def stack_cells(cells: Graph, skeleton: str) -> Graph:
    """The skeleton with the cells of `cells`, which may be open: then the result has the same choices.

    Raises UsageError for an unknown skeleton, ModelError where a cell is missing that the skeleton applies.
    """
    if skeleton not in SKELETONS:
        raise unknown("skeleton", skeleton, SKELETONS)
    graph = zoo.load(SKELETONS[skeleton])
    missing = [f"@{name}" for name in graph.cells if name not in cells.cells]
    if missing:
        present = ", ".join(f"@{name}" for name in cells.cells) or "none"
        raise ModelError(f"{cells.name} has no cell {' and no cell '.join(missing)}; its cells: {present}")
    graph.name = f"{cells.name}-{skeleton}"
    graph.cells = {name: cells.cells[name].clone() for name in graph.cells}
    wanted = _choices_of(cells, graph.cells.values())
    graph.choices = {name: choice for name, choice in cells.choices.items() if name in wanted}
    return graph


def _choices_of(space: Graph, cells: Iterable[Graph]) -> set[str]:
    """The choices that attributes inside the cells refer to, and those that these depend on."""
    values = (value for cell in cells for node in cell.nodes for value in node.attributes.values())
    waiting = [symbol.name for value in values for symbol in symbols_in(value)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found and name in space.choices:
            found.add(name)
            condition = space.choices[name].condition
            waiting.extend([condition[0]] if condition else [])
    return found
