"""Ops that move or select elements. Where the place an element comes from is not a formula, it is a table."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from tvm import tirx

from nascompiler.backends.tvm_adapter.leftovers.expressions import Expr, Tensor, compute, dtype_of, number
from nascompiler.ir.dialects.nn.resize import nearest_elements, neighbours
from nascompiler.ir.graph import Node
from nascompiler.ir.types import Array


def _transpose(node: Node, x: Tensor) -> list[Tensor]:
    permutation = node["permutation"]

    def element(*index: Expr) -> Expr:
        place = [index[permutation.index(axis)] for axis in range(len(permutation))]
        return x(*place)

    return [compute(node.result.type.static_shape, element)]


def _slice(node: Node, x: Tensor) -> list[Tensor]:
    sizes = [int(d) for d in x.shape]
    starts, steps = [0] * len(sizes), [1] * len(sizes)
    for axis, start, end, step in zip(node["axes"], node["starts"], node["ends"], node["steps"], strict=True):
        begin, _, by = slice(start, end, step).indices(sizes[axis])
        starts[axis % len(sizes)], steps[axis % len(sizes)] = begin, by
    return [
        compute(
            node.result.type.static_shape,
            lambda *index: x(*(i * step + start for i, start, step in zip(index, starts, steps, strict=True))),
        )
    ]


def _concat(node: Node, *xs: Tensor) -> list[Tensor]:
    axis = node["axis"] % len(xs[0].shape)

    def element(*index: Expr) -> Expr:
        end = sum(int(x.shape[axis]) for x in xs)
        value = None
        for x in reversed(xs):
            start = end - int(x.shape[axis])
            here = x(*index[:axis], index[axis] - start, *index[axis + 1 :])
            value = here if value is None else tirx.if_then_else(index[axis] < end, here, value)
            end = start
        return value

    return [compute(node.result.type.static_shape, element)]


def _split(node: Node, x: Tensor) -> list[Tensor]:
    axis = node["axis"] % len(x.shape)

    def part(first: int, sizes: tuple[int, ...]) -> Tensor:
        return compute(sizes, lambda *index: x(*index[:axis], index[axis] + first, *index[axis + 1 :]))

    starts = accumulate((r.type.static_shape[axis] for r in node.results), initial=0)
    return [part(first, r.type.static_shape) for first, r in zip(starts, node.results, strict=False)]


def _gather(node: Node, x: Tensor, indices: Tensor) -> list[Tensor]:
    axis, rank = node["axis"] % len(x.shape), len(indices.shape)
    size = number(int(x.shape[axis]), dtype_of(indices))
    zero = number(0, dtype_of(indices))

    def element(*index: Expr) -> Expr:
        wanted = indices(*index[axis : axis + rank])
        wanted = tirx.Select(wanted < zero, wanted + size, wanted)
        # an index out of range is the caller's error, but must not read outside the tensor
        inside = tirx.max(tirx.min(wanted, size - number(1, dtype_of(indices))), zero)
        return x(*index[:axis], inside, *index[axis + rank :])

    return [compute(node.result.type.static_shape, element)]


def _expand(node: Node, x: Tensor) -> list[Tensor]:
    sizes = node.result.type.static_shape
    offset = len(sizes) - len(x.shape)

    def element(*index: Expr) -> Expr:
        return x(*(index[offset + a] if int(d) != 1 else 0 for a, d in enumerate(x.shape)))

    return [compute(sizes, element)]


def _tile(node: Node, x: Tensor) -> list[Tensor]:
    def element(*index: Expr) -> Expr:
        return x(*(i % int(d) for i, d in zip(index, x.shape, strict=True)))

    return [compute(node.result.type.static_shape, element)]


def _depth_to_space(node: Node, x: Tensor) -> list[Tensor]:
    block, features = node["block"], node.result.type.static_shape[3]

    def element(n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
        within = (h % block) * block + w % block
        channel = within * features + c if node["mode"] == "DCR" else c * (block * block) + within
        return x(n, h // block, w // block, channel)

    return [compute(node.result.type.static_shape, element)]


def _space_to_depth(node: Node, x: Tensor) -> list[Tensor]:
    block, channels = node["block"], int(x.shape[3])

    def element(n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
        within = c // channels
        return x(n, h * block + within // block, w * block + within % block, c % channels)

    return [compute(node.result.type.static_shape, element)]


def _pad(node: Node, x: Tensor, *tables: Tensor) -> list[Tensor]:
    before, sizes = node["before"], [int(d) for d in x.shape]

    def constant(*index: Expr) -> Expr:
        places = [i - low for i, low in zip(index, before, strict=True)]
        inside = [
            condition
            for place, low, high, size in zip(places, before, node["after"], sizes, strict=True)
            for condition in ([place >= 0] if low > 0 else []) + ([place < size] if high > 0 else [])
        ]
        value = x(*places)
        return tirx.if_then_else(tirx.all(*inside), value, _pad_value(node, dtype_of(x))) if inside else value

    def from_table(*index: Expr) -> Expr:
        return x(*(table(i) for table, i in zip(tables, index, strict=True)))

    return [compute(node.result.type.static_shape, from_table if tables else constant)]


def _pad_value(node: Node, dtype: str) -> Expr:
    return number(np.asarray(node["value"]).astype(dtype).item(), dtype)


def _pad_tables(node: Node) -> list[Array]:
    """For each axis the index of the element that comes to each place; none for constant padding."""
    if node["mode"] == "constant":
        return []
    tables = []
    for size, low, high in zip(node.operands[0].type.static_shape, node["before"], node["after"], strict=True):
        kept = np.arange(size, dtype=np.int64)[-min(low, 0) : size + min(high, 0)]
        tables.append(np.pad(kept, (max(low, 0), max(high, 0)), mode=node["mode"]))
    return tables


def _resize(node: Node, x: Tensor, *tables: Tensor) -> list[Tensor]:
    sizes = node.result.type.static_shape
    if node["mode"] == "nearest":
        rows, places = tables
        return [compute(sizes, lambda n, h, w, c: x(n, rows(h), places(w), c))]
    low_y, high_y, part_y, low_x, high_x, part_x = tables
    dtype = dtype_of(x)

    def blend(a: Expr, b: Expr, part: Expr) -> Expr:
        part = part.astype("float32" if dtype == "float16" else dtype)
        return a.astype(dtype_of(part)) * (number(1, dtype_of(part)) - part) + b.astype(dtype_of(part)) * part

    def element(n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
        upper = blend(x(n, low_y(h), low_x(w), c), x(n, low_y(h), high_x(w), c), part_x(w))
        lower = blend(x(n, high_y(h), low_x(w), c), x(n, high_y(h), high_x(w), c), part_x(w))
        return blend(upper, lower, part_y(h)).astype(dtype)

    return [compute(sizes, element)]


def resize_neighbours(node: Node) -> list[Array]:
    """For height and width: the nearest element, or both neighbours and the share (float64) of the second."""
    tables: list[Array] = []
    for axis, target in ((1, node["size"][0]), (2, node["size"][1])):
        length = node.operands[0].type.static_shape[axis]
        scale = node["scales"][axis - 1] if node["scales"] else None
        if node["mode"] == "nearest":
            tables.append(nearest_elements(length, target, scale, node["coordinates"], node["rounding"]))
        else:
            tables += neighbours(length, target, scale, node["coordinates"])
    return tables


RULES: dict[str, Any] = {
    "nn.transpose": _transpose,
    "nn.slice": _slice,
    "nn.concat": _concat,
    "nn.split": _split,
    "nn.gather": _gather,
    "nn.expand": _expand,
    "nn.tile": _tile,
    "nn.depth_to_space": _depth_to_space,
    "nn.space_to_depth": _space_to_depth,
    "nn.pad": _pad,
    "nn.resize": _resize,
}

TABLES: dict[str, Any] = {"nn.pad": _pad_tables, "nn.resize": resize_neighbours}
