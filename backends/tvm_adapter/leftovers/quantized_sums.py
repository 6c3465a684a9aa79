"""Sums of products and means of quantised integers: exact sums, then float32 steps as `ir/dialects/qnn` writes them.

Sums are computed in the cheapest type in which none can be inexact, whatever the order: float32 while they stay below
2 ** 24 for these weights and any input, else int32, else int64 (16-bit activations; where the reference has a result,
no sum leaves int32).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import te

from nascompiler.backends.tvm_adapter.leftovers import contraction
from nascompiler.backends.tvm_adapter.leftovers.expressions import Expr, Tensor, compute, number
from nascompiler.backends.tvm_adapter.leftovers.rounding import activated, float32, rounded, shifted, to_integers
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.dialects.qnn.pooling import mean_multiplier, window_multipliers
from nascompiler.ir.graph import Node, Value
from nascompiler.ir.types import Array

EXACT_SUMS = "nascompiler.exact_sums"
"""Marks a reduction whose order is free and whose rows are `channels` long, for `schedule`."""
IMAGE = "nascompiler.image"
"""Marks what is worth keeping before such a reduction."""


def _reach(value: Value, zero_point: int) -> int:
    return arithmetic.reach(value.type.dtype, zero_point)


def _bound(node: Node) -> int:
    """The largest |sum of products, bias included| that any input can give."""
    x, weight = node.operands[:2]
    if node.op.name == "qnn.matmul":
        return x.type.static_shape[-1] * _reach(x, node["a_zero_point"]) * _reach(weight, node["b_zero_point"])
    if weight.array is not None:
        bound = arithmetic.accumulator_bound(
            weight.array, node["weight_zero_point"], x.type.dtype, node["x_zero_point"]
        )
    else:
        terms = weight.type.size // max(1, weight.type.static_shape[-1])
        bound = terms * _reach(x, node["x_zero_point"]) * _reach(weight, node["weight_zero_point"])
    if len(node.operands) > 3:
        bias = node.operands[3].array
        bound += arithmetic.ACCUMULATOR_LIMIT if bias is None else int(np.abs(bias.astype(np.int64)).max(initial=0))
    return bound


def _sum_type(node: Node) -> str:
    bound = _bound(node)
    if bound < arithmetic.EXACT_IN_FLOAT32:
        return "float32"
    return "int32" if bound < arithmetic.ACCUMULATOR_LIMIT else "int64"


def _image(x: Tensor, zero_point: int, dtype: str, *, kept: bool = True) -> Tensor:
    """x - zero_point in the type of the sums."""
    attributes = {IMAGE: 1} if kept else {}
    shape = [int(d) for d in x.shape]
    return compute(shape, lambda *i: shifted(x(*i), zero_point).astype(dtype), attrs=attributes)


def _activation(node: Node) -> str:
    return str(node.attributes.get("activation", "none"))


def _requantized(node: Node, acc: Expr, factor: Expr) -> Expr:
    """An accumulator as the node's result; `factor` is what `_factors` gives for its channel."""
    f = acc.astype("float32") * factor
    dtype, activation = node["dtype"], _activation(node)
    if dtype.is_float:
        return activated(rounded(f), activation)
    if activation in ("hard_swish", "hard_sigmoid"):
        real = activated(f, activation) * float32(arithmetic.ratio(1, node["scale"]))
        return to_integers(real, node["zero_point"], dtype, arithmetic.limits(dtype))
    bounds = arithmetic.clamp_limits(dtype, activation, node["scale"], node["zero_point"])
    return to_integers(f, node["zero_point"], dtype, bounds)


def _factors(node: Node, x_scale: float, weight_scale: Array) -> Array:
    """What the accumulator of each channel is multiplied by in float32."""
    scales = np.asarray(weight_scale, np.float32)
    if node["dtype"].is_float or _activation(node) in ("hard_swish", "hard_sigmoid"):
        return np.multiply(scales, np.float32(x_scale))
    return arithmetic.multipliers(x_scale, scales, node["scale"])


def _factor_table(node: Node) -> list[Array]:
    scale = node.operands[2].array
    assert scale is not None
    features = node.result.type.static_shape[-1]
    return [np.ascontiguousarray(np.broadcast_to(_factors(node, node["x_scale"], scale), (features,)))]


