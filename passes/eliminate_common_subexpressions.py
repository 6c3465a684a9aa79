"""Computes what is computed twice only once."""

from __future__ import annotations

from collections.abc import Hashable

from nascompiler.ir import Graph, Node, Value
from nascompiler.passes.infrastructure.base import Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass


@register_pass
class EliminateCommonSubexpressions(Pass):
    """Merges nodes that apply the same op with the same attributes to the same operands, and constants that are equal.

    Constants are compared by content, lazy ones that nobody has looked at yet by being the same one. Nodes of the
    `arch` dialect stay: two equal ones get weights of their own when they are expanded.
    """

    def run(self, graph: Graph, context: PassContext) -> None:
        for body in graph.bodies:
            _merge_constants(body, context)
            _merge_nodes(body, context)


def _merge_constants(graph: Graph, context: PassContext) -> None:
    first: dict[Hashable, Value] = {}
    for value in graph.constants:
        constant = value.constant
        assert constant is not None
        content: Hashable = id(constant) if constant.is_pending else constant
        same = first.setdefault((value.type, content), value)
        if same is not value:
            graph.replace_all_uses(value, same)
            context.count("constants merged")


def _merge_nodes(graph: Graph, context: PassContext) -> None:
    first: dict[Hashable, Node] = {}
    merged: dict[Value, Value] = {}
    for node in graph.nodes:
        if not merged.keys().isdisjoint(node.operands):  # all at once: a concat may join thousands
            graph.set_operands(node, [merged.get(value, value) for value in node.operands])
        if node.op.dialect == "arch":
            continue
        same = first.setdefault(_key(node), node)
        if same is not node:
            merged.update(zip(node.results, same.results, strict=True))
            for value, kept in zip(node.results, same.results, strict=True):
                kept.name = kept.name or value.name
            context.count("nodes merged")
    if not merged.keys().isdisjoint(graph.outputs):
        outputs = (merged.get(value, value) for value in graph.outputs)
        graph.set_outputs(dict(zip(graph.output_names, outputs, strict=True)))
    for value in merged:
        if value.index == 0 and value.producer is not None:
            graph.erase(value.producer)


def _key(node: Node) -> Hashable:
    """What makes two nodes compute the same. Attributes by their text: 0.0 is -0.0 and 1 is true by value, not here."""
    attributes = tuple((name, repr(value)) for name, value in node.attributes.items())
    return node.op.name, node.operands, attributes, tuple(value.type for value in node.results)
