"""Matrix products, layer normalisation and LSTM."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Node, Value
from nascompiler.ir.types import Dim
from nascompiler.onnx.emission import Emitter
from nascompiler.onnx.emitters.registry import EmitTable
from nascompiler.onnx.errors import Refusal

_ORDER = (0, 3, 1, 2)
"""ONNX's gates i, o, f, c among ours i, f, g, o."""


def _matmul(e: Emitter, node: Node) -> None:
    e.set_plain(node.result, e.node("MatMul", *map(e.plain, node.operands), hint=node.result.name))


def _linear(e: Emitter, node: Node) -> None:
    names = list(map(e.plain, node.operands))
    hint = node.result.name
    if node.operands[0].type.rank == 2:
        e.set_plain(node.result, e.node("Gemm", *names, hint=hint))
        return
    product = e.node("MatMul", *names[:2], hint=hint if len(names) == 2 else "")
    e.set_plain(node.result, product if len(names) == 2 else e.node("Add", product, names[2], hint=hint))


def _layer_norm(e: Emitter, node: Node) -> None:
    """ONNX's operator needs a scale of exactly the shape that is normalised; where there is none, small ops."""
    x, *parameters = node.operands
    shape = x.type.shape or ()
    axis = node["axis"] % len(shape)
    scale_and_bias: list[Value | None] = [*parameters] or [None]
    names = [_exactly(e, v, shape[axis:], x) for v in scale_and_bias]
    given = [name for name in names if name is not None]
    if len(given) < len(names):
        e.set_plain(node.result, _standardized(e, node, list(range(axis, len(shape)))))
        return
    name = e.node("LayerNormalization", e.plain(x), *given, hint=node.result.name, axis=axis, epsilon=node["epsilon"])
    e.set_plain(node.result, name)


def _exactly(e: Emitter, value: Value | None, shape: tuple[Dim, ...], x: Value) -> str | None:
    """A parameter broadcast to `shape` (ones when absent); None when that is not known before run time."""
    if value is not None and value.type.shape == shape:
        return e.plain(value)
    sizes = [d for d in shape if isinstance(d, int)]
    array = np.ones(1, x.type.dtype.numpy) if value is None else value.array
    if array is None or len(sizes) < len(shape):
        return None
    return e.constant(np.broadcast_to(array, sizes), "" if value is None else value.name)


def _standardized(e: Emitter, node: Node, axes: list[int]) -> str:
    x, *parameters = node.operands
    over = e.constant(np.array(axes, np.int64))
    centered = e.node("Sub", e.plain(x), e.node("ReduceMean", e.plain(x), over))
    variance = e.node("ReduceMean", e.node("Mul", centered, centered), over)
    epsilon = e.constant(np.array(node["epsilon"], x.type.dtype.numpy))
    result = e.node("Div", centered, e.node("Sqrt", e.node("Add", variance, epsilon)))
    for operator, value in zip(("Mul", "Add"), parameters, strict=False):
        result = e.node(operator, result, e.plain(value))
    return result


def _lstm(e: Emitter, node: Node) -> None:
    x, h0, c0, w, r, b = node.operands
    hidden = r.type.shape[0] if r.type.shape else None
    if not isinstance(hidden, int):
        raise Refusal("the hidden size is not known")
    direction, front = e.constant(np.array([0])), e.constant(np.array([1]))
    weights = [e.node("Unsqueeze", _reordered(e, v, hidden), direction) for v in (w, r)]
    bias = e.node("Concat", _reordered(e, b, hidden), e.constant(np.zeros(4 * hidden, b.type.dtype.numpy)), axis=0)
    outputs = e.nodes_outputs(
        "LSTM",
        e.plain(x),
        *weights,
        e.node("Unsqueeze", bias, direction),
        "",
        e.node("Unsqueeze", e.plain(h0), direction),
        e.node("Unsqueeze", e.plain(c0), direction),
        hints=["", "", ""],
        hidden_size=hidden,
        direction="reverse" if node["reverse"] else "forward",
    )
    for value, name, axes in zip(node.results, outputs, (front, direction, direction), strict=True):
        e.set_plain(value, e.node("Squeeze", name, axes, hint=value.name))


def _reordered(e: Emitter, value: Value, hidden: int) -> str:
    """Gates along the last axis to ONNX's order along the first."""
    indices = np.concatenate([np.arange(gate * hidden, (gate + 1) * hidden) for gate in _ORDER])
    if value.array is not None:
        return e.constant(value.array.T[indices], value.name)
    name = e.plain(value) if value.type.rank == 1 else e.node("Transpose", e.plain(value), perm=(1, 0))
    return e.node("Gather", name, e.constant(indices), axis=0)


EMITTERS: EmitTable = {
    "nn.matmul": _matmul,
    "nn.linear": _linear,
    "nn.layer_norm": _layer_norm,
    "nn.lstm": _lstm,
}
