"""Before the export: quantised linear layers on other than two dimensions in forms that have operators on integers.

Only convolutions and products of two matrices have a bias of integers. A layer on an image, as squeeze-excite has them,
is a convolution with a kernel of one pixel; one on other shapes becomes one on a matrix.
"""

from __future__ import annotations

from math import prod
from typing import Any

from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.types import DType


def reshape_linear(graph: Graph, node: Node) -> None:
    """Rewrite a qnn.linear, or an nn.linear with dequantised weights, where its shape asks for it."""
    rank = node.result.type.rank
    is_integer = node.op.dialect == "qnn"
    if rank in (None, 2) or not (is_integer or _is_dequantized(node.operands[1])):
        return
    builder = Builder(graph, before=node, origin=node.origin)
    if rank == 4:
        _as_convolution(builder, node)
    elif is_integer and (len(node.operands) > 3 or node["dtype"] is DType.F32):
        _as_product_of_matrices(builder, node)


def replace(graph: Graph, node: Node, *values: Value) -> None:
    """Let other values take over names and uses of a node's results, and erase it."""
    for old, new in zip(node.results, values, strict=True):
        if old.name and not new.is_input:
            new.name = old.name
        graph.replace_all_uses(old, new)
    graph.erase(node)


def _is_dequantized(weight: Value) -> bool:
    made = weight.producer
    return (
        made is not None
        and made.op.name in ("qnn.dequantize", "qnn.dequantize_per_axis")
        and made.operands[0].array is not None
    )


def _as_convolution(builder: Builder, node: Node) -> None:
    """On NHWC [N, H, W, K]; the weight [K, N] becomes HWIO [1, 1, K, N]."""
    x, weight, *others = node.operands
    made = weight.producer
    if node.op.dialect == "qnn" or made is None:
        kernel = _as_kernel(builder, weight)
    else:
        attributes: dict[str, Any] = dict(made.attributes)
        if "axis" in attributes:
            attributes["axis"] = attributes["axis"] % 2 + 2
        kernel = builder.op(made.op.name, _as_kernel(builder, made.operands[0]), *made.operands[1:], **attributes)
    own: dict[str, Any] = dict(node.attributes)
    replace(builder.graph, node, builder.op(node.op.name.replace("linear", "conv2d"), x, kernel, *others, **own))


def _as_kernel(builder: Builder, weight: Value) -> Value:
    if weight.array is not None:
        return builder.constant(weight.array[None, None], weight.name)
    kernel: Value = builder.nn.unsqueeze(weight, axes=(0, 1))
    return kernel


def _as_product_of_matrices(builder: Builder, node: Node) -> None:
    """Where at most one of the leading sizes is open."""
    x, shape = node.operands[0], node.result.type.shape or ()
    leading = [d for d in shape[:-1] if isinstance(d, int)]
    columns = x.type.shape[-1] if x.type.shape else None
    if len(leading) < len(shape) - 2 or 0 in leading or not all(isinstance(d, int) for d in (columns, shape[-1])):
        return
    rows = prod(leading) if len(leading) == len(shape) - 1 else -1
    matrix = builder.nn.reshape(x, shape=(rows, columns))
    own: dict[str, Any] = dict(node.attributes)
    made = builder.op(node.op.name, matrix, *node.operands[1:], **own)
    sizes = tuple(d if isinstance(d, int) else -1 for d in shape)
    replace(builder.graph, node, builder.nn.reshape(made, shape=sizes))
