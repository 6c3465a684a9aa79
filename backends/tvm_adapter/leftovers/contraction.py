"""Convolutions, matrix products and pooling that no kernel covers: right, and no faster than TVM makes them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tvm import te, tirx

from nascompiler.backends.tvm_adapter.leftovers.expressions import (
    Expr,
    Tensor,
    at,
    compute,
    dtype_of,
    narrowed,
    number,
    widened,
)
from nascompiler.ir.graph import Node
from nascompiler.ir.types import TensorType


def _axis(size: int, name: str) -> Any:
    return te.reduce_axis((0, tirx.IntImm("int64", size)), name)


def _add_bias(total: Tensor, bias: Tensor | None, result: TensorType) -> Tensor:
    if bias is not None:
        first = total
        total = compute(result.static_shape, lambda *i: first(*i) + bias(i[-1]).astype(dtype_of(first)))
    return narrowed(total, str(result.dtype.numpy))


def _pad_images(x: Tensor, padding: tuple[int, int, int, int], value: Expr) -> Tensor:
    n, h, w, c = (int(d) for d in x.shape)
    top, left, bottom, right = padding
    if not any(padding):
        return x

    def element(i: Expr, y: Expr, k: Expr, j: Expr) -> Expr:
        inside = tirx.all(y >= top, y < h + top, k >= left, k < w + left)
        return tirx.if_then_else(inside, x(i, y - top, k - left, j), value)

    return compute((n, h + top + bottom, w + left + right, c), element)


def conv2d_sums(node: Node, x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    """The sums of nn.conv2d in the type of `x`; `options` are those of `compute`."""
    image = _pad_images(x, node["padding"], number(0, dtype_of(x)))
    height, width, per_group, features = (int(d) for d in weight.shape)
    outputs = features // node["groups"]
    y, k, i = _axis(height, "y"), _axis(width, "k"), _axis(per_group, "i")
    strides, dilation = node["strides"], node["dilation"]

    def element(n: Expr, h: Expr, w: Expr, o: Expr) -> Expr:
        channel = i if node["groups"] == 1 else (o // outputs) * per_group + i
        place = (h * strides[0] + y * dilation[0], w * strides[1] + k * dilation[1])
        return te.sum(image(n, *place, channel) * weight(y, k, i, o), axis=[y, k, i])

    return compute(node.result.type.static_shape, element, **options)


def conv2d_transpose_sums(node: Node, x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    """The sums of nn.conv2d_transpose in the type of `x`."""
    kernel_height, kernel_width, channels, per_group = (int(d) for d in weight.shape)
    _, in_height, in_width, _ = (int(d) for d in x.shape)
    inputs = channels // node["groups"]
    i = _axis(inputs, "i")
    taps, sources = zip(
        *(_spread(node, axis, size) for axis, size in enumerate((kernel_height, kernel_width))), strict=True
    )

    def element(n: Expr, h: Expr, w: Expr, o: Expr) -> Expr:
        (y, row), (k, column) = sources[0](h), sources[1](w)
        met = tirx.all(y < kernel_height, k < kernel_width, row >= 0, column >= 0, row < in_height, column < in_width)
        channel = (o // per_group) * inputs + i
        product = x(n, row, column, channel) * weight(y, k, channel, o % per_group)
        return te.sum(
            tirx.if_then_else(met, product, number(0, dtype_of(x))), axis=[*(t for t in taps if t is not None), i]
        )

    return compute(node.result.type.static_shape, element, **options)


def _spread(node: Node, axis: int, size: int) -> tuple[Any, Callable[[Expr], tuple[Expr, Expr]]]:
    """Along height (`axis` 0) or width: a reduction over kernel positions, None where one is enough, and the (position,
    input place) of an output place. Positions of the wrong remainder never meet an input; they are not visited, where
    dilation allows.
    """
    stride, dilation, before = node["strides"][axis], node["dilation"][axis], node["padding"][axis]
    if dilation == 1:
        positions = -(-size // stride)
        if positions == 1:  # TVM's compute_at would give a loop over it another type than its conditions have
            return None, lambda place: ((place + before) % stride, (place + before) // stride)
        tap = _axis(positions, f"tap{axis}")
        return tap, lambda place: ((place + before) % stride + tap * stride, (place + before) // stride - tap)
    tap = _axis(size, f"tap{axis}")

    def source(place: Expr) -> tuple[Expr, Expr]:
        distance = place + before - tap * dilation
        return tap, tirx.Select(
            tirx.floormod(distance, stride) == 0, tirx.floordiv(distance, stride), number(-1, "int64")
        )

    return tap, source


def linear_sums(node: Node, x: Tensor, weight: Tensor, **options: Any) -> Tensor:
    """The sums of nn.linear in the type of `x`."""
    k = _axis(int(weight.shape[0]), "k")
    return compute(
        node.result.type.static_shape, lambda *i: te.sum(x(*i[:-1], k) * weight(k, i[-1]), axis=[k]), **options
    )


def matmul_sums(node: Node, a: Tensor, b: Tensor, **options: Any) -> Tensor:
    """The sums of nn.matmul in the type of `a`."""
    k = _axis(int(a.shape[-1]), "k")
    rows, columns = len(a.shape) > 1, len(b.shape) > 1

    def element(*index: Expr) -> Expr:
        batch = index[: len(index) - rows - columns]
        row = [index[len(batch)]] if rows else []
        column = [index[-1]] if columns else []
        left = at(_Batched(a, 2 if rows else 1), [*batch, *row, k])
        right = at(_Batched(b, 2 if columns else 1), [*batch, k, *column])
        return te.sum(left * right, axis=[k])

    return compute(node.result.type.static_shape, element, **options)


def _with_bias(sums: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    def rule(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> list[Tensor]:
        return [_add_bias(sums(node, widened(x), widened(weight)), bias, node.result.type)]

    return rule


class _Batched:
    """A tensor whose last `own` dimensions never broadcast, though they be 1."""

    def __init__(self, tensor: Tensor, own: int) -> None:
        self.tensor = tensor
        sizes = [int(d) for d in tensor.shape]
        self.shape = [*sizes[: len(sizes) - own], *(0 for _ in range(own))]

    def __call__(self, *index: Expr) -> Expr:
        return self.tensor(*index)


def pool(node: Node, x: Tensor, padding: Expr, reduce: Callable[..., Expr]) -> Tensor:
    """Each window of an image reduced, `padding` standing around it."""
    image = _pad_images(x, node["padding"], padding)
    (height, width), strides, dilation = node["kernel"], node["strides"], node["dilation"]
    y, k = _axis(height, "y"), _axis(width, "k")

    def element(n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
        return reduce(image(n, h * strides[0] + y * dilation[0], w * strides[1] + k * dilation[1], c), axis=[y, k])

    return compute(node.result.type.static_shape, element)


def _pool(node: Node, x: Tensor) -> list[Tensor]:
    result = node.result.type
    is_maximum = node.op.name == "nn.max_pool2d"
    original = x
    if not is_maximum:
        x = widened(x)
    dtype = dtype_of(x)
    neutral = te.min_value(dtype) if is_maximum and not dtype.startswith("float") else None
    if neutral is None:
        neutral = number(float("-inf") if is_maximum else 0, dtype)
    pooled = pool(node, x, neutral, te.max if is_maximum else te.sum)
    if is_maximum:
        return [pooled]
    size = [int(d) for d in original.shape[1:3]]

    def inside(place: Expr, axis: int) -> Expr:
        """How many taps of the window at output `place` meet the image."""
        count: Expr = number(0, "int64")
        for tap in range(node["kernel"][axis]):
            source = place * node["strides"][axis] + tap * node["dilation"][axis] - node["padding"][axis]
            count = count + tirx.Select(
                tirx.all(source >= 0, source < size[axis]), number(1, "int64"), number(0, "int64")
            )
        return count

    def mean(n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
        count = number(prod(node["kernel"]), "int64") if node["count_include_pad"] else inside(h, 0) * inside(w, 1)
        return pooled(n, h, w, c) / count.astype(dtype)

    return [narrowed(compute(result.static_shape, mean), str(result.dtype.numpy))]


RULES: dict[str, Any] = {
    "nn.conv2d": _with_bias(conv2d_sums),
    "nn.conv2d_transpose": _with_bias(conv2d_transpose_sums),
    "nn.linear": _with_bias(linear_sums),
    "nn.matmul": _with_bias(matmul_sums),
    "nn.average_pool2d": _pool,
    "nn.max_pool2d": _pool,
}
