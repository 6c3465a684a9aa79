"""How the ops of the dialect declare operands and attributes, and the types of what they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nascompiler.ir.attributes import AttributeDef, Kind, dtype, integer, string
from nascompiler.ir.dialects.nn.inference import dims, require_dim, shape_text
from nascompiler.ir.ops import InferenceError, Operand
from nascompiler.ir.types import Dim, DType, Quantization, TensorType

ACTIVATION_TYPES = frozenset({DType.I8, DType.U8, DType.I16, DType.U16})
WEIGHT_TYPES = frozenset({DType.I8, DType.U8, DType.I16})

EPILOGUES = ("none", "relu", "relu6", "hard_swish", "hard_sigmoid")
"""What may follow a sum before it is rounded: functions of float32 multiplications, additions and clamps alone. Others
are tables: see `qnn.lookup`."""
EPILOGUE = string("activation", "none", among=EPILOGUES)
CLAMP = string("activation", "none", among=EPILOGUES[:3])

_SCALE = Kind("a positive number", lambda v: isinstance(v, float) and 0 < v < float("inf"))


def quantized(name: str, **options: Any) -> Operand:
    """An operand of quantised activations."""
    return Operand(name, ACTIVATION_TYPES, **options)


def weights(name: str, **options: Any) -> Operand:
    """An operand of quantised weights."""
    return Operand(name, WEIGHT_TYPES, parameter=True, **options)


WEIGHT_SCALE = Operand("weight_scale", frozenset({DType.F32}), rank=1, parameter=True)
BIAS = Operand("bias", frozenset({DType.I32}), rank=1, parameter=True, optional=True)


def affine(prefix: str = "") -> tuple[AttributeDef, AttributeDef]:
    """The attributes `scale` and `zero_point` of a tensor, with a prefix for operands: `x_scale`, `x_zero_point`."""
    return AttributeDef(f"{prefix}scale", _SCALE), integer(f"{prefix}zero_point", 0)


RESULT = (*affine(), dtype("dtype", DType.I8))
"""Scale, zero point and type of the result."""
SUM_RESULT = (AttributeDef("scale", _SCALE, 1.0), integer("zero_point", 0), dtype("dtype", DType.I8))
"""The same where the result may stay float32, which has neither scale nor zero point."""
WEIGHT_ZERO_POINT = integer("weight_zero_point", 0)


def result_type(shape: tuple[Dim, ...], dtype: DType, scale: float, zero_point: int) -> TensorType:
    """A result of quantised integers, or of float32 without a quantisation."""
    if dtype is DType.F32:
        return TensorType(shape, dtype)
    return integer_type(shape, dtype, scale, zero_point)


def integer_type(shape: tuple[Dim, ...], dtype: DType, scale: float, zero_point: int) -> TensorType:
    """A result of quantised integers."""
    if dtype not in ACTIVATION_TYPES:
        raise InferenceError(f"dtype is {dtype}; accepted: {', '.join(sorted(map(str, ACTIVATION_TYPES)))}")
    require_in_range("zero_point", zero_point, dtype)
    return TensorType(shape, dtype, Quantization.per_tensor(scale, zero_point))


def require_in_range(name: str, zero_point: int, dtype: DType) -> None:
    """Refuse a zero point that is no value of the type."""
    from nascompiler.ir.dialects.qnn.arithmetic import limits

    low, high = limits(dtype)
    if not low <= zero_point <= high:
        raise InferenceError(f"{name} is {zero_point}; of {dtype} it must be from {low} to {high}")


def require_scale(name: str, x: TensorType, scale: float, zero_point: int) -> None:
    """Refuse an operand whose type says other than the op's attributes what its integers stand for."""
    require_in_range(f"{name}_zero_point", zero_point, x.dtype)
    stated = Quantization.per_tensor(scale, zero_point)
    if x.quantization is not None and x.quantization != stated:
        raise InferenceError(
            f"{name} has scale {x.quantization.scale[0]!r} and zero point {x.quantization.zero_point[0]} where the "
            f"attributes say {stated.scale[0]!r} and {zero_point}; they must be the same"
        )


def require_weight_scale(weight_scale: TensorType, features: Dim) -> None:
    """Refuse scales that are neither one nor one for each output channel."""
    if dims(weight_scale) != (1,):
        require_dim("weight_scale", 0, weight_scale, features, "one for each output channel, or a single one")


def as_float(x: TensorType) -> TensorType:
    """The operand as the float op sees it, whose shape rules are the same."""
    return replace(x, dtype=DType.F32, quantization=None)


def require_shape(name: str, x: TensorType, expected: tuple[Dim, ...], because: str) -> None:
    """Refuse an operand whose shape is known and another."""
    if x.is_static and dims(x) != expected:
        raise InferenceError(f"{name} has shape {shape_text(dims(x))}; it must be {shape_text(expected)} ({because})")
