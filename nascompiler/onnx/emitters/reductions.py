"""Reductions and softmax along axes."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Node
from nascompiler.onnx.emission import Emitter
from nascompiler.onnx.emitters.movement import mapped_axes
from nascompiler.onnx.emitters.registry import Emit, EmitTable


def _reduce(operator: str) -> Emit:
    def emit(e: Emitter, node: Node) -> None:
        x, axes, keepdims = node.operands[0], node["axes"], node["keepdims"]
        if not axes:
            e.alias(node.result, x)
            return
        first = e.prefers_first([x]) and (keepdims or _keeps_order(axes))
        names = [e.form(x, channels_first=first)]
        names.append(e.constant(np.array(mapped_axes(axes, x.type.rank, channels_first=first), np.int64)))
        result = e.node(operator, *names, hint=node.result.name, keepdims=int(keepdims))
        e.set_form(node.result, result, channels_first=first and keepdims)

    return emit


def _keeps_order(axes: tuple[int, ...]) -> bool:
    """Whether the dimensions that are left stand in the same order in NHWC and NCHW: not channels and a spatial one."""
    left = {0, 1, 2, 3} - {a % 4 for a in axes}
    return not (3 in left and left & {1, 2})


def _argument(operator: str) -> Emit:
    def emit(e: Emitter, node: Node) -> None:
        x, keepdims = node.operands[0], node["keepdims"]
        first = e.prefers_first([x]) and (keepdims or _keeps_order((node["axis"],)))
        (axis,) = mapped_axes((node["axis"],), x.type.rank, channels_first=first)
        result = e.node(
            operator,
            e.form(x, channels_first=first),
            hint=node.result.name,
            axis=axis,
            keepdims=int(keepdims),
            select_last_index=int(node["select_last"]),
        )
        e.set_form(node.result, result, channels_first=first and keepdims)

    return emit


def _softmax(operator: str) -> Emit:
    def emit(e: Emitter, node: Node) -> None:
        x = node.operands[0]
        first = e.prefers_first([x])
        (axis,) = mapped_axes((node["axis"],), x.type.rank, channels_first=first)
        result = e.node(operator, e.form(x, channels_first=first), hint=node.result.name, axis=axis)
        e.set_form(node.result, result, channels_first=first)

    return emit


EMITTERS: EmitTable = {
    "nn.reduce_sum": _reduce("ReduceSum"),
    "nn.reduce_mean": _reduce("ReduceMean"),
    "nn.reduce_max": _reduce("ReduceMax"),
    "nn.reduce_min": _reduce("ReduceMin"),
    "nn.reduce_prod": _reduce("ReduceProd"),
    "nn.argmax": _argument("ArgMax"),
    "nn.argmin": _argument("ArgMin"),
    "nn.softmax": _softmax("Softmax"),
    "nn.log_softmax": _softmax("LogSoftmax"),
}
