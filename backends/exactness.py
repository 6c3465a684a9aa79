"""Which outputs of a graph every correct implementation computes alike, to the last bit."""

from __future__ import annotations

from enum import Enum

from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.ops import Trait


class Exactness(Enum):
    """How far two correct implementations may differ in a value."""

    EXACT = "made of inputs by exact operations only"
    FLOAT = "made by float32 arithmetic, whose order of sums is free"
    ROUNDED = "made of such float32 numbers by rounding them to integers, which may fall one step apart"


_EXACT = frozenset(
    f"nn.{name}"
    for name in (
        "max_pool2d", "global_max_pool", "reduce_max", "reduce_min", "minimum", "maximum", "argmax", "argmin",
        "relu", "relu6", "clip", "neg", "abs", "sign", "where", "shape",
    )
)  # fmt: skip
"""What rounds nothing, beside the ops of qnn, whose every rounding is fixed, and those that move elements."""


def exactness(graph: Graph) -> dict[Value, Exactness]:
    """The class of every value of a graph that a node makes, of its outputs among them."""
    classes: dict[Value, Exactness] = {}
    for node in graph.nodes:
        operands = {classes.get(v, Exactness.EXACT) for v in node.operands}
        made = _class_of(node, operands)
        classes.update(dict.fromkeys(node.results, made))
    return {**dict.fromkeys((*graph.inputs, *graph.outputs), Exactness.EXACT), **classes}


def _class_of(node: Node, operands: set[Exactness]) -> Exactness:
    if Exactness.ROUNDED in operands:
        return Exactness.ROUNDED
    is_quantized = node.op.dialect == "qnn"
    if Exactness.FLOAT in operands:
        return Exactness.ROUNDED if is_quantized else Exactness.FLOAT
    values = (*node.operands, *node.results)
    without_rounding = (
        is_quantized
        or node.op.name in _EXACT
        or node.op.has(Trait.STRUCTURAL)
        or node.op.has(Trait.IDENTITY)
        or (node.op.has(Trait.ELEMENTWISE) and not any(v.type.dtype.is_float for v in values))
        or (node.op.name == "nn.resize" and node["mode"] == "nearest")
    )
    return Exactness.EXACT if without_rounding else Exactness.FLOAT
