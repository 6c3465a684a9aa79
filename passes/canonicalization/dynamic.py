"""Ops that take sizes as operands become their static forms once those operands are constant."""

from __future__ import annotations

from typing import Any

from nascompiler.ir import OPS, Builder, Error, Trait, Value
from nascompiler.passes.infrastructure.patterns import Match, op
from nascompiler.passes.infrastructure.rewriter import Rule


def rules() -> tuple[Rule, ...]:
    names = tuple(name for name, definition in OPS.items() if definition.has(Trait.DYNAMIC))
    return (Rule("dynamic_f(x, constants) = f(x)", op(names), _static),)


def _static(match: Match, builder: Builder) -> Value | None:
    node = match.root
    assert node.op.static_form is not None
    types = node.op.padded(tuple(v.type for v in node.operands))
    arrays = node.op.padded(tuple(v.array for v in node.operands))
    try:
        attributes: dict[str, Any] | None = node.op.static_attributes(types, arrays, node.attributes)
    except Error:
        return None  # the verifier says what is wrong with it
    if attributes is None:
        return None
    value: Value = builder.op(node.op.static_form[0], node.operands[0], **attributes)
    return value
