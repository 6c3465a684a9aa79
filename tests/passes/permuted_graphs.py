"""Random graphs of transposes between ops that depend on axes, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nascompiler.ir import Builder, DType, Graph, Value


class _Drawing:
    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = Builder()
        self.nn = self.builder.nn
        self.values: list[Value] = [self.builder.input("x", (2, 3, 4, 5)), self.builder.input("z", (1, 3, 1, 5))]

    def whether(self, share: float = 0.5) -> bool:
        return bool(self.random.random() < share)

    def pick(self, options: Any) -> Any:
        return options[self.random.integers(len(options))]

    def axis(self, x: Value) -> int:
        rank = x.type.rank or 0
        return int(self.random.integers(-rank, rank))

    def constant(self, shape: tuple[int, ...]) -> Value:
        return self.builder.constant(self.random.normal(size=shape).astype(np.float32))

    def some_axes(self, x: Value) -> tuple[int, ...]:
        rank = x.type.rank or 0
        return tuple(map(int, self.random.choice(rank, size=self.random.integers(1, rank + 1), replace=False)))


def _transpose(d: _Drawing, x: Value) -> Any:
    return d.nn.transpose(x, permutation=tuple(map(int, d.random.permutation(x.type.rank or 0))))


def _binary(d: _Drawing, x: Value) -> Any:
    other = d.pick(d.values)
    try:
        np.broadcast_shapes(x.type.static_shape, other.type.static_shape)
    except ValueError:
        return None
    return d.builder.op(d.pick(["nn.add", "nn.mul", "nn.sub", "nn.maximum"]), x, other)


def _with_constant(d: _Drawing, x: Value) -> Any:
    """A constant of any rank that broadcasts, on either side."""
    first = int(d.random.integers(0, (x.type.rank or 0) + 1))
    c = d.constant(tuple(size if d.whether() else 1 for size in x.type.static_shape[first:]))
    return d.nn.add(c, x) if d.whether() else d.nn.mul(x, c)


def _reduce(d: _Drawing, x: Value) -> Any:
    op = d.pick(["nn.reduce_mean", "nn.reduce_max", "nn.reduce_sum"])
    return d.builder.op(op, x, axes=d.some_axes(x), keepdims=d.whether())


def _reshape(d: _Drawing, x: Value) -> Any:
    """Dimensions merged, split, and of size 1 added."""
    sizes = list(x.type.static_shape)
    for _ in range(2):
        at = int(d.random.integers(len(sizes)))
        kind = d.pick(["merge", "split", "one"])
        if kind == "merge":
            sizes[at : at + 2] = [int(np.prod(sizes[at : at + 2]))]
        elif kind == "split":
            factor = d.pick([f for f in range(1, sizes[at] + 1) if sizes[at] % f == 0])
            sizes[at : at + 1] = [factor, sizes[at] // factor]
        else:
            sizes.insert(at, 1)
    return d.nn.reshape(x, shape=tuple(sizes))


def _squeeze(d: _Drawing, x: Value) -> Any:
    axes = tuple(i for i, size in enumerate(x.type.static_shape) if size == 1)
    return d.nn.squeeze(x, axes=axes) if axes else None


def _split(d: _Drawing, x: Value) -> Any:
    axis = d.axis(x)
    size = x.type.static_shape[axis]
    return d.pick(d.nn.split(x, axis=axis, sizes=(1, size - 1))) if size > 1 else None


def _batch_norm(d: _Drawing, x: Value) -> Any:
    axis = d.axis(x)
    statistics = (d.random.uniform(0.5, 2, x.type.static_shape[axis]).astype(np.float32) for _ in range(4))
    return d.nn.batch_norm(x, *map(d.builder.constant, statistics), axis=axis)


def _pad(d: _Drawing, x: Value) -> Any:
    rank = x.type.rank or 0
    return d.nn.pad(x, before=tuple(map(int, d.random.integers(0, 2, rank))), after=(0,) * rank, value=1.5)


_OPS: tuple[Callable[[_Drawing, Value], Any], ...] = (
    *(_transpose,) * 6,
    _binary,
    _binary,
    _with_constant,
    _reduce,
    _reshape,
    _squeeze,
    _split,
    _batch_norm,
    _pad,
    lambda d, x: d.builder.op(d.pick(["nn.relu", "nn.neg", "nn.hard_swish", "nn.sigmoid"]), x),
    lambda d, x: d.nn.where(d.nn.less(x, d.builder.constant(np.float32(0.1))), x, d.nn.neg(x)),
    lambda d, x: d.nn.softmax(x, axis=d.axis(x)),
    lambda d, x: d.nn.cast(d.nn.argmax(x, axis=d.axis(x), keepdims=d.whether()), to=DType.F32),
    lambda d, x: d.nn.flatten(x, axis=d.axis(x)),
    lambda d, x: d.nn.unsqueeze(x, axes=(d.axis(x),)),
    lambda d, x: d.nn.slice(x, axes=(d.axis(x),), starts=(0,), ends=(2,), steps=(1,)),
    lambda d, x: d.nn.concat(x, d.constant(x.type.static_shape), axis=d.axis(x)),
    lambda d, x: d.nn.gather(x, d.builder.constant(np.array(d.pick([0, [0, -1]]))), axis=d.axis(x)),
    lambda d, x: d.nn.expand(x, shape=x.type.static_shape[int(d.random.integers(x.type.rank or 0)) :]),
    lambda d, x: d.nn.tile(x, repeats=tuple(map(int, d.random.integers(1, 3, x.type.rank)))),
    lambda d, x: d.nn.layer_norm(x, axis=d.axis(x)),
    lambda d, x: d.nn.linear(x, d.constant((x.type.static_shape[-1], 5))),
)


def permuted_graph(seed: int) -> Graph:
    """Up to 16 ops on values of up to 6 dimensions; one to three outputs."""
    drawing = _Drawing(seed)
    for _ in range(drawing.random.integers(3, 17)):
        operands = [v for v in drawing.values if v.type.rank]
        made = drawing.pick(_OPS)(drawing, drawing.pick(operands))
        if made is not None and 0 < made.type.size <= 4000 and made.type.rank <= 6:
            drawing.values.append(made)
    outputs = drawing.values[-drawing.pick([1, 3]) :]
    return drawing.builder.outputs(**{f"y{i}": v for i, v in enumerate(outputs)})
