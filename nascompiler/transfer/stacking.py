"""The architecture for other data: the same cells in another skeleton, or the same layers at another size."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import Graph, UsageError
from nascompiler.passes import run_pipeline
from nascompiler.spaces.transfer import stack_cells

CELL_OPS = ("arch.cell", "arch.stack")


@dataclass(frozen=True)
class Stacking:
    """How cells are stacked: the `skeleton` (one of `SKELETONS`; empty: the architecture's own), how many `cells` in
    each stack and how many `filters` in the first (0: as the skeleton has them), a `width` multiplier for what has no
    cells."""

    skeleton: str = ""
    cells: int = 0
    filters: int = 0
    width: float = 1.0


AS_IT_IS = Stacking()


def stacked(architecture: Graph, stacking: Stacking) -> Graph:
    """The architecture stacked anew, still at the arch level.

    Raises UsageError when the architecture has no cells and these are asked for, and for an unknown skeleton.
    """
    if architecture.level != "arch":
        raise UsageError(f"{architecture.name} is a network already; accepted: architectures, as a search writes them")
    has_cells = any(node.op.name in CELL_OPS for node in architecture.nodes)
    if not has_cells and (stacking.skeleton or stacking.cells or stacking.filters):
        raise UsageError(
            f"{architecture.name} is not made of cells, so they cannot be stacked; accepted for it: a width multiplier"
        )
    graph = stack_cells(architecture, stacking.skeleton) if stacking.skeleton else architecture.clone()
    if stacking.width != 1:
        graph = run_pipeline(graph, f"scale-width{{multiplier={stacking.width}}}")
    if stacking.filters:
        _set_filters(graph, stacking.filters)
    for node in list(graph.nodes):
        if stacking.cells and node.op.name == "arch.stack":
            graph.set_attributes(node, repeats=stacking.cells)
    return graph


def _set_filters(graph: Graph, filters: int) -> None:
    """So many filters in the first stack; other cells keep their ratio to it, rounded to even numbers, and so does the
    stem of a network for small images, which has three times as many (NASNet's released code)."""
    nodes = list(graph.nodes)
    first = next((node["filters"] for node in nodes if node.op.name == "arch.stack"), None)
    if first is None:
        raise UsageError(f"{graph.name} has no stack of cells, so the number of filters cannot be set")
    scaled = CELL_OPS if graph.attributes.get("family") != "nasnet-cifar" else (*CELL_OPS, "arch.conv")
    for node in nodes:
        if node.op.name in scaled:
            graph.set_attributes(node, filters=max(2, round(node["filters"] * filters / first / 2) * 2))
