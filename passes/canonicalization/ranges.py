"""Limits of a range: clip, relu, relu6, minimum and maximum with a number are one family."""

from __future__ import annotations

import math

from nascompiler.ir import Builder, Node, Value
from nascompiler.passes.canonicalization.types import keeps_shape, single_number
from nascompiler.passes.infrastructure.patterns import Match, anything, constant, op
from nascompiler.passes.infrastructure.rewriter import Rule

_CLIPS = ("nn.clip", "nn.relu", "nn.relu6")


def _bounds(node: Node) -> tuple[float, float]:
    if node.op.name == "nn.clip":
        return node["min"], node["max"]
    return 0.0, math.inf if node.op.name == "nn.relu" else 6.0


def _clipped(x: float, bounds: tuple[float, float]) -> float:
    """As `nn.clip`: the upper bound wins where the bounds cross."""
    return min(max(x, bounds[0]), bounds[1])


def _clip(builder: Builder, x: Value, low: float, high: float) -> Value:
    """The op of the family for these bounds."""
    value: Value
    if (low, high) == (-math.inf, math.inf):
        return x
    if low == 0 and high in (6, math.inf):
        value = builder.nn.relu6(x) if high == 6 else builder.nn.relu(x)
    else:
        value = builder.nn.clip(x, min=low, max=high)
    return value


def _plain_clip(match: Match, builder: Builder) -> Value | None:
    low, high = _bounds(match.root)
    if (low == 0 and high in (6, math.inf)) or (low, high) == (-math.inf, math.inf):
        return _clip(builder, match["x"], low, high)
    return None


def _number_as_bound(match: Match, builder: Builder) -> Value | None:
    x, number = match["x"], single_number(match["c"])
    if number is None or float(number) != number or not keeps_shape(x, match["c"]):
        return None
    if match.root.op.name == "nn.minimum":
        return _clip(builder, x, -math.inf, float(number))
    return _clip(builder, x, float(number), math.inf)


def _one_clip(match: Match, builder: Builder) -> Value | None:
    inner, outer = _bounds(match.node("inner")), _bounds(match.root)
    if any(math.isnan(bound) for bound in (*inner, *outer)):
        return None
    if not match["x"].type.dtype.is_float and not all(b.is_integer() for b in (*inner, *outer) if math.isfinite(b)):
        return None  # bounds of integers round inwards, each op for itself
    # the composition is monotone, and x itself where it is not constant
    low = _clipped(_clipped(-math.inf, inner), outer)
    high = _clipped(_clipped(math.inf, inner), outer)
    return _clip(builder, match["x"], low, high)


RULES = (
    Rule("clip(x, 0, 6) = relu6(x), clip(x, 0, inf) = relu(x), clip(x) = x", op("nn.clip", anything("x")), _plain_clip),
    Rule("min(x, c) = clip(x, max=c)", op("nn.minimum", anything("x"), constant("c")), _number_as_bound),
    Rule("max(x, c) = clip(x, min=c)", op("nn.maximum", anything("x"), constant("c")), _number_as_bound),
    Rule("clip(clip(x)) = clip(x)", op(_CLIPS, op(_CLIPS, anything("x"), name="inner")), _one_clip),
)
