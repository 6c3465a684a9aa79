"""Reductions, softmax and normalisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from tvm import te, tirx

from nascompiler.backends.tvm_adapter.leftovers.expressions import (
    Expr,
    Tensor,
    accurate,
    at,
    compute,
    dtype_of,
    larger,
    narrowed,
    number,
    smaller,
    widened,
)
from nascompiler.ir.graph import Node


def _sizes(x: Tensor) -> list[int]:
    return [int(d) for d in x.shape]


def _lowest(dtype: str) -> Expr:
    return number(float("-inf") if dtype.startswith("float") else int(np.iinfo(dtype).min), dtype)


def _highest(dtype: str) -> Expr:
    return number(float("inf") if dtype.startswith("float") else int(np.iinfo(dtype).max), dtype)


_sum = te.comm_reducer(lambda a, b: a + b, lambda t: number(0, str(t)), name="sum")
_product = te.comm_reducer(lambda a, b: a * b, lambda t: number(1, str(t)), name="product")
_maximum = te.comm_reducer(larger, lambda t: _lowest(str(t)), name="maximum")
_minimum = te.comm_reducer(smaller, lambda t: _highest(str(t)), name="minimum")


def _reduced(x: Tensor, axes: Sequence[int], reducer: Callable[..., Expr], keepdims: bool = True) -> Tensor:
    """x reduced over `axes` (counted from 0), which stay as dimensions of size 1 when `keepdims`."""
    sizes = _sizes(x)
    if not axes:
        return compute(sizes, x)
    over = {axis: te.reduce_axis((0, tirx.IntImm("int64", sizes[axis])), f"r{axis}") for axis in axes}
    kept = [axis for axis in range(len(sizes)) if axis not in over]
    shape = [1 if axis in over else d for axis, d in enumerate(sizes) if keepdims or axis not in over]

    def element(*index: Expr) -> Expr:
        given = dict(enumerate(index)) if keepdims else dict(zip(kept, index, strict=True))
        return reducer(x(*(over.get(axis, given.get(axis)) for axis in range(len(sizes)))), axis=list(over.values()))

    return compute(shape, element)


def _reduction(reducer: Callable[..., Expr], *, sums: bool = False, mean: bool = False) -> Callable[..., list[Tensor]]:
    def rule(node: Node, x: Tensor) -> list[Tensor]:
        result = node.result.type
        axes = [axis % len(x.shape) for axis in node["axes"]]
        count = prod(_sizes(x)[axis] for axis in axes)
        dtype = dtype_of(x)
        if mean and not dtype.startswith("float"):
            wide = compute(_sizes(x), lambda *i: x(*i).astype("float64"))
        else:
            wide = accurate(x) if sums else x
        total = _reduced(wide, axes, reducer, node["keepdims"])
        if mean:
            summed = total
            divisor = number(float(count) if count else float("nan"), dtype_of(summed))
            total = compute(result.static_shape, lambda *i: summed(*i) / divisor)
        return [narrowed(total, dtype)]

    return rule


def _argument(node: Node, x: Tensor) -> list[Tensor]:
    """The index of the extreme value: pairs of index and value are reduced."""
    axis = node["axis"] % len(x.shape)
    sizes = _sizes(x)
    sign = larger if node.op.name == "nn.argmax" else smaller

    def combine(a: tuple[Expr, Expr], b: tuple[Expr, Expr]) -> tuple[Expr, Expr]:
        earlier = (
            tirx.Select(a[0] <= b[0], a[0], b[0]) if not node["select_last"] else tirx.Select(a[0] >= b[0], a[0], b[0])
        )
        unset = a[0] < 0
        best = sign(a[1], b[1])
        index = tirx.Select(a[1] == b[1], earlier, tirx.Select(best == a[1], a[0], b[0]))
        return tirx.Select(unset, b[0], index), tirx.Select(unset, b[1], best)

    start = _lowest if node.op.name == "nn.argmax" else _highest
    reducer = te.comm_reducer(combine, lambda i, v: (number(-1, "int64"), start(str(v))), name="argument")
    over = te.reduce_axis((0, tirx.IntImm("int64", sizes[axis])), "r")
    shape = [1 if a == axis else d for a, d in enumerate(sizes) if node["keepdims"] or a != axis]

    def element(*index: Expr) -> Any:
        place = [*index[:axis], over, *index[axis + 1 if node["keepdims"] else axis :]]
        return reducer((over.astype("int64"), x(*place)), axis=over)

    pair = te.compute([tirx.IntImm("int64", d) for d in shape], element)
    return [compute(shape, lambda *i: pair[0](*i))]


def _softmax(node: Node, x: Tensor) -> list[Tensor]:
    dtype = dtype_of(x)
    x, axes = widened(x), [node["axis"] % len(x.shape)]
    peak = _reduced(x, axes, _maximum)
    powers = compute(_sizes(x), lambda *i: tirx.exp(x(*i) - at(peak, i)))
    total = narrowed(_reduced(accurate(powers), axes, _sum), dtype_of(x))
    if node.op.name == "nn.softmax":
        result = compute(_sizes(x), lambda *i: powers(*i) / at(total, i))
    else:
        result = compute(_sizes(x), lambda *i: x(*i) - at(peak, i) - tirx.log(at(total, i)))
    return [narrowed(result, dtype)]


def _standardized(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    """x with mean 0 and variance 1 over `axes`."""
    dtype, count = dtype_of(x), prod(_sizes(x)[axis] for axis in axes)
    total = narrowed(_reduced(accurate(x), axes, _sum), dtype)
    centered = compute(_sizes(x), lambda *i: x(*i) - at(total, i) / number(float(count), dtype))
    squares = compute(_sizes(x), lambda *i: centered(*i) * centered(*i))
    spread = narrowed(_reduced(accurate(squares), axes, _sum), dtype)

    def element(*index: Expr) -> Expr:
        variance = at(spread, index) / number(float(count), dtype)
        return centered(*index) / tirx.sqrt(variance + number(epsilon, dtype))

    return compute(_sizes(x), element)


def _layer_norm(node: Node, x: Tensor, scale: Tensor | None = None, bias: Tensor | None = None) -> list[Tensor]:
    axes = range(node["axis"] % len(x.shape), len(x.shape))
    return [_scaled(_standardized(widened(x), axes, node["epsilon"]), scale, bias, dtype_of(x))]


def _instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> list[Tensor]:
    return [_scaled(_standardized(widened(x), (1, 2), node["epsilon"]), scale, bias, dtype_of(x))]


def _scaled(x: Tensor, scale: Tensor | None, bias: Tensor | None, dtype: str) -> Tensor:
    def element(*index: Expr) -> Expr:
        value = x(*index)
        if scale is not None:
            value = value * at(scale, index).astype(dtype_of(x))
        return value if bias is None else value + at(bias, index).astype(dtype_of(x))

    return narrowed(compute(_sizes(x), element), dtype)


def _batch_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> list[Tensor]:
    axis = node["axis"] % len(x.shape)
    dtype, wide = dtype_of(x), "float32" if dtype_of(x) == "float16" else dtype_of(x)

    def element(*index: Expr) -> Expr:
        c = index[axis]
        factor = scale(c).astype(wide) / tirx.sqrt(variance(c).astype(wide) + number(node["epsilon"], wide))
        value = (x(*index).astype(wide) - mean(c).astype(wide)) * factor + bias(c).astype(wide)
        return value.astype(dtype)

    return [compute(_sizes(x), element)]


def _global(reducer: Callable[..., Expr], mean: bool) -> Callable[..., list[Tensor]]:
    def rule(node: Node, x: Tensor) -> list[Tensor]:
        dtype = dtype_of(x)
        wide = accurate(x) if mean else x
        total = _reduced(wide, (1, 2), reducer)
        if mean:
            summed = total
            divisor = number(float(prod(_sizes(x)[1:3])), dtype_of(wide))
            total = compute(node.result.type.static_shape, lambda *i: summed(*i) / divisor)
        return [narrowed(total, dtype)]

    return rule


RULES: dict[str, Any] = {
    "nn.reduce_sum": _reduction(_sum, sums=True),
    "nn.reduce_prod": _reduction(_product, sums=True),
    "nn.reduce_mean": _reduction(_sum, sums=True, mean=True),
    "nn.reduce_max": _reduction(_maximum),
    "nn.reduce_min": _reduction(_minimum),
    "nn.argmax": _argument,
    "nn.argmin": _argument,
    "nn.softmax": _softmax,
    "nn.log_softmax": _softmax,
    "nn.layer_norm": _layer_norm,
    "nn.instance_norm": _instance_norm,
    "nn.batch_norm": _batch_norm,
    "nn.global_average_pool": _global(_sum, True),
    "nn.global_max_pool": _global(_maximum, False),
}
