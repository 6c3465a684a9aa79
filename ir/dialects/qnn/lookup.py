"""Any function of one quantised number: a table with an entry for each value the number may have."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.attributes import AttributeDef, Kind, string
from nascompiler.ir.dialects.nn.inference import dims
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.dialects.qnn.declarations import (
    ACTIVATION_TYPES,
    affine,
    integer_type,
    quantized,
    require_scale,
    require_shape,
)
from nascompiler.ir.ops import OPS, OpDef, Operand, register_op
from nascompiler.ir.types import Array, DType, TensorType

_PARAMETERS = Kind("a list of numbers", lambda v: isinstance(v, tuple) and all(isinstance(p, float) for p in v))


def _infer(
    x: TensorType,
    table: TensorType,
    *,
    x_scale: float,
    x_zero_point: int,
    scale: float,
    zero_point: int,
    function: str,
    parameters: tuple[float, ...],
) -> TensorType:
    require_scale("x", x, x_scale, x_zero_point)
    low, high = arithmetic.limits(x.dtype)
    require_shape("table", table, (high - low + 1,), f"one entry for each value of {x.dtype}")
    return integer_type(dims(x), table.dtype, scale, zero_point)


def _lookup(x: Array, table: Array, **attributes: object) -> Array:
    low, _ = arithmetic.limits(DType.of(x.dtype))
    result: Array = table[x.astype(np.int32) - low]
    return result


register_op(
    OpDef(
        name="qnn.lookup",
        summary=(
            "table[x - lowest], lowest the least integer of x's type: 256 entries for 8 bits, 65,536 for 16. The "
            "entries are the result's integers; `function` (an op such as nn.sigmoid) and its number attributes in "
            "order, `parameters`, say what they were made of."
        ),
        operands=(quantized("x"), Operand("table", ACTIVATION_TYPES, rank=1, parameter=True)),
        attributes=(
            *affine("x_"),
            *affine(),
            string("function", ""),
            AttributeDef("parameters", _PARAMETERS, ()),
        ),
        infer=_infer,
        evaluate=_lookup,
        result_dtype=1,
    )
)


def function_table(
    function: str,
    parameters: tuple[float, ...],
    *,
    x_scale: float,
    x_zero_point: int,
    x_dtype: DType,
    scale: float,
    zero_point: int,
    dtype: DType,
) -> Array:
    """The table of `qnn.lookup` for a float op of one operand.

    The function is evaluated in float64, which makes the table the same wherever it is made: exponentials in float32
    differ between machines in the last bit.
    """
    low, high = arithmetic.limits(x_dtype)
    integers = np.arange(low, high + 1, dtype=np.int64)
    reals = (integers - x_zero_point) * float(np.float32(x_scale))
    op = OPS[function]
    names = [a.name for a in op.attributes]
    assert op.evaluate is not None
    values = np.asarray(op.evaluate(reals, **op.complete_attributes(dict(zip(names, parameters, strict=True)))))
    entries = np.rint(values / float(np.float32(scale))) + zero_point
    return np.asarray(np.clip(entries, *arithmetic.limits(dtype)).astype(dtype.numpy))
