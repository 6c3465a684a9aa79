"""Quantised constants: what moves their elements moves the integers, so that it can be folded."""

from __future__ import annotations

from typing import Any

from nascompiler.ir import Builder, Value
from nascompiler.passes.infrastructure.patterns import Match, anything, op
from nascompiler.passes.infrastructure.rewriter import Rule

_PER_AXIS = ("qnn.quantize_per_axis", "qnn.dequantize_per_axis")


def _per_tensor(match: Match, builder: Builder) -> Value | None:
    inner = match.node("inner")
    if not match["x"].is_constant:
        return None
    moved = builder.nn.transpose(match["x"], permutation=match.root["permutation"])
    attributes: dict[str, Any] = dict(inner.attributes)
    value: Value = builder.op(inner.op.name, moved, **attributes)
    return value


def _per_axis(match: Match, builder: Builder) -> Value | None:
    inner, permutation = match.node("inner"), match.root["permutation"]
    if not match["x"].is_constant:
        return None
    axis = permutation.index(inner["axis"] % len(permutation))
    moved = builder.nn.transpose(match["x"], permutation=permutation)
    attributes: dict[str, Any] = {**inner.attributes, "axis": axis}
    value: Value = builder.op(inner.op.name, moved, match["scale"], **attributes)
    return value


RULES = (
    Rule(
        "transpose(dequantize(constant)) = dequantize(transpose(constant))",
        op("nn.transpose", op("qnn.dequantize", anything("x"), name="inner")),
        _per_tensor,
    ),
    Rule(
        "transpose(dequantize_per_axis(constant, scale)) = dequantize_per_axis(transpose(constant), scale)",
        op("nn.transpose", op(_PER_AXIS, anything("x"), anything("scale"), name="inner")),
        _per_axis,
    ),
)
