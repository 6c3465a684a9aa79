"""Facts about graphs that several passes and reports ask for. Passes get them through `context.analyses`."""

from __future__ import annotations

from nascompiler.ir.graph import Graph, Node, Value


def levels(graph: Graph) -> dict[Node, int]:
    """The length of the longest path from an input or constant to each node: 0 where no operand is computed.

    Nodes of one level do not depend on each other.
    """
    found: dict[Node, int] = {}
    for node in graph.nodes:
        producers = (value.producer for value in node.operands)
        found[node] = 1 + max((found[p] for p in producers if p is not None), default=-1)
    return found


def last_uses(graph: Graph) -> dict[Value, Node | None]:
    """The last node that reads each computed value and input; None for outputs, which live on, and for unused ones."""
    found: dict[Value, Node | None] = dict.fromkeys(graph.inputs)
    for node in graph.nodes:
        found.update((value, node) for value in node.operands if not value.is_constant)
        found.update(dict.fromkeys(node.results))
    found.update((value, None) for value in graph.outputs if not value.is_constant)
    return found


def live_bytes(graph: Graph) -> dict[Node, int | None]:
    """Bytes of activations that exist while each node runs, in the order of the graph.

    Counted are its operands and results and every value still needed later, inputs and outputs included, constants
    not; nothing is computed in place. None where a size among them is open.
    """
    last = last_uses(graph)
    found: dict[Node, int | None] = {}
    outputs = set(graph.outputs)
    alive = 0
    open_sizes = 0
    for value in graph.inputs:
        if last[value] is not None or value in outputs:
            alive, open_sizes = _add(alive, open_sizes, value, 1)
    for node in graph.nodes:
        for value in node.results:
            alive, open_sizes = _add(alive, open_sizes, value, 1)
        found[node] = None if open_sizes else alive
        ended = [v for v in dict.fromkeys(node.operands) if not v.is_constant and last[v] is node]
        ended += [v for v in node.results if last[v] is None and v not in outputs]
        for value in ended:
            alive, open_sizes = _add(alive, open_sizes, value, -1)
    return found


def _add(alive: int, open_sizes: int, value: Value, sign: int) -> tuple[int, int]:
    if value.type.is_static:
        return alive + sign * value.type.bytes, open_sizes
    return alive, open_sizes + sign


def peak_activation_bytes(graph: Graph) -> int | None:
    """The most bytes of activations alive at once in the order of the graph (see `live_bytes`); None where open."""
    sizes = live_bytes(graph).values()
    return None if any(size is None for size in sizes) else max((size for size in sizes if size is not None), default=0)
