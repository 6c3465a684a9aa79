"""Names by which people find nodes again: in placement tables, profiles and errors."""

from __future__ import annotations

from nascompiler.ir.graph import Graph, Node


def node_labels(graph: Graph) -> dict[Node, str]:
    """A distinct name for each node: that of its first result, or its op and position where that has none."""
    labels: dict[Node, str] = {}
    taken: set[str] = set()
    for index, node in enumerate(graph.nodes):
        label = node.results[0].name if node.results and node.results[0].name else f"{node.op.name}.{index}"
        if label in taken:
            label = f"{label}.{index}"
        taken.add(label)
        labels[node] = label
    return labels
