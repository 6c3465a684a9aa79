"""Concatenation and splitting."""

from __future__ import annotations

from nascompiler.ir import Builder, Value
from nascompiler.passes.canonicalization.types import same_elements
from nascompiler.passes.infrastructure.patterns import Match, op
from nascompiler.passes.infrastructure.rewriter import Rule


def _axis(node_axis: int, value: Value) -> int | None:
    rank = value.type.rank
    return None if rank is None else node_axis % rank


def _of_one(match: Match, builder: Builder) -> Value | None:
    (*others, x) = match.root.operands
    return x if not others and same_elements(x.type, match.root.result.type) else None


def _without_empty(match: Match, builder: Builder) -> Value | None:
    axis = match.root["axis"]
    kept = [x for x in match.root.operands if x.type.shape is None or x.type.shape[axis] != 0]
    if not kept or len(kept) == len(match.root.operands):
        return None
    value: Value = builder.nn.concat(*kept, axis=axis)
    return value


def _one_concat(match: Match, builder: Builder) -> Value | None:
    """One level is merged at a time; those below follow, as each is tried again."""
    axis = _axis(match.root["axis"], match.root.result)
    operands: list[Value] = []
    for x in match.root.operands:
        inner = x.producer
        joined = inner is not None and inner.op.name == "nn.concat" and x.use_count == 1
        if inner is not None and joined and axis is not None and _axis(inner["axis"], x) == axis:
            operands += inner.operands
        else:
            operands.append(x)
    if len(operands) == len(match.root.operands):
        return None
    value: Value = builder.nn.concat(*operands, axis=axis)
    return value


def _single_part(match: Match, builder: Builder) -> Value | None:
    x, parts = match.root.operands[0], match.root.results
    return x if len(parts) == 1 and same_elements(x.type, parts[0].type) else None


RULES = (
    Rule("concat(x) = x", op("nn.concat"), _of_one),
    Rule("concat(x, nothing) = concat(x)", op("nn.concat"), _without_empty),
    Rule("concat(concat(x, y), z) = concat(x, y, z)", op("nn.concat"), _one_concat),
    Rule("split(x, one part) = x", op("nn.split"), _single_part),
)
