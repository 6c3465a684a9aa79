"""Matrix products, layer normalisation and LSTM."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Node, Value
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
    x, *parameters = node.operands
    rank = x.type.rank
    if rank is None or x.type.shape is None:
        raise Refusal("the number of dimensions of its operand is not known")
    axis = node["axis"] % rank
    normalized = x.type.shape[axis:]
    names = []
    for index in range(max(len(parameters), 1)):
        value = parameters[index] if index < len(parameters) else None
        if value is not None and value.type.shape == normalized:
            names.append(e.plain(value))
        elif (value is None or value.array is not None) and all(isinstance(d, int) for d in normalized):
            array = np.ones(1, x.type.dtype.numpy) if value is None or value.array is None else value.array
            names.append(e.constant(np.broadcast_to(array, [int(d or 0) for d in normalized])))
        else:
            raise Refusal("layer_norm without a scale of the shape it normalises")
    name = e.node("LayerNormalization", e.plain(x), *names, hint=node.result.name, axis=axis, epsilon=node["epsilon"])
    e.set_plain(node.result, name)


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
