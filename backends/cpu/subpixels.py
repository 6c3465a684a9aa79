"""Transposed convolutions whose windows do not overlap, as products of pixels."""

from __future__ import annotations

import numpy as np

from nascompiler.backends.cpu.activation import activation_of
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.types import DType


def split_transposed(graph: Graph) -> None:
    """conv2d_transpose(x) = depth_to_space(conv2d(x)) where strides are as long as the kernel.

    Each pixel of x then makes a block of pixels of its own (arXiv:1609.05158, section 2). An activation behind goes
    into the product.
    """
    found = [node for node in graph.nodes if node.op.name == "nn.conv2d_transpose" and _is_split(node)]
    for node in found:
        x, weight, *rest = node.operands
        assert weight.array is not None
        block, _, inputs, outputs = weight.type.static_shape
        columns = np.moveaxis(weight.array, 2, 0).reshape(1, 1, inputs, block * block * outputs)
        biases = [np.tile(bias.array.reshape(-1), block * block) for bias in rest if bias.array is not None]
        builder = Builder(graph, before=node, origin=node.origin)
        constants = [graph.constant(np.ascontiguousarray(array)) for array in (columns, *biases)]
        value, last = builder.nn.conv2d(x, *constants), node
        user = node.result.sole_user
        if user is not None and activation_of(user) is not None:
            value = graph.insert(user.op.name, [value], user.attributes, before=node, origin=user.origin).result
            last = user
        value = builder.nn.depth_to_space(value, block=block, mode="DCR", name=last.result.name)
        graph.replace_all_uses(last.result, value)
        for absorbed in dict.fromkeys((last, node)):
            graph.erase(absorbed)


def _is_split(node: Node) -> bool:
    """Whether constant filters as high as wide meet each pixel once."""
    height, width = node.operands[1].type.static_shape[:2]
    return (
        all(v.type.dtype is DType.F32 and v.type.size for v in node.operands)
        and all(v.is_constant for v in node.operands[1:])
        and node["strides"] == (height, width)
        and height == width
        and not any((*node["padding"], *node["output_padding"]))
        and node["dilation"] == (1, 1)
        and node["groups"] == 1
    )
