"""Operators on quantised integers: those of ONNX, and of com.microsoft, which ONNX Runtime has.

`has_operator_form` says which nodes have one; all others are written out in float operators first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.dialects.qnn.arithmetic import clamp_limits, limits
from nascompiler.ir.graph import Node
from nascompiler.ir.types import Array, DType
from nascompiler.onnx.contributed import DOMAIN
from nascompiler.onnx.emission import Emitter
from nascompiler.onnx.emitters.elementwise import clip_bounds, follow
from nascompiler.onnx.emitters.images import window_attributes
from nascompiler.onnx.emitters.quantization import quantize, scalars
from nascompiler.onnx.emitters.registry import Emit, EmitTable

_CLAMPS = ("none", "relu", "relu6")
_BYTES = (DType.I8, DType.U8)
_PRODUCTS = ((DType.U8, DType.U8), (DType.U8, DType.I8), (DType.I8, DType.I8))
"""Element types that ONNX Runtime multiplies."""

_MOVING = frozenset(
    f"nn.{op}"
    for op in "reshape flatten squeeze unsqueeze slice split concat gather expand tile transpose identity".split()
)
_MOVING_BYTES = frozenset(("nn.pad", "nn.max_pool2d", "nn.resize"))


def has_operator_form(node: Node) -> bool:
    """Whether a node on integers has an operator on integers."""
    types = [v.type.dtype for v in node.operands]
    name = node.op.name
    if name in ("qnn.conv2d", "qnn.linear"):
        return _sum_has_operator(node)
    if name == "qnn.matmul":
        result = node["dtype"]
        return (types[0], types[1]) in _PRODUCTS and result in (types[0], DType.F32)
    if name in ("qnn.add", "qnn.mul"):
        return types[0] in _BYTES and types[0] is types[1] is node["dtype"]
    if name in ("qnn.average_pool2d", "qnn.global_average_pool"):
        plain = name == "qnn.global_average_pool" or node["dilation"] == (1, 1)
        return plain and types[0] in _BYTES and types[0] is node["dtype"]
    return name in _MOVING or (name in _MOVING_BYTES and types[0] in _BYTES)


def _sum_has_operator(node: Node) -> bool:
    x, weight, scale, *bias = node.operands
    if scale.array is None or x.type.dtype not in _BYTES:
        return False
    rounded = _is_clamped(node)
    if node.op.name == "qnn.conv2d" and not rounded:
        return True
    if (x.type.dtype, weight.type.dtype) not in _PRODUCTS or (rounded and node["dtype"] is not x.type.dtype):
        return False
    return node.op.name == "qnn.conv2d" or x.type.rank == 2 or (rounded and not bias)


def _is_clamped(node: Node) -> bool:
    """Whether the sums are rounded at once, with nothing but a clamp behind them."""
    return node["dtype"] is not DType.F32 and node["activation"] in _CLAMPS


# -- sums


def _conv2d(e: Emitter, node: Node) -> None:
    x, weight, _, *bias = node.operands
    image, kernel = e.first(x), e.permuted(weight, (3, 2, 0, 1))
    attributes = {
        "kernel_shape": weight.type.static_shape[:2] if weight.type.is_static else None,
        "group": node["groups"],
        **window_attributes(node),
    }
    if _is_clamped(node):
        inputs = [*_activation(e, node, image, "x"), kernel, *_weight_parameters(e, node)]
        result = _result_parameters(e, node)
        name = e.node("QLinearConv", *inputs, *result, *map(e.plain, bias), hint=node.result.name, **attributes)
        e.set_first(node.result, _clamped(e, node, name))
        return
    points = [
        e.constant(np.array(node[key], v.type.dtype.numpy))
        for key, v in (("x_zero_point", x), ("weight_zero_point", weight))
    ]
    total = e.node("ConvInteger", image, kernel, *points, **attributes)
    if bias and bias[0].array is not None:
        total = e.node("Add", total, e.constant(bias[0].array.reshape(1, -1, 1, 1), bias[0].name))
    elif bias:
        total = e.node("Add", total, e.node("Unsqueeze", e.plain(bias[0]), e.constant(np.array([1, 2]))))
    scale = _product_scale(node)
    scales = e.constant(scale.reshape(1, -1, 1, 1) if scale.size > 1 else scale, "scale")
    real = e.node("Mul", e.node("Cast", total, to=1), scales)
    e.set_first(node.result, _activated(e, node, real))


def _linear(e: Emitter, node: Node) -> None:
    x, weight, _, *bias = node.operands
    inputs = [*_activation(e, node, e.plain(x), "x"), e.plain(weight), *_weight_parameters(e, node)]
    result = _result_parameters(e, node) if _is_clamped(node) else []
    if result and not bias:
        name = e.node("QLinearMatMul", *inputs, *result, hint=node.result.name)
    else:
        given = [e.plain(bias[0])] if bias else [""] if result else []
        hint = node.result.name if result else ""
        name = e.node("QGemm", *inputs, *given, *result, hint=hint, domain=DOMAIN)
    e.set_plain(node.result, _clamped(e, node, name) if result else _activated(e, node, name))


def _matmul(e: Emitter, node: Node) -> None:
    a, b = node.operands
    if node["dtype"] is not DType.F32:
        inputs = [*_activation(e, node, e.plain(a), "a"), *_activation(e, node, e.plain(b), "b", 1)]
        name = e.node("QLinearMatMul", *inputs, *_result_parameters(e, node), hint=node.result.name)
        e.set_plain(node.result, name)
        return
    points = [scalars(e, 1, node[f"{k}_zero_point"], v.type.dtype)[1] for k, v in (("a", a), ("b", b))]
    total = e.node("MatMulInteger", e.plain(a), e.plain(b), *points)
    scale = np.float32(node["b_scale"]) * np.float32(node["a_scale"])
    real = e.node("Mul", e.node("Cast", total, to=1), e.constant(scale), hint=node.result.name)
    e.set_plain(node.result, real)


def _activation(e: Emitter, node: Node, name: str, prefix: str, index: int = 0) -> list[str]:
    """Operand, scale and zero point."""
    dtype = node.operands[index].type.dtype
    return [name, *scalars(e, node[f"{prefix}_scale"], node[f"{prefix}_zero_point"], dtype)]


def _weight_parameters(e: Emitter, node: Node) -> list[str]:
    weight, scale = node.operands[1:3]
    assert scale.array is not None
    shape = () if scale.array.size == 1 else scale.array.shape
    points = np.full(shape, node["weight_zero_point"], weight.type.dtype.numpy)
    return [e.constant(scale.array.reshape(shape), "scale"), e.constant(points, "zero_point")]


def _result_parameters(e: Emitter, node: Node) -> tuple[str, str]:
    return scalars(e, node["scale"], node["zero_point"], node["dtype"])


def _product_scale(node: Node) -> Array:
    scale = node.operands[2].array
    assert scale is not None
    return np.multiply(scale.astype(np.float32), np.float32(node["x_scale"]))


def _clamped(e: Emitter, node: Node, name: str) -> str:
    """Integers that saturation has clamped already, or behind the Clip that it takes beyond that."""
    dtype = node["dtype"]
    bounds = clamp_limits(dtype, node["activation"], node["scale"], node["zero_point"])
    return name if bounds == limits(dtype) else e.node("Clip", name, *clip_bounds(e, *bounds, dtype.numpy))


def _activated(e: Emitter, node: Node, name: str) -> str:
    """Scaled sums in float32, through the activation, and rounded where the result is not float32."""
    activation, rounded = node["activation"], node["dtype"] is not DType.F32
    if activation == "relu6":
        name = e.node("Clip", name, *clip_bounds(e, 0, 6, np.dtype(np.float32)))
    elif activation == "hard_sigmoid":
        name = e.node("HardSigmoid", name, alpha=1 / 6, beta=0.5)
    elif activation != "none":
        name = e.node({"relu": "Relu", "hard_swish": "HardSwish"}[activation], name)
    return quantize(e, name, node["scale"], node["zero_point"], node["dtype"], node.result.name) if rounded else name


# -- elementwise and pooling


def _binary(operator: str) -> Emit:
    def body(e: Emitter, node: Node, names: list[str], hint: str) -> str:
        inputs = [*_activation(e, node, names[0], "a"), *_activation(e, node, names[1], "b", 1)]
        return _clamped(e, node, e.node(operator, *inputs, *_result_parameters(e, node), hint=hint, domain=DOMAIN))

    return follow(body)


def _average_pool2d(e: Emitter, node: Node) -> None:
    attributes = {"kernel_shape": node["kernel"], "count_include_pad": int(node["count_include_pad"])}
    _pool(e, node, "QLinearAveragePool", **attributes, **window_attributes(node))


def _global_average_pool(e: Emitter, node: Node) -> None:
    _pool(e, node, "QLinearGlobalAveragePool")


def _pool(e: Emitter, node: Node, operator: str, **attributes: Any) -> None:
    inputs = [*_activation(e, node, e.first(node.operands[0]), "x"), *_result_parameters(e, node)]
    e.set_first(node.result, e.node(operator, *inputs, hint=node.result.name, domain=DOMAIN, **attributes))


EMITTERS: EmitTable = {
    "qnn.conv2d": _conv2d,
    "qnn.linear": _linear,
    "qnn.matmul": _matmul,
    "qnn.add": _binary("QLinearAdd"),
    "qnn.mul": _binary("QLinearMul"),
    "qnn.average_pool2d": _average_pool2d,
    "qnn.global_average_pool": _global_average_pool,
}
