"""The elementwise ops of qnn: float32 steps in the order that `ir/dialects/qnn` writes down."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx

from nascompiler.backends.tvm_adapter.leftovers.expressions import Expr, Tensor, broadcast, compute, dtype_of, number
from nascompiler.backends.tvm_adapter.leftovers.rounding import float32, rounded, shifted, to_integers
from nascompiler.backends.tvm_adapter.leftovers.structural import resize_neighbours
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.graph import Node
from nascompiler.ir.types import Array


def _rounded_to(node: Node, f: Expr, activation: str = "none") -> Expr:
    """f in steps of the node's scale as the node's integers."""
    dtype = node["dtype"]
    bounds = arithmetic.clamp_limits(dtype, activation, node["scale"], node["zero_point"])
    return to_integers(f, node["zero_point"], dtype, bounds)


def _quantize(node: Node, x: Tensor) -> list[Tensor]:
    def element(value: Expr) -> Expr:
        scaled = value / float32(np.float32(node["scale"]))
        return _rounded_to(node, tirx.Select(tirx.isnan(scaled), float32(0), scaled))

    return [broadcast(node.result.type, element, x)]


def _dequantize(node: Node, x: Tensor) -> list[Tensor]:
    scale = float32(np.float32(node["x_scale"]))
    return [
        broadcast(node.result.type, lambda q: rounded(shifted(q, node["x_zero_point"]).astype("float32") * scale), x)
    ]


def _requantize(node: Node, x: Tensor) -> list[Tensor]:
    multiplier = float32(arithmetic.ratio(node["x_scale"], node["scale"]))
    return [
        broadcast(
            node.result.type,
            lambda q: _rounded_to(node, shifted(q, node["x_zero_point"]).astype("float32") * multiplier),
            x,
        )
    ]


def _quantize_per_axis(node: Node, x: Tensor, scale: Tensor) -> list[Tensor]:
    _, high = arithmetic.limits(node["dtype"])
    axis = node["axis"] % len(x.shape)

    def element(*index: Expr) -> Expr:
        scaled = x(*index) / _along(scale, index, axis)
        scaled = tirx.Select(tirx.isnan(scaled), float32(0), scaled)
        return to_integers(scaled, 0, node["dtype"], (-high, high))

    return [compute(node.result.type.static_shape, element)]


def _dequantize_per_axis(node: Node, x: Tensor, scale: Tensor) -> list[Tensor]:
    axis = node["axis"] % len(x.shape)

    def element(*index: Expr) -> Expr:
        return rounded(shifted(x(*index), node["x_zero_point"]).astype("float32") * _along(scale, index, axis))

    return [compute(node.result.type.static_shape, element)]


def _along(scale: Tensor, index: tuple[Expr, ...], axis: int) -> Expr:
    return scale(0 if int(scale.shape[0]) == 1 else index[axis])


def _add(node: Node, a: Tensor, b: Tensor) -> list[Tensor]:
    left, right = (float32(arithmetic.ratio(node[f"{name}_scale"], node["scale"])) for name in "ab")

    def element(p: Expr, q: Expr) -> Expr:
        first = rounded(shifted(p, node["a_zero_point"]).astype("float32") * left)
        second = rounded(shifted(q, node["b_zero_point"]).astype("float32") * right)
        return _rounded_to(node, first + second, node["activation"])

    return [broadcast(node.result.type, element, a, b)]


def _mul(node: Node, a: Tensor, b: Tensor) -> list[Tensor]:
    scale = arithmetic.multipliers(node["a_scale"], np.asarray(node["b_scale"], np.float32), node["scale"])

    def element(p: Expr, q: Expr) -> Expr:
        product = shifted(p, node["a_zero_point"]) * shifted(q, node["b_zero_point"])
        return _rounded_to(node, product.astype("float32") * float32(scale.item()), node["activation"])

    return [broadcast(node.result.type, element, a, b)]


def _lookup(node: Node, x: Tensor, table: Tensor) -> list[Tensor]:
    low, _ = arithmetic.limits(node.operands[0].type.dtype)
    return [broadcast(node.result.type, lambda q: table(q.astype("int32") - number(low, "int32")), x)]


def _resize(node: Node, x: Tensor, *tables: Tensor) -> list[Tensor]:
    """Along height first, then along width, a dimension that keeps its size being copied."""
    if node["mode"] == "nearest":
        rows, columns = tables
        resized: Any = lambda n, h, w, c: _real(node, x(n, rows(h), columns(w), c))  # noqa: E731
    else:
        low_y, high_y, part_y, low_x, high_x, part_x = tables

        def column(n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
            return _blend(_real(node, x(n, low_y(h), w, c)), _real(node, x(n, high_y(h), w, c)), part_y(h))

        def resized(n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
            return _blend(column(n, h, low_x(w), c), column(n, h, high_x(w), c), part_x(w))

    multiplier = float32(arithmetic.ratio(node["x_scale"], node["scale"]))
    return [compute(node.result.type.static_shape, lambda *i: _rounded_to(node, resized(*i) * multiplier))]


def _real(node: Node, q: Expr) -> Expr:
    return shifted(q, node["x_zero_point"]).astype("float32")


def _blend(low: Expr, high: Expr, part: Expr) -> Expr:
    assert dtype_of(part) == "float32"
    return rounded(low * (float32(1) - part)) + rounded(high * part)


def _resize_tables(node: Node) -> list[Array]:
    return [table.astype(np.float32) if table.dtype.kind == "f" else table for table in resize_neighbours(node)]


RULES: dict[str, Any] = {
    "qnn.quantize": _quantize,
    "qnn.dequantize": _dequantize,
    "qnn.requantize": _requantize,
    "qnn.quantize_per_axis": _quantize_per_axis,
    "qnn.dequantize_per_axis": _dequantize_per_axis,
    "qnn.add": _add,
    "qnn.mul": _mul,
    "qnn.lookup": _lookup,
    "qnn.resize": _resize,
}

TABLES: dict[str, Any] = {"qnn.resize": _resize_tables}
