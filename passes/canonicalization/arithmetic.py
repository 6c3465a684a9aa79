"""Neutral elements, operand order, identities and casts."""

from __future__ import annotations

from typing import Any

from nascompiler.ir import OPS, Builder, DType, Trait, Value
from nascompiler.passes.canonicalization.types import keeps_shape, same_elements, single_number
from nascompiler.passes.infrastructure.patterns import Match, anything, constant, op
from nascompiler.passes.infrastructure.rewriter import Rule

_NEUTRAL = {"nn.add": ("x + 0 = x", 0), "nn.sub": ("x - 0 = x", 0), "nn.mul": ("x * 1 = x", 1)} | {
    "nn.div": ("x / 1 = x", 1),
    "nn.pow": ("x ^ 1 = x", 1),
}
_MANTISSA_BITS = {DType.F16: 11, DType.F32: 24, DType.F64: 53}


def rules() -> tuple[Rule, ...]:
    identities = tuple(name for name, definition in OPS.items() if definition.has(Trait.IDENTITY))
    commutative = tuple(name for name, definition in OPS.items() if definition.has(Trait.COMMUTATIVE))
    return (
        Rule("identity(x) = x", op(identities, anything("x")), _same),
        Rule("f(constant, x) = f(x, constant) where f commutes", op(commutative), _constant_second),
        *(_neutral(name, equation, number) for name, (equation, number) in _NEUTRAL.items()),
        Rule("cast(x, type of x) = x", op("nn.cast", anything("x")), _same),
        Rule("cast(cast(x, a), b) = cast(x, b)", op("nn.cast", op("nn.cast", anything("x"), name="inner")), _one_cast),
    )


def _same(match: Match, builder: Builder) -> Value | None:
    return match["x"] if same_elements(match["x"].type, match.root.result.type) else None


def _constant_second(match: Match, builder: Builder) -> Value | None:
    first, second = match.root.operands
    if not first.is_constant or second.is_constant:
        return None
    attributes: dict[str, Any] = dict(match.root.attributes)
    value: Value = builder.op(match.root.op.name, second, first, **attributes)
    return value


def _neutral(name: str, equation: str, number: int) -> Rule:
    def rewrite(match: Match, builder: Builder) -> Value | None:
        x, c = match["x"], match["c"]
        return _same(match, builder) if single_number(c) == number and keeps_shape(x, c) else None

    return Rule(equation, op(name, anything("x"), constant("c")), rewrite)


def _one_cast(match: Match, builder: Builder) -> Value | None:
    x, target = match["x"], match.root["to"]
    source = x.type.dtype
    if not holds_all_of(match["inner"].type.dtype, source) or (source.is_float and not target.is_float):
        return None  # what a float out of range becomes as an integer depends on the float's type
    value: Value = builder.nn.cast(x, to=target)
    return value


def holds_all_of(wide: DType, narrow: DType) -> bool:
    """Whether each value of `narrow` is exactly a value of `wide`."""
    if wide is narrow or narrow is DType.BOOL:
        return True
    if wide is DType.BOOL or (narrow.is_float and not wide.is_float):
        return False
    if narrow.is_float:
        return wide.bytes >= narrow.bytes
    signed, wide_signed = (str(t).startswith("i") for t in (narrow, wide))
    bits = 8 * narrow.bytes - signed
    if wide.is_float:
        return bits <= _MANTISSA_BITS[wide]
    return bits <= 8 * wide.bytes - wide_signed and (wide_signed or not signed)
