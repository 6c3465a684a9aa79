"""Arithmetic, comparisons and logic; operands are brought to the element type that torch promotes them to."""

from __future__ import annotations

from typing import Any

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family, Function

FAMILY = Family()


def _both(c: Conversion, dtype: DType) -> tuple[Value, Value]:
    return c.operand(c.raw("self"), dtype), c.operand(c.raw("other", "exponent"), dtype)


def _binary(op: str) -> Function:
    return lambda c: c.op(op, *_both(c, c.dtype))


for _operator in ("mul", "minimum", "maximum", "pow"):
    FAMILY.add(_binary(_operator), _operator)
FAMILY.add(lambda c: c.op("mod", *_both(c, c.dtype), fmod=True), "fmod")
FAMILY.add(lambda c: c.op("mod", *_both(c, c.dtype), fmod=False), "remainder")


def _scaled_other(c: Conversion) -> tuple[Value, Value]:
    """self and alpha * other."""
    a, b = _both(c, c.dtype)
    alpha = c.raw("alpha")
    return a, b if alpha in (None, 1) else c.op("mul", b, c.operand(alpha, c.dtype))


@FAMILY.op("add")
def add(c: Conversion) -> Value:
    return c.op("add", *_scaled_other(c))


@FAMILY.op("sub", "subtract")
def sub(c: Conversion) -> Value:
    return c.op("sub", *_scaled_other(c))


@FAMILY.op("rsub")
def reversed_sub(c: Conversion) -> Value:
    a, b = _both(c, c.dtype)
    alpha = c.raw("alpha")
    return c.op("sub", b, a if alpha in (None, 1) else c.op("mul", a, c.operand(alpha, c.dtype)))


@FAMILY.op("div", "divide", "true_divide", "floor_divide")
def div(c: Conversion) -> Value:
    """Our division of integers truncates; what rounds down is (a - a mod b) / b."""
    a, b = _both(c, c.dtype)
    mode = "floor" if c.operator == "floor_divide" else c.raw("rounding_mode")
    if c.dtype.is_integer and mode == "floor":
        return c.op("div", c.op("sub", a, c.op("mod", a, b)), b)
    if c.dtype.is_float and mode == "trunc":
        raise Refusal("rounding_mode='trunc' of floats; accepted: None, 'floor'")
    result = c.op("div", a, b)
    return c.op("floor", result) if c.dtype.is_float and mode == "floor" else result


def _comparison(op: str, *, inverted: bool = False) -> Function:
    def convert(c: Conversion) -> Value:
        dtype = c.promoted("self", "other")
        if dtype is DType.BOOL and op != "equal":
            dtype = DType.I32
        result = c.op(op, *_both(c, dtype))
        return c.op("logical_not", result) if inverted else result

    return convert


FAMILY.add(_comparison("equal"), "eq")
FAMILY.add(_comparison("equal", inverted=True), "ne")
for _operator, _op in {"lt": "less", "gt": "greater", "le": "less_equal", "ge": "greater_equal"}.items():
    FAMILY.add(_comparison(_op), _operator)


def _logic(op: str) -> Function:
    return lambda c: c.op(op, *_both(c, DType.BOOL))


def _bitwise(op: str) -> Function:
    def convert(c: Conversion) -> Value:
        if c.dtype is not DType.BOOL:
            raise Refusal(f"on {c.dtype}; accepted: bool")
        return c.op(op, *(c.operand(c.raw(n), DType.BOOL) for n in ("self", "other") if c.raw(n) is not None))

    return convert


for _operator in ("and", "or", "xor"):
    FAMILY.add(_logic(f"logical_{_operator}"), f"logical_{_operator}")
    FAMILY.add(_bitwise(f"logical_{_operator}"), f"bitwise_{_operator}", f"__{_operator}__")
FAMILY.add(_bitwise("logical_not"), "bitwise_not")
FAMILY.add(lambda c: c.op("logical_not", c.cast(c.value(), DType.BOOL)), "logical_not")


@FAMILY.op("where")
def where(c: Conversion) -> Value:
    return c.op("where", c.value("condition"), *_both(c, c.dtype))


@FAMILY.op("masked_fill")
def masked_fill(c: Conversion) -> Value:
    return c.op("where", c.value("mask"), c.operand(c.raw("value"), c.dtype), c.value("self"))


def _unary(op: str) -> Function:
    """Functions of floats: torch computes those of integers in floats too."""
    return lambda c: c.op(op, c.cast(c.value(), c.dtype))


for _operator in "sqrt exp log neg abs floor ceil erf reciprocal sign".split():
    FAMILY.add(_unary(_operator), _operator)


@FAMILY.op("round")
def rounded(c: Conversion) -> Value:
    if c.raw("decimals"):
        raise Refusal("decimals are not supported")
    return c.op("round", c.value())


@FAMILY.op("rsqrt")
def reciprocal_root(c: Conversion) -> Value:
    return c.op("reciprocal", c.op("sqrt", c.cast(c.value(), c.dtype)))


@FAMILY.op("square")
def square(c: Conversion) -> Value:
    return c.op("mul", c.value(), c.value())


def same(c: Conversion) -> Value:
    return c.value()


FAMILY.add(
    same,
    *"clone contiguous alias detach lift_fresh lift_fresh_copy positive".split(),
)


@FAMILY.op("to", "_to_copy", "type_as", "_to_dtype")
def to(c: Conversion) -> Value:
    return c.cast(c.value(), c.dtype)


@FAMILY.op("dropout", "feature_dropout", "native_dropout", "alpha_dropout")
def dropout(c: Conversion) -> tuple[Any, ...]:
    """Dropout was exported for inference or for training: to us it is the same."""
    return c.op("dropout", c.value(), rate=c.number("p")), None
