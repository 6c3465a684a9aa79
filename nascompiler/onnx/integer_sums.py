"""Exact 32-bit sums that a model scales itself: with a bias and scales that are constants they are qnn ops.

ConvInteger and MatMulInteger end at the sums; Add, Cast and Mul follow as nodes of their own. Converters see one node
at a time, so they compute the sums on wide numbers and note them; `join_scaled_sums` looks at what follows once the
graph is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Node, Value
from nascompiler.ir.types import Array, Dim, DType


@dataclass(frozen=True)
class IntegerSum:
    """Sums of products of `x` and constant weights, and how to make the qnn op of them."""

    total: Value
    x: Value
    channel_axis: int
    """Of `total`, counted from the front."""
    make: Callable[..., Value]
    """make(weight_scale, bias, x_scale=...) -> a float32 result in the layout of `total`."""


def join_scaled_sums(builder: Builder, sums: Iterable[IntegerSum]) -> None:
    """float32(sum + bias) * scale becomes one qnn op, for constant biases and scales: one or one for each channel."""
    graph = builder.graph
    for found in sums:
        bias_node = _only_user(found.total, "nn.add")
        summed = found.total if bias_node is None else bias_node.result
        cast = _only_user(summed, "nn.cast")
        scaled = None if cast is None or cast["to"] is not DType.F32 else _only_user(cast.result, "nn.mul")
        if scaled is None or cast is None:
            continue
        channels = found.total.type.shape[found.channel_axis] if found.total.type.shape else None
        scale = _per_channel(scaled, cast.result, found, channels)
        bias = None if bias_node is None else _per_channel(bias_node, found.total, found, channels)
        if scale is None or (bias_node is not None and bias is None) or not isinstance(channels, int):
            continue
        split = _split_scale(scale, found.x)
        if split is None:
            continue
        x_scale, weight_scale = split
        builder.before, builder.origin = scaled, scaled.origin
        made = found.make(
            graph.constant(weight_scale),
            None if bias is None else graph.constant(np.broadcast_to(bias, (channels,)).astype(np.int32)),
            x_scale=x_scale,
        )
        graph.replace_all_uses(scaled.result, made)
        made.name = made.name or scaled.result.name
        builder.before = None


def _only_user(value: Value, op: str) -> Node | None:
    user = value.sole_user
    return user if user is not None and user.op.name == op else None


def _per_channel(node: Node, value: Value, found: IntegerSum, channels: Dim) -> Array | None:
    """The constant that a node combines with `value`, as [1] or [channels]; None when it is something else."""
    other = node.operands[1] if node.operands[0] is value else node.operands[0]
    rank = value.type.rank or 0
    if other.array is None or not isinstance(channels, int) or other.array.ndim > rank:
        return None
    if other.array.size == 1:
        return other.array.reshape(1)
    expected = [1] * rank
    expected[found.channel_axis] = channels
    aligned = (1,) * (rank - other.array.ndim) + other.array.shape
    return other.array.reshape(-1) if list(aligned) == expected else None


def _split_scale(scale: Array, x: Value) -> tuple[float, Array] | None:
    """x_scale and weight scales whose products in float32 are `scale`; None where there are none.

    The type of `x` may say what its scale is.
    """
    total = scale.astype(np.float32)
    if not np.all(np.isfinite(total) & (total > 0)):
        return None
    if x.type.quantization is None:
        return 1.0, total
    own = np.float32(x.type.quantization.scale[0])
    weight = np.divide(total, own)
    for toward in (np.float32(0), np.float32(np.inf)):
        wrong = np.multiply(weight, own) != total
        weight = np.where(wrong, np.nextafter(np.divide(total, own), toward), weight)
    return None if np.any(np.multiply(weight, own) != total) else (float(own), weight)