def _channels(node: Node) -> int:
    """How many results in a row read the same elements of x (or, depthwise, neighbouring ones)."""
    features = node.result.type.static_shape[-1]
    groups: int = node["groups"] if "groups" in node.attributes else 1
    return features if groups == features == node.operands[0].type.static_shape[-1] else features // groups


def _layer(sums: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    def rule(node: Node, x: Tensor, weight: Tensor, weight_scale: Tensor, *rest: Tensor) -> list[Tensor]:
        *biases, factors = rest
        dtype = _sum_type(node)
        image = _image(x, node["x_zero_point"], dtype)
        kernel = _image(weight, node["weight_zero_point"], dtype, kept=False)
        total = sums(node, image, kernel, attrs={EXACT_SUMS: _channels(node)})

        def element(*index: Expr) -> Expr:
            acc = total(*index).astype("int32") if dtype == "float32" else total(*index)
            if biases:
                acc = acc + biases[0](index[-1]).astype("int64" if dtype == "int64" else "int32")
            return _requantized(node, acc, factors(index[-1]))

        return [compute(node.result.type.static_shape, element)]

    return rule


def _matmul(node: Node, a: Tensor, b: Tensor) -> list[Tensor]:
    dtype = _sum_type(node)
    left, right = _image(a, node["a_zero_point"], dtype), _image(b, node["b_zero_point"], dtype)
    columns = node.operands[1].type.static_shape[-1] if len(b.shape) > 1 else 1
    total = contraction.matmul_sums(node, left, right, attrs={EXACT_SUMS: columns})
    factor = float32(_factors(node, node["a_scale"], np.asarray(node["b_scale"], np.float32)).item())

    def element(*index: Expr) -> Expr:
        acc = total(*index).astype("int32") if dtype == "float32" else total(*index)
        return _requantized(node, acc, factor)

    return [compute(node.result.type.static_shape, element)]


def _mean(node: Node, f: Expr) -> Expr:
    return to_integers(f, node["zero_point"], node["dtype"], arithmetic.limits(node["dtype"]))


def _average_pool2d(node: Node, x: Tensor, multipliers: Tensor) -> list[Tensor]:
    image = _image(x, node["x_zero_point"], "int32", kept=False)
    total = contraction.pool(node, image, number(0, "int32"), te.sum)

    def element(n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
        return _mean(node, total(n, h, w, c).astype("float32") * multipliers(0, h, w, 0))

    return [compute(node.result.type.static_shape, element)]


def _average_pool_table(node: Node) -> list[Array]:
    names = ("x_scale", "scale", "kernel", "strides", "padding", "dilation", "count_include_pad")
    return [window_multipliers(node.operands[0].type.static_shape, **{name: node[name] for name in names})]


def _global_average_pool(node: Node, x: Tensor) -> list[Tensor]:
    _, height, width, _ = node.operands[0].type.static_shape
    image = _image(x, node["x_zero_point"], "int32", kept=False)
    y, k = (te.reduce_axis((0, number(size, "int64")), name) for size, name in ((height, "y"), (width, "k")))
    shape = node.result.type.static_shape
    total = compute(shape, lambda n, h, w, c: te.sum(image(n, h + y, w + k, c), axis=[y, k]))
    multiplier = float32(mean_multiplier(np.asarray(height * width), node["x_scale"], node["scale"]).item())
    return [compute(shape, lambda *i: _mean(node, total(*i).astype("float32") * multiplier))]


def refusal(node: Node) -> str | None:
    """Why a sum of products cannot be compiled, or None."""
    if node.op.name in _LAYERS and node.operands[2].array is None:
        return f"{node.op.name} has no rule: its weight scales are computed, and must be constants"
    return None


_LAYERS = {
    "qnn.conv2d": contraction.conv2d_sums,
    "qnn.conv2d_transpose": contraction.conv2d_transpose_sums,
    "qnn.linear": contraction.linear_sums,
}

RULES: dict[str, Any] = {
    **{name: _layer(sums) for name, sums in _LAYERS.items()},
    "qnn.matmul": _matmul,
    "qnn.average_pool2d": _average_pool2d,
    "qnn.global_average_pool": _global_average_pool,
}

TABLES: dict[str, Any] = {
    **dict.fromkeys(_LAYERS, _factor_table),
    "qnn.average_pool2d": _average_pool_table,
}
