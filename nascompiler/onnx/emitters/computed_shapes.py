"""Computing with shapes, and ops that take as operands what their static forms have as attributes."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from nascompiler.ir.graph import Node
from nascompiler.ir.types import DType
from nascompiler.onnx.emission import Emitter
from nascompiler.onnx.emitters.registry import Emit, EmitTable
from nascompiler.onnx.errors import Refusal


def _plain(operator: str) -> Emit:
    def emit(e: Emitter, node: Node) -> None:
        e.set_plain(node.result, e.node(operator, *map(e.plain, node.operands), hint=node.result.name))

    return emit


def _range(e: Emitter, node: Node) -> None:
    if node.result.type.dtype is DType.F16:
        raise Refusal("ONNX has no range of f16")
    _plain("Range")(e, node)


def _shape(e: Emitter, node: Node) -> None:
    x = e.plain(node.operands[0])
    e.set_plain(node.result, e.node("Shape", x, hint=node.result.name, start=node["start"], end=node["end"]))


def _constant_of_shape(e: Emitter, node: Node) -> None:
    value = numpy_helper.from_array(np.array([node["value"]], node["dtype"].numpy))
    shape = _as_int64(e, node)
    e.set_plain(node.result, e.node("ConstantOfShape", shape, hint=node.result.name, value=value))


def _as_int64(e: Emitter, node: Node, index: int = 0) -> str:
    """A shape operand, which ONNX wants as int64."""
    value = node.operands[index]
    name = e.plain(value)
    return name if value.type.dtype.bytes == 8 else e.node("Cast", name, to=7)


def _with_shape(operator: str) -> Emit:
    def emit(e: Emitter, node: Node) -> None:
        x = e.plain(node.operands[0])
        e.set_plain(node.result, e.node(operator, x, _as_int64(e, node, 1), hint=node.result.name))

    return emit


def _dynamic_reshape(e: Emitter, node: Node) -> None:
    x, shape = e.plain(node.operands[0]), _as_int64(e, node, 1)
    allow_zero = 1 if node["allow_zero"] else None
    e.set_plain(node.result, e.node("Reshape", x, shape, hint=node.result.name, allowzero=allow_zero))


def _dynamic_pad(e: Emitter, node: Node) -> None:
    x = node.operands[0]
    names = [e.plain(x), _as_int64(e, node, 1)]
    if node["mode"] == "constant":
        names.append(e.constant(np.array(node["value"], x.type.dtype.numpy)))
    e.set_plain(node.result, e.node("Pad", *names, hint=node.result.name, mode=node["mode"]))


EMITTERS: EmitTable = {
    "nn.shape": _shape,
    "nn.constant_of_shape": _constant_of_shape,
    "nn.range": _range,
    "nn.dynamic_reshape": _dynamic_reshape,
    "nn.dynamic_slice": _plain("Slice"),
    "nn.dynamic_expand": _with_shape("Expand"),
    "nn.dynamic_tile": _with_shape("Tile"),
    "nn.dynamic_pad": _dynamic_pad,
}
