"""Matrix products with weights are `nn.linear`, and what is added to a channel is a bias."""

from __future__ import annotations

from typing import Any

from nascompiler.ir import Builder, DType, Value
from nascompiler.passes.infrastructure.patterns import Match, anything, constant, op
from nascompiler.passes.infrastructure.rewriter import Rule


def _linear(match: Match, builder: Builder) -> Value | None:
    x, weight = match["x"], match["w"]
    if weight.type.rank != 2 or not x.type.rank or not x.type.dtype.is_float:
        return None
    value: Value = builder.nn.linear(x, weight)
    return value


def _refuse_bias(match: Match) -> str | None:
    node, bias = match.node("product"), match["c"]
    if len(node.operands) > 2:
        return "it has a bias already; adding the two first would round differently"
    if node.op.name != "nn.linear" and node.result.type.dtype is DType.F16:
        return "a half-precision convolution adds its bias before it rounds"
    features, rank = node.operands[1].type.static_shape[-1], node.result.type.rank
    shape = bias.type.static_shape
    if bias.type.size != features or shape[-1:] != (features,) or rank is None or len(shape) > rank:
        return f"{bias!r} is not one number for each of the {features} output channels"
    return None


def _with_bias(match: Match, builder: Builder) -> Value:
    node, bias = match.node("product"), match["c"]
    if bias.type.rank != 1:
        bias = builder.constant(match.array("c").reshape(-1), bias.name)
    attributes: dict[str, Any] = dict(node.attributes)
    value: Value = builder.op(node.op.name, *node.operands, bias, **attributes)
    return value


def _bias(name: str) -> Rule:
    return Rule(
        f"{name}(x, w) + c = {name}(x, w, c)",
        op("nn.add", op(f"nn.{name}", anything(), constant(), name="product", single_use=True), constant("c")),
        _with_bias,
        _refuse_bias,
    )


RULES = (
    Rule("matmul(x, weight) = linear(x, weight)", op("nn.matmul", anything("x"), constant("w")), _linear),
    *map(_bias, ("linear", "conv2d")),
)
