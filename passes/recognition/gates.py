"""Gates written out in small ops: scaled, shifted and limited values as one formula.

Each function looks through values that have no other user (all values with `through_shared`), so that nothing is
computed twice once the whole is one op.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import inf

from nascompiler.ir import Node, Value
from nascompiler.passes.infrastructure.patterns import has_fused_activation

_CLOSE = 1e-6
"""Relative difference up to which numbers of a formula count as equal: they were rounded to float32."""


def close(number: float, expected: float) -> bool:
    return math.isclose(number, expected, rel_tol=_CLOSE, abs_tol=_CLOSE)


def number(value: Value) -> float | None:
    """The number that a constant with a single element is."""
    return float(value.array.item()) if value.array is not None and value.array.size == 1 else None


@dataclass(frozen=True)
class Affine:
    """factor * x + offset."""

    x: Value
    factor: float = 1.0
    offset: float = 0.0


def affine(value: Value, *, through_shared: bool = False, is_root: bool = False) -> Affine:
    """A value as far back as it is computed by adding, subtracting, multiplying and dividing numbers.

    The value itself may have other users when it `is_root`.
    """
    factor, offset = 1.0, 0.0
    while is_root or through_shared or value.use_count == 1:
        is_root = False
        step = _affine_step(value.producer)
        if step is None:
            break
        value, inner_factor, inner_offset = step.x, step.factor, step.offset
        factor, offset = factor * inner_factor, factor * inner_offset + offset
    return Affine(value, factor, offset)


def _affine_step(node: Node | None) -> Affine | None:
    if node is None or len(node.operands) != 2 or has_fused_activation(node):
        return None
    a, b = node.operands
    left, right = number(a), number(b)
    if (left is None) == (right is None):
        return None
    if right is None:
        assert left is not None
        if node.op.name == "nn.sub":
            return Affine(b, -1.0, left)
        a, right = b, left
        if node.op.name == "nn.div":
            return None
    match node.op.name:
        case "nn.add":
            return Affine(a, 1.0, right)
        case "nn.sub":
            return Affine(a, 1.0, -right)
        case "nn.mul":
            return Affine(a, right)
        case "nn.div":
            return Affine(a, 1 / right) if right else None
    return None


@dataclass(frozen=True)
class Limited:
    """A value between `low` and `high`."""

    x: Value
    low: float
    high: float


def limited(value: Value, *, through_shared: bool = False, is_root: bool = False) -> Limited:
    """A value as far back as it is computed by clip, relu, relu6, minimum and maximum with numbers."""
    low, high = -inf, inf
    while is_root or through_shared or value.use_count == 1:
        is_root = False
        step = _limit_step(value.producer)
        if step is None:
            break
        value = step.x
        low, high = (min(max(bound, low), high) for bound in (step.low, step.high))
    return Limited(value, low, high)


def _limit_step(node: Node | None) -> Limited | None:
    if node is None:
        return None
    match node.op.name:
        case "nn.relu":
            return Limited(node.operands[0], 0.0, inf)
        case "nn.relu6":
            return Limited(node.operands[0], 0.0, 6.0)
        case "nn.clip":
            return Limited(node.operands[0], node["min"], node["max"])
        case "nn.minimum" | "nn.maximum":
            for x, bound in (node.operands, node.operands[::-1]):
                limit = number(bound)
                if limit is not None:
                    return Limited(x, -inf, limit) if node.op.name == "nn.minimum" else Limited(x, limit, inf)
    return None


@dataclass(frozen=True)
class Gate:
    """scale * hard_sigmoid(x; alpha, beta), or scale * sigmoid(x)."""

    op: str
    x: Value
    scale: float
    alpha: float = 1 / 6
    beta: float = 0.5

    @property
    def is_default(self) -> bool:
        """Whether it is the sigmoid, or MobileNetV3's hard_sigmoid: relu6(x + 3) / 6 (arXiv:1905.02244, 5.2)."""
        return self.op == "nn.sigmoid" or (close(self.alpha, 1 / 6) and close(self.beta, 0.5))


def find_gate(value: Value, *, through_shared: bool = False, is_root: bool = False) -> Gate | None:
    """A value as a scaled gate, or None.

    outer_factor * clip(factor * x + offset, low, high) + outer_offset whose least value is 0 is a hard_sigmoid times
    its greatest value.
    """
    outer = affine(value, through_shared=through_shared, is_root=is_root)
    is_root = is_root and outer.x is value
    node = outer.x.producer
    if node is not None and node.op.name in ("nn.sigmoid", "nn.hard_sigmoid"):
        if not (is_root or through_shared or outer.x.use_count == 1):
            return None
        if node.op.name == "nn.sigmoid":
            plain = outer.factor > 0 and close(outer.offset, 0)
            return Gate("nn.sigmoid", _without_neutral(node.operands[0]), outer.factor) if plain else None
        inner, inside = Limited(outer.x, 0.0, 1.0), Affine(node.operands[0], node["alpha"], node["beta"])
    else:
        inner = limited(outer.x, through_shared=through_shared, is_root=is_root)
        inside = affine(inner.x, through_shared=through_shared)
    if not (math.isfinite(inner.low) and math.isfinite(inner.high)) or inner.low >= inner.high:
        return None
    limits = [outer.factor * bound + outer.offset for bound in (inner.low, inner.high)]
    if min(limits) > _CLOSE * max(limits) or min(limits) < -_CLOSE * max(limits) or max(limits) <= 0:
        return None
    scale = max(limits)
    alpha = outer.factor * inside.factor / scale
    beta = (outer.factor * inside.offset + outer.offset) / scale
    return Gate("nn.hard_sigmoid", inside.x, scale, _rounded(alpha, 1 / 6), _rounded(beta, 0.5))


def _without_neutral(value: Value) -> Value:
    """x of x * 1, which PaddlePaddle writes into its swish."""
    inside = affine(value)
    return inside.x if inside.factor == 1 and inside.offset == 0 else value


def _rounded(number: float, usual: float) -> float:
    """The usual number where it was meant but for float32's rounding."""
    return usual if close(number, usual) else number


def factors(value: Value, *, through_shared: bool = False) -> tuple[float, list[Value]]:
    """A product as a number times values, without looking through values that are used elsewhere."""
    scale, found, pending, is_root = 1.0, list[Value](), [value], True
    while pending:
        value = pending.pop()
        node = value.producer
        if node is None or not (is_root or through_shared or value.use_count == 1):
            found.append(value)
        elif node.op.name == "nn.mul" and not any(v is node.operands[0] for v in node.operands[1:]):
            for operand in reversed(node.operands):
                multiple = number(operand)
                if multiple is None:
                    pending.append(operand)
                else:
                    scale *= multiple
        elif node.op.name == "nn.div" and number(node.operands[1]):
            scale /= number(node.operands[1]) or 1.0
            pending.append(node.operands[0])
        else:
            found.append(value)
        is_root = False
    return scale, found
