"""The part of `assign-kernels` that is the TPU's: places for nodes, and how the layers of each region are laid out."""

from __future__ import annotations

from nascompiler.backends.target import Target
from nascompiler.backends.tpu.compiler.best import best_program
from nascompiler.backends.tpu.compiler.network import build_network
from nascompiler.backends.tpu.placement import assign, is_assigned, places
from nascompiler.backends.tpu.target import TpuTarget
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.labels import node_labels
from nascompiler.passes.infrastructure.base import PassContext


def assign_regions(graph: Graph, target: Target, context: PassContext) -> None:
    """Give every node a place; a graph whose nodes have places stays as it is.

    Raises ModelError when a region does not fit the machine.
    """
    assert isinstance(target, TpuTarget)
    if is_assigned(graph):
        return
    where = places(graph, target.machine)
    labels = node_labels(graph)
    regions: dict[int, list[Node]] = {}
    for node, place in where.items():
        if place.region is None:
            context.miss("tpu region", node, place.reason)
        else:
            regions.setdefault(place.region, []).append(node)
    texts: dict[str, str] = {}
    for number, nodes in regions.items():
        plan = best_program(build_network(f"{graph.name}.{number}", nodes, labels), target.machine).plan
        texts |= {label: str(mapping) for label, mapping in plan.mappings.items()}
    assign(graph, where, texts)
    context.count("regions", len(regions))
    context.count("nodes on the TPU", sum(map(len, regions.values())))
    context.count("nodes on the host", len(where) - sum(map(len, regions.values())))
