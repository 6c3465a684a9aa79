"""Computing with shapes. What is known at import is folded on the way (see nascompiler.onnx.known)."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal

FAMILY = Family()


@FAMILY.op("Shape")
def shape(c: Conversion) -> Value:
    x = c.operand(0)
    if not (c.integer("start") or c.has("end")):
        return c.op("shape", x)
    rank = c.rank(x)
    start, end, _ = slice(c.integer("start"), c.integer("end") if c.has("end") else None).indices(rank)
    return c.op("shape", x, start=start, end=max(end, start))


@FAMILY.op("Size")
def size(c: Conversion) -> Value:
    return c.op("reduce_prod", c.op("shape", c.operand(0)), axes=(0,), keepdims=False)


@FAMILY.op("ConstantOfShape")
def constant_of_shape(c: Conversion) -> Value:
    tensor = c.tensor("value")
    value = np.zeros(1, np.float32) if tensor is None else tensor
    if value.size != 1:
        raise Refusal(f"its value has {value.size} elements; 1 is expected")
    number = float(value.item())
    if number != value.item():
        raise Refusal(f"its value {value.item()} is too large")
    return c.op("constant_of_shape", c.operand(0), value=number, dtype=DType.of(value.dtype))


@FAMILY.op("Range")
def range_(c: Conversion) -> Value:
    return c.op("range", c.operand(0), c.operand(1), c.operand(2))
