"""Before the export: what ONNX has no single operator for is written out in smaller ops."""

from __future__ import annotations

from nascompiler.ir.builder import Builder
from nascompiler.ir.dialects.nn.fused import ACTIVATION
from nascompiler.ir.graph import Graph, Node
from nascompiler.onnx.emitters.table import EMITTERS


def write_out(graph: Graph) -> None:
    """Expand composites without an ONNX form, and detach the activations that ops apply to their own results."""
    composites = [node for node in graph.nodes if node.op.name not in EMITTERS and node.op.decompose is not None]
    while composites:
        for node in composites:
            _expand(graph, node)
        composites = [node for node in graph.nodes if node.op.name not in EMITTERS and node.op.decompose is not None]
    nodes = list(graph.nodes)
    for node, following in zip(nodes, [*nodes, None][1:], strict=True):
        if node.op.attribute(ACTIVATION.name) is ACTIVATION and node[ACTIVATION.name] != "none":
            _detach_activation(graph, node, following)


def _expand(graph: Graph, node: Node) -> None:
    assert node.op.decompose is not None
    builder = Builder(graph, before=node, origin=node.origin)
    made = node.op.decompose(builder, *node.op.padded(node.operands), **node.attributes)
    for old, new in zip(node.results, made if isinstance(made, tuple) else (made,), strict=True):
        graph.replace_all_uses(old, new)
    graph.erase(node)


def _detach_activation(graph: Graph, node: Node, following: Node | None) -> None:
    """act(op(x)) in two nodes; the second takes over the name and the uses of the result."""
    activation, result = node[ACTIVATION.name], node.result
    uses, name = result.uses, result.name
    graph.set_attributes(node, activation="none")
    result.name = ""
    activated = graph.insert(f"nn.{activation}", [result], before=following, names=[name], origin=node.origin).result
    for user, index in uses:
        graph.set_operand(user, index, activated)
