"""Parameters, multiply-adds and bytes of a graph, per node and in total."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir.evaluate import decomposition
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.ops import Operand, Trait


@dataclass(frozen=True)
class NodeCost:
    """What a node computes and moves.

    `macs` are the multiply-adds of convolutions and matrix products; `bytes` what it reads and writes once each
    (operands, weights included, and results). None where a size is not known.
    """

    macs: int | None
    bytes: int | None


@dataclass(frozen=True)
class GraphCost:
    """Totals of a graph. `macs` and `bytes` are None while a size is open."""

    params: int
    macs: int | None
    bytes: int | None


def node_cost(node: Node) -> NodeCost:
    """The cost of one node; a composite op costs what its decomposition does."""
    values = dict.fromkeys([*node.operands, *node.results])
    if any(not v.type.is_static for v in values):
        return NodeCost(None if _multiplies(node) else 0, None)
    return NodeCost(_macs(node), sum(v.type.bytes for v in values))


def _multiplies(node: Node) -> bool:
    return node.op.macs is not None or node.op.is_composite


def _macs(node: Node) -> int:
    op = node.op
    types = tuple(v.type for v in node.operands)
    if op.macs is not None:
        return op.macs(node.results[0].type, *op.padded(types), **node.attributes)
    if op.decompose is not None:
        inner = decomposition(op, types, tuple(node.attributes.items()))
        return sum(_macs(n) for n in inner.nodes)
    return 0


def graph_cost(graph: Graph) -> GraphCost:
    """Totals of a graph: the sums over its nodes."""
    macs: int | None = 0
    moved: int | None = 0
    for node in graph.nodes:
        cost = node_cost(node)
        macs = None if macs is None or cost.macs is None else macs + cost.macs
        moved = None if moved is None or cost.bytes is None else moved + cost.bytes
    return GraphCost(sum(v.type.size for v in parameters(graph)), macs, moved)


def _is_arithmetic(node: Node) -> bool:
    return node.op.has(Trait.ELEMENTWISE) and sum(o.parameter for o in node.op.operands) > 1


def _is_weight(node: Node, declared: Operand, value: Value) -> bool:
    if node.op.dialect != "qnn":
        return value.type.dtype.is_float or value.type.quantization is not None
    return declared.name in ("x", "weight", "bias")


def parameters(graph: Graph) -> list[Value]:
    """The constants that count as parameters, once each.

    Weights, biases, batch-norm scale and shift count, in float and quantised; moving statistics, shapes and indices do
    not, nor what only says how integers are read (scales, tables), nor single numbers in element-by-element arithmetic,
    such as the 3 and 6 of a hard-swish that is written out.
    """
    found: dict[object, Value] = {}
    for node in graph.nodes:
        for index, value in enumerate(node.operands):
            declared = node.op.operand_at(index)
            if value.constant is None or declared is None or not declared.parameter:
                continue
            if _is_weight(node, declared, value) and (value.type.size > 1 or not _is_arithmetic(node)):
                found.setdefault(id(value.constant), value)
    return list(found.values())
