"""Squeeze-and-excitation without passes of its own over the image.

The depthwise convolution in front sums its channels while it has them in registers, and the pointwise convolution
behind multiplies by the gate as it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nascompiler.backends.cpu.implementation import candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target
from nascompiler.ir.attributes import Attribute
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.ops import OPS


def fuse_gates(graph: Graph, target: Target) -> None:
    """cpu.conv2d(x * gate) = cpu.gated_conv2d(x, gate), where there is a kernel for it."""
    for node in list(graph.nodes):
        factors = _factors(node) if node.op.name == "nn.mul" else None
        user = node.result.sole_user if factors is not None else None
        if factors is None or user is None or user.op.name != "cpu.conv2d" or user.operands[0] is not node.result:
            continue
        if any(other is node.result for other in user.operands[1:]) or not is_pointwise(user):
            continue
        x, gate = factors
        operands = (x, user.operands[1], user.operands[2], gate, *user.operands[3:])
        attributes = {name: user[name] for name in ("activation", "activation_parameters")}
        if replace_call(graph, user, "cpu.gated_conv2d", operands, attributes, target) is not None:
            graph.erase(node)


def pool_on_the_way(graph: Graph, target: Target) -> None:
    """Means of what a depthwise convolution computes, for a gate: its second result, where there is a kernel for it."""
    for gate in list(graph.nodes):
        if gate.op.name != "cpu.squeeze_excite_gate":
            continue
        x = gate.operands[0]
        producer = x.producer
        if producer is None or producer.op.name != "cpu.depthwise_conv2d":
            continue
        made = replace_call(
            graph, producer, "cpu.depthwise_conv2d_pooled", producer.operands, dict(producer.attributes), target
        )
        if made is not None:
            replace_call(
                graph, gate, gate.op.name, (made.results[1], *gate.operands[1:]), dict(gate.attributes), target
            )


def _factors(product: Node) -> tuple[Value, Value] | None:
    """x [N, H, W, C] and the computed factor [N, 1, 1, C] of a product, or None when it is no such product."""
    for x, gate in (product.operands, product.operands[::-1]):
        if x.type == product.result.type and x.type.rank == 4 and not gate.is_constant:
            batch, _, _, channels = x.type.static_shape
            if gate.type.shape == (batch, 1, 1, channels) and gate is not x:
                return x, gate
    return None


def is_pointwise(node: Node) -> bool:
    """Whether a convolution multiplies each pixel by one matrix."""
    kernel = node.operands[1].type.static_shape[:2]
    return kernel == (1, 1) and node["strides"] == (1, 1) and not any(node["padding"]) and node["groups"] == 1


def replace_call(
    graph: Graph, node: Node, op: str, operands: Sequence[Value], attributes: Mapping[str, Attribute], target: Target
) -> Node | None:
    """The call put in place of a node, whose results are its first ones; None when no kernel computes it."""
    definition = OPS[op]
    attributes = definition.complete_attributes(attributes)
    types = tuple(v.type for v in operands)
    inferred = definition.infer(*definition.padded(types), **attributes)
    results = inferred if isinstance(inferred, tuple) else (inferred,)
    constants = tuple(i for i, v in enumerate(operands) if v.is_constant)
    if not candidates(KernelCall(op, tuple(attributes.items()), types, results, constants), target):
        return None
    names = tuple(v.name for v in node.results)
    made = graph.insert(op, operands, attributes, before=node, names=names, origin=node.origin)
    for old, new in zip(node.results, made.results, strict=False):
        graph.replace_all_uses(old, new)
    graph.erase(node)
    return made
