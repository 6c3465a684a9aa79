"""Comparisons and logic."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family, Function

FAMILY = Family()

_BINARY = {
    "Equal": "equal",
    "Less": "less",
    "Greater": "greater",
    "LessOrEqual": "less_equal",
    "GreaterOrEqual": "greater_equal",
    "And": "logical_and",
    "Or": "logical_or",
    "Xor": "logical_xor",
}


def _binary(op: str) -> Function:
    return lambda c: c.op(op, c.operand(0), c.operand(1))


for _operator, _op in _BINARY.items():
    FAMILY.add(_binary(_op), _operator)

FAMILY.add(lambda c: c.op("logical_not", c.operand(0)), "Not")
FAMILY.add(lambda c: c.op("where", c.operand(0), c.operand(1), c.operand(2)), "Where")


@FAMILY.op("IsNaN")
def is_nan(c: Conversion) -> Value:
    """NaN is the only number that differs from itself."""
    return c.op("logical_not", c.op("equal", c.operand(0), c.operand(0)))


@FAMILY.op("IsInf")
def is_infinite(c: Conversion) -> Value:
    x = c.operand(0)
    positive = c.op("equal", x, c.scalar(np.inf, x)) if c.boolean("detect_positive") else None
    negative = c.op("equal", x, c.scalar(-np.inf, x)) if c.boolean("detect_negative") else None
    if positive is not None and negative is not None:
        return c.op("logical_or", positive, negative)
    return positive or negative or c.op("logical_and", c.op("less", x, x), c.constant(False))
