"""Computing with shapes: ops that exist only until constants are folded, and are legal only before lowering."""

from __future__ import annotations

import math

import numpy as np

from nascompiler.ir.attributes import dtype, integer, number
from nascompiler.ir.dialects.nn.indexing import END
from nascompiler.ir.dialects.nn.inference import dims, like, require_same_dtype
from nascompiler.ir.ops import InferenceError, OpDef, Operand, indices, numbers, register_op
from nascompiler.ir.types import Array, DType, TensorType


def shape_from(operand: TensorType, constant: Array | None, *, name: str = "shape") -> TensorType:
    """A type (of f32) with the shape that a 1-D operand of sizes holds, its dimensions open until it is constant."""
    if constant is None:
        rank = dims(operand)[0]
        return TensorType((None,) * rank if isinstance(rank, int) else None)
    sizes = constant.tolist()
    if any(size < 0 for size in sizes):
        raise InferenceError(f"{name} is {sizes}; accepted: sizes >= 0")
    return TensorType(sizes)


register_op(
    OpDef(
        name="nn.shape",
        summary="The sizes (i64) of the dimensions of x from `start` to `end`, which are as in a Python slice.",
        operands=(Operand("x"),),
        attributes=(integer("start", 0), integer("end", END)),
        infer=lambda x, *, start, end: TensorType((len(dims(x)[start:end]),), DType.I64),
        evaluate=lambda x, *, start, end: np.asarray(x.shape[start:end], np.int64),
        result_dtype=DType.I64,
    )
)


def _infer_constant(
    shape: TensorType, *, value: float, dtype: DType, constants: tuple[Array | None, ...]
) -> TensorType:
    return shape_from(shape, constants[0]).with_dtype(dtype)


register_op(
    OpDef(
        name="nn.constant_of_shape",
        summary="A tensor of the given shape (1-D) that holds `value` everywhere.",
        operands=(indices("shape", rank=1),),
        attributes=(number("value", 0.0), dtype("dtype", DType.F32)),
        infer=_infer_constant,
        infer_uses_constants=True,
        evaluate=lambda shape, *, value, dtype: np.full(shape, value, dtype.numpy),
        result_dtype="dtype",
    )
)


def _range_length(start: Array, limit: Array, delta: Array) -> int:
    first, end, step = (array.item() for array in (start, limit, delta))
    if step == 0:
        raise InferenceError("delta is 0; accepted: any other number")
    exact: int = math.ceil((end - first) / step) if start.dtype.kind == "f" else -((first - end) // step)
    return max(0, exact)


def _infer_range(
    start: TensorType, limit: TensorType, delta: TensorType, *, constants: tuple[Array | None, ...]
) -> TensorType:
    require_same_dtype(start=start, limit=limit, delta=delta)
    first, last, step = constants
    if first is None or last is None or step is None:
        return TensorType((None,), start.dtype)
    return TensorType((_range_length(first, last, step),), start.dtype)


def _range(start: Array, limit: Array, delta: Array) -> Array:
    steps = np.arange(_range_length(start, limit, delta)).astype(start.dtype)
    return like(np.add(start, np.multiply(steps, delta)), start)


register_op(
    OpDef(
        name="nn.range",
        summary="start, start + delta, ... up to but without `limit`; the three are scalars.",
        operands=(numbers("start", rank=0), numbers("limit", rank=0), numbers("delta", rank=0)),
        infer=_infer_range,
        infer_uses_constants=True,
        evaluate=_range,
    )
)
