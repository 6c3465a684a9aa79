"""Arithmetic on corresponding elements."""

from __future__ import annotations

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family, Function
from nascompiler.onnx.errors import Refusal
from nascompiler.onnx.tensors import dtype_of

FAMILY = Family()


def _binary(op: str) -> Function:
    return lambda c: c.op(op, c.operand(0), c.operand(1))


def _unary(op: str) -> Function:
    return lambda c: c.op(op, c.operand(0))


for _operator, _op in {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}.items():
    FAMILY.add(_binary(_op), _operator)

for _operator in ("Sqrt", "Exp", "Log", "Neg", "Abs", "Floor", "Ceil", "Round", "Erf", "Reciprocal", "Sign"):
    FAMILY.add(_unary(_operator.lower()), _operator)


def fold_left(c: Conversion, op: str, values: list[Value]) -> Value:
    """`op` over any number of operands, from the left."""
    if not values:
        raise Refusal("it has no inputs")
    total = values[0]
    for value in values[1:]:
        total = c.op(op, total, value)
    return total


FAMILY.add(lambda c: fold_left(c, "add", c.all_operands()), "Sum")
FAMILY.add(lambda c: fold_left(c, "maximum", c.all_operands()), "Max")
FAMILY.add(lambda c: fold_left(c, "minimum", c.all_operands()), "Min")


@FAMILY.op("Mean")
def mean(c: Conversion) -> Value:
    values = c.all_operands()
    total = fold_left(c, "add", values)
    return total if len(values) == 1 else c.op("div", total, c.scalar(len(values), total))


@FAMILY.op("Mod")
def mod(c: Conversion) -> Value:
    x = c.operand(0)
    if c.opset < 28 and not c.boolean("fmod") and x.type.dtype.is_float and x.type.shape is not None:
        raise Refusal("fmod=0 on floating-point numbers, which opset 28 first allows")
    return c.op("mod", x, c.operand(1), fmod=c.boolean("fmod"))


@FAMILY.op("Pow")
def power(c: Conversion) -> Value:
    """The exponent may be of another element type: both are brought to the more general of the two."""
    base, exponent = c.operand(0), c.operand(1)
    if base.type.dtype == exponent.type.dtype:
        return c.op("pow", base, exponent)
    if exponent.type.dtype.is_float and base.type.dtype.is_integer:
        raised = c.op("pow", c.op("cast", base, to=exponent.type.dtype), exponent)
        return c.op("cast", raised, to=base.type.dtype)
    return c.op("pow", base, c.op("cast", exponent, to=base.type.dtype))


@FAMILY.op("Cast")
def cast(c: Conversion) -> Value:
    return _cast(c, dtype_of(c.integer("to")))


@FAMILY.op("CastLike")
def cast_like(c: Conversion) -> Value:
    return _cast(c, c.dtype(c.operand(1)))


def _cast(c: Conversion, to: DType) -> Value:
    value = c.operand(0)
    return value if value.type.dtype == to and value.type.shape is not None else c.op("cast", value, to=to)


@FAMILY.op("Clip", until=10)
def clip_by_attributes(c: Conversion) -> Value:
    return _clip(c, c.number("min"), c.number("max"))


@FAMILY.op("Clip", since=11)
def clip(c: Conversion) -> Value:
    """Constant bounds become attributes; bounds that are computed, or that a float cannot hold, become ops."""
    value = c.operand(0)
    bounds: list[float | None] = []
    for index in (1, 2):
        bound = c.optional(index)
        array = None if bound is None else bound.array
        if bound is not None and (array is None or array.size != 1 or int(array.item() == float(array.item())) != 1):
            bounds = []
            break
        bounds.append(None if array is None else float(array.item()))
    if bounds:
        return _clip(c, *bounds)
    for index, op in ((1, "maximum"), (2, "minimum")):
        bound = c.optional(index)
        if bound is not None:
            value = c.op(op, value, bound)
    return value


def _clip(c: Conversion, low: float | None, high: float | None) -> Value:
    value = c.operand(0)
    bounds = {name: bound for name, bound in (("min", low), ("max", high)) if bound is not None}
    return c.op("clip", value, **bounds) if bounds else value
