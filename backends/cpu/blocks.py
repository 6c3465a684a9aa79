"""Blocks of mobile networks in one kernel: pointwise expansion, depthwise convolution and pointwise projection.

What lies between them never becomes an image in memory.
"""

from __future__ import annotations

from typing import Any

from nascompiler.backends.cpu.gates import is_pointwise, replace_call
from nascompiler.backends.cpu.slicing import slicing_gain
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Graph, Node

WHEN = ("auto", "never", "always")
"""Whether blocks are fused: where a model of the cache says that it pays, never, or wherever there is a kernel."""

_DEPTHWISE = ("cpu.depthwise_conv2d", "cpu.depthwise_conv2d_pooled")

_GAIN = 1.25
"""What products gain in slices is worth more from here on than what is saved on the way to memory."""


def fuse_blocks(graph: Graph, target: Target, when: str) -> int:
    """Fuse depthwise convolutions with the pointwise ones around them; returns how many were.

    project(depthwise(expand(x))) = inverted_residual(x), project(depthwise(x)) = separable_conv2d(x), and in front of
    a gate, which needs all of its input before the projection, depthwise(expand(x)) = expanded_depthwise_conv2d(x).
    `when` is one of WHEN.
    """
    fused = 0
    for node in list(graph.nodes):
        if when == "never" or node.op.name not in _DEPTHWISE or len(node.operands) > 3 or node["dilation"] != (1, 1):
            continue
        expand, project = _expansion(node), _projection(node)
        is_block = project is not None or (expand is not None and len(node.results) > 1)
        if is_block and (when == "always" or _pays(expand, node, project, target)):
            fused += _fuse(graph, expand, node, project, target)
    return fused


def _expansion(depthwise: Node) -> Node | None:
    """The pointwise convolution in front, where nothing else reads it."""
    node = depthwise.operands[0].producer
    if node is None or node.op.name != "cpu.conv2d" or len(node.operands) > 3 or not is_pointwise(node):
        return None
    return node if node.result.sole_user is depthwise else None


def _projection(depthwise: Node) -> Node | None:
    """The pointwise convolution behind, where nothing else reads what it does."""
    if len(depthwise.results) > 1:
        return None
    node = depthwise.result.sole_user
    if node is None or node.op.name != "cpu.conv2d" or not is_pointwise(node):
        return None
    return node if node.operands[0] is depthwise.result else None


def _pays(expand: Node | None, depthwise: Node, project: Node | None, target: Target) -> bool:
    """Whether a fused kernel is expected to be faster.

    It saves the way to memory of what lies between, which must be an image that fills three eighths of the second-level
    cache. But every few pixels it reads the weights of the projection again, which must leave half of the cache they
    are in: the second, or the first for a pair, which saves less. And products that are much faster in slices stay
    apart: in one kernel they are multiply-adds.
    """
    products = [node for node in (expand, project) if node is not None]
    if any(_slicing_gain(node, target) > _GAIN for node in products):
        return False
    l1, l2 = target.host.l1_data_bytes, target.host.l2_bytes
    between = depthwise.result if expand is None else expand.result
    image_bytes = between.type.bytes // between.type.static_shape[0]
    weights = [node.operands[1].type.bytes for node in (expand, project) if node is not None and project is not None]
    return image_bytes >= l2 * 3 // 8 and sum(weights) <= (l1 if expand is None else l2) // 2


def _slicing_gain(node: Node, target: Target) -> float:
    k, n = node.operands[1].type.static_shape[-2:]
    return slicing_gain(node.result.type.size // n, n, k, target)


def _fuse(graph: Graph, expand: Node | None, depthwise: Node, project: Node | None, target: Target) -> bool:
    """Put one call in the place of the last node; false when no kernel computes it."""
    op = "expanded_depthwise_conv2d_pooled"
    if project is not None:
        op = "separable_conv2d" if expand is None else "inverted_residual"
    parts = {"expand_": expand, "depthwise_": depthwise, "": project} if project else {"expand_": expand, "": depthwise}
    attributes: dict[str, Any] = {name: depthwise[name] for name in ("strides", "padding")}
    operands = [depthwise.operands[0] if expand is None else expand.operands[0]]
    for prefix, node in parts.items():
        if node is not None:
            attributes |= {prefix + name: node[name] for name in ("activation", "activation_parameters")}
            operands += node.operands[1:]
    last = depthwise if project is None else project
    if replace_call(graph, last, f"cpu.{op}", operands, attributes, target) is None:
        return False
    for node in (depthwise, expand):
        if node is not None and not node.is_erased:
            graph.erase(node)
    return True
