"""Arithmetic on corresponding elements; the binary ops broadcast as NumPy does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nascompiler.ir.attributes import AttributeDef, boolean, dtype
from nascompiler.ir.dialects.nn.fused import ACTIVATION, activate
from nascompiler.ir.dialects.nn.inference import broadcast, dims, like, moved, require_broadcasts_to, require_same_dtype
from nascompiler.ir.ops import OpDef, Operand, Trait, floats, numbers, register_op
from nascompiler.ir.types import Array, DType, TensorType


def infer_same(x: TensorType, **attributes: Any) -> TensorType:
    """A result of the shape and element type of `x`."""
    return TensorType(dims(x), x.dtype)


def infer_binary(a: TensorType, b: TensorType, **attributes: Any) -> TensorType:
    """`a` and `b` of one element type, broadcast."""
    require_same_dtype(a=a, b=b)
    return TensorType(broadcast(a=a, b=b), a.dtype)


def _binary(
    name: str, summary: str, evaluate: Callable[..., Any], *attributes: AttributeDef, commutative: bool = False
) -> None:
    register_op(
        OpDef(
            name=f"nn.{name}",
            summary=summary,
            operands=(numbers("a", parameter=True), numbers("b", parameter=True)),
            attributes=attributes,
            infer=infer_binary,
            evaluate=_quietly(evaluate),
            traits=frozenset({Trait.ELEMENTWISE} | ({Trait.COMMUTATIVE} if commutative else set())),
        )
    )


def _unary(name: str, summary: str, evaluate: Callable[[Array], Any], operand: Operand) -> None:
    register_op(
        OpDef(
            name=f"nn.{name}",
            summary=summary,
            operands=(operand,),
            infer=infer_same,
            evaluate=_quietly(evaluate),
            traits=frozenset({Trait.ELEMENTWISE}),
        )
    )


def _quietly(function: Callable[..., Any]) -> Callable[..., Array]:
    """`function` in the element type of its first operand; infinities and NaN arise without a warning."""

    def evaluate(x: Array, *others: Array, **attributes: Any) -> Array:
        with np.errstate(all="ignore"):
            return like(function(x, *others, **attributes), x)

    return evaluate


def _divide(a: Array, b: Array) -> Any:
    if a.dtype.kind == "f":
        return np.divide(a, b)
    quotient = np.floor_divide(a, b)
    inexact = np.not_equal(np.multiply(quotient, b), a)
    return np.add(quotient, (inexact & (np.less(a, 0) != np.less(b, 0)) & np.not_equal(b, 0)).astype(a.dtype))


def _power(a: Array, b: Array) -> Any:
    if a.dtype.kind != "i":
        return np.power(a, b)
    reciprocal = np.trunc(np.power(a.astype(np.float64), np.minimum(b, 0)))
    return np.where(np.less(b, 0), reciprocal.astype(a.dtype), np.power(a, np.maximum(b, 0)))


def _add(a: Array, b: Array, *, activation: str = "none") -> Array:
    return activate(np.add(a, b), activation)


_erf = np.frompyfunc(math.erf, 1, 1)

_binary("add", "a + b; `activation` follows.", _add, ACTIVATION, commutative=True)
_binary("sub", "a - b.", np.subtract)
_binary("mul", "a * b.", np.multiply, commutative=True)
_binary("div", "a / b; integers truncate toward zero, as ONNX Div does.", _divide)
_binary("pow", "a to the power of b; on integers truncated toward zero.", _power)
_binary("minimum", "The smaller of a and b; NaN where either is.", np.minimum, commutative=True)
_binary("maximum", "The larger of a and b; NaN where either is.", np.maximum, commutative=True)

_unary("neg", "-x.", np.negative, numbers("x"))
_unary("abs", "The absolute value.", np.absolute, numbers("x"))
_unary("sign", "-1, 0 or 1 by the sign of x.", np.sign, numbers("x"))
_unary("sqrt", "The square root; NaN below 0.", np.sqrt, floats("x"))
_unary("exp", "e to the power of x.", np.exp, floats("x"))
_unary("log", "The natural logarithm; -inf at 0, NaN below.", np.log, floats("x"))
_unary("floor", "The largest integer <= x.", np.floor, floats("x"))
_unary("ceil", "The smallest integer >= x.", np.ceil, floats("x"))
_unary("round", "The nearest integer, halves to the even one.", np.rint, floats("x"))
_unary("erf", "The error function.", _erf, floats("x"))
_unary("reciprocal", "1 / x.", lambda x: np.divide(1, x), floats("x"))


def _remainder(a: Array, b: Array, *, fmod: bool) -> Array:
    with np.errstate(all="ignore"):
        return like((np.fmod if fmod else np.mod)(a, b), a)


register_op(
    OpDef(
        name="nn.mod",
        summary="The remainder of a / b: with the sign of b, or with that of a when `fmod`.",
        operands=(numbers("a", parameter=True), numbers("b", parameter=True)),
        attributes=(boolean("fmod", False),),
        infer=infer_binary,
        evaluate=_remainder,
        traits=frozenset({Trait.ELEMENTWISE}),
    )
)


def _infer_prelu(x: TensorType, slope: TensorType) -> TensorType:
    require_same_dtype(x=x, slope=slope)
    require_broadcasts_to("slope", slope, dims(x))
    return TensorType(dims(x), x.dtype)


register_op(
    OpDef(
        name="nn.prelu",
        summary="x where it is positive, slope * x elsewhere; `slope` broadcasts to x.",
        operands=(floats("x"), floats("slope", parameter=True)),
        infer=_infer_prelu,
        evaluate=_quietly(lambda x, slope: np.where(x > 0, x, x * slope)),
        traits=frozenset({Trait.ELEMENTWISE}),
    )
)


def _cast(x: Array, *, to: DType) -> Array:
    with np.errstate(all="ignore"):
        return x.astype(to.numpy)


register_op(
    OpDef(
        name="nn.cast",
        summary="x in the element type `to`; floats truncate toward zero to integers, and are true unless 0.",
        operands=(Operand("x"),),
        attributes=(dtype("to"),),
        infer=lambda x, *, to: TensorType(dims(x), to),
        evaluate=_cast,
        traits=frozenset({Trait.ELEMENTWISE}),
        result_dtype="to",
    )
)

register_op(
    OpDef(
        name="nn.identity",
        summary="x.",
        operands=(Operand("x"),),
        infer=lambda x: moved(x, dims(x)),
        evaluate=lambda x: x,
        traits=frozenset({Trait.ELEMENTWISE, Trait.IDENTITY, Trait.STRUCTURAL}),
    )
)
