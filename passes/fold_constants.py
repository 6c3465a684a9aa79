"""Evaluates at compile time what depends on constants only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nascompiler.ir import Array, Error, Graph, Node, Value
from nascompiler.ir.evaluate import evaluate_node
from nascompiler.ir.graph import infer_types, refine_node
from nascompiler.passes.infrastructure.base import Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass

_DEQUANTIZING = ("qnn.dequantize", "qnn.dequantize_per_axis")


@register_pass
@dataclass(frozen=True)
class FoldConstants(Pass):
    """Replaces nodes whose operands are all constants by what the reference evaluation makes of them.

    `nn.shape` folds as soon as the sizes it asks for are known. Results larger than `max_bytes` and larger than the
    operands together stay computed, so that an `expand` of one number does not become megabytes of weights. Quantised
    weights stay integers: dequantising them is not folded.
    """

    max_bytes: int = 1 << 20

    may_ensure = frozenset({"static-shapes"})

    def run(self, graph: Graph, context: PassContext) -> None:
        for body in graph.bodies:
            self._fold(body, context)

    def _fold(self, graph: Graph, context: PassContext) -> None:
        fresh: set[Value] = set()
        for node in graph.nodes:
            if not fresh.isdisjoint(node.operands):  # an operand has become constant: sizes may be known by it
                fresh.update(refine_node(graph, node))
            arrays = self._folded(node, context)
            if arrays is None:
                continue
            for value, array in zip(node.results, arrays, strict=True):
                constant = graph.constant(array, value.name)
                graph.replace_all_uses(value, constant)
                fresh.add(constant)
            graph.erase(node)
            context.count("nodes folded")

    def _folded(self, node: Node, context: PassContext) -> tuple[Array, ...] | None:
        """What the node computes, or None when that is not known or not to be stored."""
        if node.op.name == "nn.shape":
            return _known_sizes(node)
        if not node.operands or not all(value.is_constant for value in node.operands):
            return None
        reason = self._reason_to_keep(node)
        if reason is None:
            try:
                return evaluate_node(node, [value.constant.array for value in node.operands if value.constant])
            except Error as error:
                reason = str(error)
        context.miss("f(constants) = constant", node, reason)
        return None

    def _reason_to_keep(self, node: Node) -> str | None:
        if node.op.name in _DEQUANTIZING:
            return "its constants are quantised, and stay integers"
        if any(value.array is None for value in node.operands):
            return "the values of its operands are not loaded"
        if node.op.is_open(node.attributes) or (node.op.evaluate is None and node.op.decompose is None):
            return "it waits for a choice"
        if node.op.name in ("qnn.dequantize", "qnn.dequantize_per_axis"):
            return "its operand is stored as integers, and integer ops take it as such"
        try:
            types = infer_types(node)
        except Error as error:
            return str(error)
        if not all(t.is_static for t in types):
            return "the size of its result is not known"
        size = sum(t.bytes for t in types)
        if size > max(self.max_bytes, sum(v.type.bytes for v in dict.fromkeys(node.operands))):
            return f"its result of {size} bytes is larger than its operands and than max-bytes={self.max_bytes}"
        return None


def _known_sizes(node: Node) -> tuple[Array, ...] | None:
    shape = node.operands[0].type.shape
    sizes = None if shape is None else shape[node["start"] : node["end"]]
    if sizes is None or not all(isinstance(size, int) for size in sizes):
        return None
    return (np.array(sizes, np.int64),)
