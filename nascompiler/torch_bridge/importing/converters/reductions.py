"""Reductions along axes."""

from __future__ import annotations

from math import inf
from typing import Any

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family, Function

FAMILY = Family()


def _reduction(op: str) -> Function:
    def convert(c: Conversion) -> Value:
        x = c.cast(c.value(), c.dtype)
        return c.op(op, x, axes=c.axes(x, "dim"), keepdims=c.boolean("keepdim"))

    return convert


FAMILY.add(_reduction("reduce_sum"), "sum")
FAMILY.add(_reduction("reduce_mean"), "mean")
FAMILY.add(_reduction("reduce_prod"), "prod")
FAMILY.add(_reduction("reduce_max"), "amax")
FAMILY.add(_reduction("reduce_min"), "amin")


def _extreme(reduce: str, argument: str, elementwise: str) -> Function:
    """max and min: of all elements, of two tensors, or (values, indices) along one axis."""

    def convert(c: Conversion) -> tuple[Any, ...] | Value:
        x = c.value()
        if c.has("other"):
            return c.op(elementwise, c.operand(x, c.dtype), c.operand(c.raw("other"), c.dtype))
        if not c.has("dim"):
            return c.op(reduce, x, axes=tuple(range(c.rank(x))), keepdims=False)
        axis, keep = c.axis(x, c.integer("dim")), c.boolean("keepdim")
        return c.op(reduce, x, axes=(axis,), keepdims=keep), c.op(argument, x, axis=axis, keepdims=keep)

    return convert


FAMILY.add(_extreme("reduce_max", "argmax", "maximum"), "max")
FAMILY.add(_extreme("reduce_min", "argmin", "minimum"), "min")


def _argument(op: str) -> Function:
    def convert(c: Conversion) -> Value:
        x = c.value()
        if c.has("dim"):
            return c.op(op, x, axis=c.axis(x, c.integer("dim")), keepdims=c.boolean("keepdim"))
        return c.op(op, c.reshape(x, (-1,)), axis=0, keepdims=False)

    return convert


FAMILY.add(_argument("argmax"), "argmax")
FAMILY.add(_argument("argmin"), "argmin")


@FAMILY.op("linalg_vector_norm")
def vector_norm(c: Conversion) -> Value:
    """The sum of absolute values, the root of the sum of squares, or the largest absolute value."""
    x, order = c.cast(c.value(), c.dtype), c.number("ord")
    how = {"axes": c.axes(x, "dim"), "keepdims": c.boolean("keepdim")}
    if order == 2:
        return c.op("sqrt", c.op("reduce_sum", c.op("mul", x, x), **how))
    if order not in (1, inf):
        raise Refusal(f"ord={order}; accepted: 1, 2 and inf")
    return c.op("reduce_sum" if order == 1 else "reduce_max", c.op("abs", x), **how)


@FAMILY.op("var")
def variance(c: Conversion) -> Value:
    """The sum of squared distances from the mean by n - correction."""
    x = c.value()
    axes = c.axes(x, "dim")
    centered = c.op("sub", x, c.op("reduce_mean", x, axes=axes))
    total = c.op("reduce_sum", c.op("mul", centered, centered), axes=axes, keepdims=c.boolean("keepdim"))
    count = 1
    for axis in axes:
        count *= c.dim(x, axis)
    given = c.raw("correction")
    correction = float(given) if given is not None else float(c.raw("unbiased") is not False)
    return c.op("div", total, c.constant(count - correction, c.dtype))
