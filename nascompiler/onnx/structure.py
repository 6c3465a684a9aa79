"""Checks on the graph as written: names defined once, inputs that exist, an order without cycles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import onnx

from nascompiler.onnx.errors import OnnxError

_SHOWN = 20


def node_name(node: onnx.NodeProto, index: int) -> str:
    """The node's name, or `OpType#index` (its place in the file) when it has none."""
    return node.name or f"{node.op_type}#{index}"


def sorted_nodes(label: str, graph: onnx.GraphProto) -> list[tuple[int, onnx.NodeProto]]:
    """The nodes with their places in the file, in an order in which every input is made before it is used.

    Raises OnnxError listing names defined twice, inputs and outputs that nothing defines, and nodes on a cycle.
    """
    given = _given_names(label, graph)
    producer: dict[str, int] = {}
    twice = []
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in given or name in producer:
                twice.append(f"{name!r} (again by {node_name(node, index)})")
            producer[name] = index
    _raise_if(label, "defined twice", twice)
    missing = [
        f"{name!r} (used by {node_name(node, index)})"
        for index, node in enumerate(graph.node)
        for name in node.input
        if name and name not in given and name not in producer
    ]
    missing += [f"{o.name!r} (an output)" for o in graph.output if o.name not in given and o.name not in producer]
    _raise_if(label, "missing: nothing defines it, neither an input, an initializer nor a node", missing)
    return [(index, graph.node[index]) for index in _order(label, graph, producer)]


def _given_names(label: str, graph: onnx.GraphProto) -> set[str]:
    inputs = [i.name for i in graph.input]
    initializers = [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
    outputs = [o.name for o in graph.output]
    for kind, names in (("input", inputs), ("initializer", initializers), ("output", outputs)):
        seen: set[str] = set()
        _raise_if(label, "defined twice", [f"{kind} {n!r}" for n in names if n in seen or seen.add(n)])  # type: ignore[func-returns-value]
        if "" in seen:
            raise OnnxError(f"{label}: an {kind} has no name")
    return {*inputs, *initializers}


def _order(label: str, graph: onnx.GraphProto, producer: dict[str, int]) -> list[int]:
    """Kahn's algorithm; the order of the file wherever that is valid."""
    needs = [{producer[name] for name in node.input if name in producer} for node in graph.node]
    if all(max(need, default=-1) < index for index, need in enumerate(needs)):
        return list(range(len(needs)))
    users = defaultdict(list)
    for index, need in enumerate(needs):
        for other in need:
            users[other].append(index)
    waiting = [len(need) for need in needs]
    order = [index for index, count in enumerate(waiting) if count == 0]
    for index in order:  # grows while it is read
        for user in users[index]:
            waiting[user] -= 1
            if waiting[user] == 0:
                order.append(user)
    if len(order) < len(needs):
        stuck = [node_name(graph.node[index], index) for index, count in enumerate(waiting) if count]
        _raise_if(label, "on or behind a cycle", stuck)
    return order


def _raise_if(label: str, fault: str, names: Iterable[str]) -> None:
    listed = list(names)
    if listed:
        more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
        raise OnnxError(f"{label}: {fault}: {', '.join(listed[:_SHOWN])}{more}")
