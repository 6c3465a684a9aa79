"""Names by which people find nodes again: in placement tables, profiles and errors."""

from __future__ import annotations

from nascompiler.ir.graph import Graph, Node


def node_labels(graph: Graph) -> dict[Node, str]:
    """A distinct name for each node: that of its first result, else where it came from and its op, else op and place.

    Names that several nodes would have get the place of the node behind them.
    """
    labels: dict[Node, str] = {}
    taken: set[str] = set()
    for index, node in enumerate(graph.nodes):
        label = node.results[0].name if node.results else ""
        if not label and node.origin:
            label = f"{node.origin.removeprefix('onnx:')}.{node.op.name.partition('.')[2]}"
        label = label or f"{node.op.name}.{index}"
        if label in taken:
            label = f"{label}.{index}"
        taken.add(label)
        labels[node] = label
    return labels
