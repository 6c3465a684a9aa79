"""Concatenations in one pass, together with the sums that are joined and the activation behind.

An activation that stands alone and needs exponentials is a join of one: TVM computes those number by number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from nascompiler.backends.cpu.activation import activation_of
from nascompiler.backends.cpu.implementation import candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target
from nascompiler.ir.attributes import Attribute
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import DType

EXPONENTIAL = frozenset({"sigmoid", "swish", "tanh"})
"""Activations that take exponentials."""

NONE: tuple[str, tuple[float, ...]] = ("none", ())

ROW = 64
"""Numbers of a row that are many."""

_TYPES = (DType.F32, DType.I8, DType.U8)


def fuse_joins(graph: Graph, target: Target) -> int:
    """activation(concat(a, b + c, ...)) = cpu.joined_sums(a, b, c, ...), where there is a kernel for it; how many.

    Bytes are only joined.
    """
    count = 0
    for node in list(graph.nodes):
        if node.op.name == "nn.concat" and all(v.type.dtype in _TYPES and v.type.size for v in node.operands):
            count += _fuse(graph, node, target)
    return count


def assign_exponentials(graph: Graph, target: Target) -> int:
    """sigmoid(x) = cpu.joined_sums(x), and so for every activation with exponentials behind no kernel; how many."""
    count = 0
    for node in list(graph.nodes):
        activation = activation_of(node)
        if activation is None or activation[0] not in EXPONENTIAL:
            continue
        x = node.operands[0]
        if x.type.dtype is DType.F32 and x.type.size and x.type.rank:
            how: dict[str, Attribute] = {"axis": _row_axis(x), "terms": (1,)}
            count += _replace(graph, target, node, [x], how, activation, [node])
    return count


def _row_axis(x: Value) -> int:
    """The last axis from which on a row has many numbers: threads share rows."""
    shape = x.type.static_shape
    return next((axis for axis in reversed(range(len(shape))) if prod(shape[axis:]) >= ROW), 0)


def _fuse(graph: Graph, node: Node, target: Target) -> bool:
    terms: list[int] = []
    operands: list[Value] = []
    sums: list[Node] = []
    is_float = node.result.type.dtype.is_float
    for part in node.operands:
        producer = part.producer
        if producer is not None and is_float and _is_sum(producer) and part.sole_user is node:
            sums.append(producer)
            operands += producer.operands
            terms.append(2)
        else:
            operands.append(part)
            terms.append(1)
    user = node.result.sole_user
    activation = activation_of(user) if user is not None and is_float else None
    last = node if user is None or activation is None else user
    how: dict[str, Attribute] = {"axis": node["axis"], "terms": tuple(terms)}
    return _replace(graph, target, node, operands, how, activation or NONE, [last, node, *sums])


def _replace(
    graph: Graph,
    target: Target,
    node: Node,
    operands: Sequence[Value],
    how: Mapping[str, Attribute],
    activation: tuple[str, tuple[float, ...]],
    absorbed: Sequence[Node],
) -> bool:
    """Put a join that stands for `node` in the place of some nodes, the last first; False where there is no kernel."""
    last, (name, parameters) = absorbed[0], activation
    op = OPS["cpu.joined_sums"]
    attributes = op.complete_attributes({**how, "activation": name, "activation_parameters": parameters})
    call = KernelCall(op.name, tuple(attributes.items()), tuple(v.type for v in operands), (last.result.type,))
    if any(v.is_constant for v in operands) or not candidates(call, target):
        return False
    names = (last.result.name,) if last.result.name else ()
    made = graph.insert(op, operands, attributes, before=last, names=names, origin=node.origin)
    graph.replace_all_uses(last.result, made.result)
    for gone in dict.fromkeys(absorbed):
        graph.erase(gone)
    return True


def _is_sum(node: Node) -> bool:
    return node.op.name == "nn.add" and all(v.type == node.result.type for v in node.operands)
