"""A graph as a networkx.DiGraph, for graph algorithms that others keep well."""

from __future__ import annotations

from typing import Any

import networkx as nx

from nascompiler.ir.graph import Graph


def to_networkx(graph: Graph) -> Any:
    """A `networkx.MultiDiGraph` whose nodes are our inputs (Value) and nodes (Node), and whose edges carry `value`.

    Constants and the terminator are left out. A snapshot: later changes of the graph do not show.
    """
    view = nx.MultiDiGraph(name=graph.name)
    for value in graph.inputs:
        view.add_node(value, op="input", type=value.type)
    for node in graph.nodes:
        view.add_node(node, op=node.op.name, attributes=node.attributes)
        for value in node.operands:
            if not value.is_constant:
                view.add_edge(value.producer if value.producer is not None else value, node, value=value)
    return view
