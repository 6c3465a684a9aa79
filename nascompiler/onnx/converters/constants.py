"""Constants, and operators that do nothing at inference."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal

FAMILY = Family()


@FAMILY.op("Constant")
def constant(c: Conversion) -> Value:
    tensor = c.tensor("value")
    if tensor is not None:
        return c.constant(tensor)
    for name, dtype in {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }.items():
        if c.has(name):
            return c.constant(np.array(c.raw(name), dtype))
    raise Refusal("only tensors and numbers are supported as values")


@FAMILY.op("Identity")
def identity(c: Conversion) -> Value:
    return c.operand(0)


@FAMILY.op("Dropout", until=11)
def dropout(c: Conversion) -> tuple[Value, ...]:
    return _with_mask(c)


@FAMILY.op("Dropout", since=12)
def dropout_with_mode(c: Conversion) -> tuple[Value, ...]:
    mode = c.fixed(2, "training_mode")
    if mode is not None and mode.any():
        raise Refusal("training_mode is true; only inference is supported")
    return _with_mask(c)


def _with_mask(c: Conversion) -> tuple[Value, ...]:
    """The input as it is; the mask, if it is wanted, keeps every element."""
    x = c.operand(0)
    if not c.wants_output(1):
        return (x,)
    if c.opset < 10:
        raise Refusal("the mask of Dropout before opset 10 is not supported")
    ones = c.op("constant_of_shape", c.op("shape", x), value=1, dtype=c.constant(True).type.dtype)
    return x, ones
