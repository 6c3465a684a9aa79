"""Reductions along axes."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family, Function
from nascompiler.onnx.errors import Unknown
from nascompiler.onnx.tensors import MAXIMUM_MADE

FAMILY = Family()
_MOVED_TO_INPUT = {"ReduceSum": 13}
"""The opset from which on the axes are an input; 18 for all others."""


def _axes(c: Conversion, operator: str) -> tuple[int, ...]:
    """The axes to reduce; none given means all, unless noop_with_empty_axes says none."""
    rank = c.rank(c.operand(0))
    if c.opset < _MOVED_TO_INPUT.get(operator, 18):
        given = c.integers("axes")
    else:
        given = c.fixed_integers(1, "axes")
    if given:
        return c.axes(given, rank)
    return () if c.boolean("noop_with_empty_axes") else tuple(range(rank))


def reduce(c: Conversion, op: str, value: Value, axes: tuple[int, ...], *, keepdims: bool | None = None) -> Value:
    keep = bool(c.integer("keepdims", 1)) if keepdims is None else keepdims
    return c.op(op, value, axes=axes, keepdims=keep) if axes else value


def _plain(operator: str, op: str) -> Function:
    return lambda c: reduce(c, op, c.operand(0), _axes(c, operator))


for _operator, _op in {
    "ReduceSum": "reduce_sum",
    "ReduceMean": "reduce_mean",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
}.items():
    FAMILY.add(_plain(_operator, _op), _operator)


@FAMILY.op("ReduceL1")
def l1(c: Conversion) -> Value:
    return reduce(c, "reduce_sum", c.op("abs", c.operand(0)), _axes(c, "ReduceL1"))


@FAMILY.op("ReduceSumSquare")
def sum_of_squares(c: Conversion) -> Value:
    return reduce(c, "reduce_sum", c.op("mul", c.operand(0), c.operand(0)), _axes(c, "ReduceSumSquare"))


@FAMILY.op("ReduceL2")
def l2(c: Conversion) -> Value:
    return c.op("sqrt", reduce(c, "reduce_sum", c.op("mul", c.operand(0), c.operand(0)), _axes(c, "ReduceL2")))


@FAMILY.op("ReduceLogSum")
def log_of_sum(c: Conversion) -> Value:
    return c.op("log", reduce(c, "reduce_sum", c.operand(0), _axes(c, "ReduceLogSum")))


@FAMILY.op("ReduceLogSumExp")
def log_of_sum_of_exponentials(c: Conversion) -> Value:
    """max + log(sum(exp(x - max))), which does not overflow; an infinite maximum is left out of it."""
    x, axes = c.operand(0), _axes(c, "ReduceLogSumExp")
    largest = reduce(c, "reduce_max", x, axes, keepdims=True)
    is_infinite = c.op("equal", c.op("abs", largest), c.scalar(float("inf"), x))
    shift = c.op("where", is_infinite, c.scalar(0, x), largest)
    total = reduce(c, "reduce_sum", c.op("exp", c.op("sub", x, shift)), axes, keepdims=True)
    result = c.op("add", c.op("log", total), shift)
    if c.boolean("keepdims") or not axes:
        return result
    return c.op("squeeze", result, axes=axes)


def _argument(op: str) -> Function:
    def convert(c: Conversion) -> Value:
        x = c.operand(0)
        return c.op(
            op,
            x,
            axis=c.axis(c.integer("axis"), c.rank(x)),
            keepdims=c.boolean("keepdims"),
            select_last=c.boolean("select_last_index"),
        )

    return convert


FAMILY.add(_argument("argmax"), "ArgMax")
FAMILY.add(_argument("argmin"), "ArgMin")


@FAMILY.op("Hardmax", since=13)
def hardmax(c: Conversion) -> Value:
    """1 at the first maximum along `axis`, 0 elsewhere."""
    x = c.operand(0)
    rank = c.rank(x)
    axis = c.axis(c.integer("axis", -1), rank)
    length = c.shape(x)[axis]
    if not isinstance(length, int) or length > MAXIMUM_MADE:
        raise Unknown(f"the size {length} of its axis is not known or above {MAXIMUM_MADE}")
    places = c.constant(np.arange(length).reshape([length if i == axis else 1 for i in range(rank)]), DType.I64)
    first = c.op("argmax", x, axis=axis, keepdims=True)
    return c.op("cast", c.op("equal", places, first), to=x.type.dtype)
