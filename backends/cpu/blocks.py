"""Blocks of mobile networks in one pass: pointwise expansion, depthwise convolution and pointwise projection.

What lies between them never becomes an image in memory.
"""

from __future__ import annotations

from typing import Any

from nascompiler.backends.cpu.gates import is_pointwise, replace_call
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Graph, Node

WHEN = ("auto", "never", "always")
"""Whether blocks are fused: where a model of the caches says that it pays, never, or wherever there is a kernel."""

_DEFAULT_L2_BYTES = 1 << 20


def fuse_blocks(graph: Graph, target: Target, when: str) -> int:
    """project(depthwise(expand(x))) = inverted_residual(x), project(depthwise(x)) = separable_conv2d(x).

    `when` is one of WHEN. Returns the number of blocks that were fused.
    """
    fused = 0
    for depthwise in list(graph.nodes):
        if when == "never" or depthwise.is_erased or depthwise.op.name != "cpu.depthwise_conv2d":
            continue
        project = depthwise.result.sole_user
        if project is None or len(depthwise.operands) > 3 or depthwise["dilation"] != (1, 1):
            continue
        if project.op.name != "cpu.conv2d" or project.operands[0] is not depthwise.result or not is_pointwise(project):
            continue
        expand = depthwise.operands[0].producer
        if expand is not None and not _is_expansion(expand):
            expand = None
        if when == "auto" and not _fits_cache(project, *([expand] if expand is not None else []), target=target):
            continue
        fused += _fuse(graph, expand, depthwise, project, target)
    return fused


def _is_expansion(node: Node) -> bool:
    """Whether a node is a pointwise convolution for one user."""
    is_plain = node.op.name == "cpu.conv2d" and len(node.operands) == 3 and is_pointwise(node)
    return is_plain and node.result.sole_user is not None


def _fits_cache(*products: Node, target: Target) -> bool:
    """Whether the weights of the products, read for every row of the image, stay in half of the second-level cache."""
    return sum(node.operands[1].type.bytes for node in products) <= (target.host.l2_bytes or _DEFAULT_L2_BYTES) // 2


def _fuse(graph: Graph, expand: Node | None, depthwise: Node, project: Node, target: Target) -> bool:
    """Put one call in the place of the projection; false when no kernel computes it."""
    attributes: dict[str, Any] = {name: depthwise[name] for name in ("strides", "padding")}
    named = {"expand_": expand, "depthwise_": depthwise, "": project}
    for prefix, node in named.items():
        if node is not None:
            attributes |= {prefix + name: node[name] for name in ("activation", "activation_parameters")}
    op = "cpu.separable_conv2d" if expand is None else "cpu.inverted_residual"
    x = [depthwise.operands[0]] if expand is None else expand.operands
    operands = (*x, *depthwise.operands[1:], *project.operands[1:])
    if replace_call(graph, project, op, operands, attributes, target) is None:
        return False
    for node in (depthwise, expand):
        if node is not None:
            graph.erase(node)
    return True
