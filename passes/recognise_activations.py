"""Finds the whole ops that exporters write out in small ones.

Comes after propagate-layout (axes are in NHWC order then) and after fold-batch-norm (which makes the layers of a
squeeze-and-excitation plain); fold-batch-norm leaves what may be a written-out hard_sigmoid alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nascompiler.ir import Builder, Node, Value
from nascompiler.passes.infrastructure.base import Tolerance
from nascompiler.passes.infrastructure.patterns import Match, anything, constant, op
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.infrastructure.rewriter import RewritePass, Rule
from nascompiler.passes.recognition import layer_norm
from nascompiler.passes.recognition.gates import Gate, affine, close, factors, find_gate, limited, number
from nascompiler.passes.recognition.squeeze_excite import Miss, SqueezeExcite, find_squeeze_excite

# -- hard_sigmoid


def _written_out_gate(match: Match, builder: Builder) -> Value | None:
    root = match.root.result
    gate = find_gate(root, is_root=True)
    if gate is None or gate.op != "nn.hard_sigmoid" or not close(gate.scale, 1) or gate.alpha == 0:
        return None
    plain_clip = limited(root, is_root=True)
    outer = affine(root, is_root=True)
    if plain_clip.x is gate.x or (_is_hard_sigmoid(outer.x) and outer.factor > 0):
        return None  # limits without a slope or an offset, or what is recognised already
    value: Value = builder.nn.hard_sigmoid(gate.x, alpha=gate.alpha, beta=gate.beta)
    return value


def _is_hard_sigmoid(value: Value) -> bool:
    return value.producer is not None and value.producer.op.name == "nn.hard_sigmoid"


# -- hard_swish and swish


@dataclass(frozen=True)
class _Gated:
    """scale * x * gate(x), the gate itself without scale."""

    x: Value
    gate: Gate
    scale: float


def _find_gated(node: Node, *, through_shared: bool = False) -> _Gated | None:
    scale, values = factors(node.result, through_shared=through_shared)
    if len(values) != 2:
        return None
    for x, other in (values, values[::-1]):
        gate = find_gate(other, through_shared=through_shared)
        if gate is not None and gate.x is x:
            return _Gated(x, gate, scale * gate.scale)
    return None


def _refuse_gated(match: Match) -> str | None:
    found = _find_gated(match.root)
    if found is None:
        shared = _find_gated(match.root, through_shared=True)
        return "an intermediate result has other users" if shared is not None and close(shared.scale, 1) else None
    if _continues(match.root.result):
        return None
    whole = "swish" if found.gate.op == "nn.sigmoid" else "hard_swish"
    if not close(found.scale, 1):
        return f"it is {found.scale:g} times x * {found.gate.op}(x)"
    if not found.gate.is_default:
        return f"its slope is {found.gate.alpha:g}, its offset {found.gate.beta:g}; {whole} has 1/6 and 1/2"
    return None


def _continues(value: Value) -> bool:
    """Whether only a multiplication or division by a number follows: the formula may end there."""
    user = value.sole_user
    return user is not None and user.op.name in ("nn.mul", "nn.div") and any(number(v) for v in user.operands)


def _gated(match: Match, builder: Builder) -> Value | None:
    found = _find_gated(match.root)
    if found is None or not close(found.scale, 1) or not found.gate.is_default:
        return None
    value: Value = builder.nn.swish(found.x) if found.gate.op == "nn.sigmoid" else builder.nn.hard_swish(found.x)
    return value


# -- squeeze_excite


def _refuse_squeeze_excite(match: Match) -> str | None:
    try:
        find_squeeze_excite(match.root)
    except Miss as miss:
        return str(miss)
    return None


def _squeeze_excite(match: Match, builder: Builder) -> Value | None:
    found = find_squeeze_excite(match.root)
    return None if found is None else _whole(found, builder)


def _whole(found: SqueezeExcite, builder: Builder) -> Value:
    parameters = (found.squeeze.weight, found.squeeze.bias, found.excite.weight, found.excite.bias)
    value: Value = builder.nn.squeeze_excite(
        found.x,
        *(builder.constant(np.ascontiguousarray(p)) for p in parameters),
        activation=found.activation,
        gate=found.gate,
        alpha=found.alpha,
        beta=found.beta,
    )
    return value


_EXPONENTIAL = op("nn.exp", op("nn.neg", anything("x")))
_ONE = constant(equal_to=1.0)


def _sigmoid(match: Match, builder: Builder) -> Value:
    value: Value = builder.nn.sigmoid(match["x"])
    return value


@register_pass
@dataclass(frozen=True)
class RecogniseActivations(RewritePass):
    """Turn hard_sigmoid, hard_swish, swish, squeeze_excite and layer_norm written out in small ops into whole ops.

    They round otherwise: up to 1.2e-5 of the largest output over the OCR detector, whose outputs are sigmoids near 0.
    """

    requires_level = ("nn", "qnn")
    preserves = Tolerance(5e-5)
    rules = (
        Rule(
            "clip(x * a + b, 0, c) / c = hard_sigmoid(x, a / c, b / c)",
            op(
                tuple(
                    f"nn.{name}" for name in ("clip", "relu6", "relu", "minimum", "maximum", "mul", "div", "add", "sub")
                )
            ),
            _written_out_gate,
        ),
        Rule("1 / (1 + exp(-x)) = sigmoid(x)", op("nn.div", _ONE, op("nn.add", _EXPONENTIAL, _ONE)), _sigmoid),
        Rule("1 / (1 + exp(-x)) = sigmoid(x)", op("nn.reciprocal", op("nn.add", _EXPONENTIAL, _ONE)), _sigmoid),
        Rule(
            "x * hard_sigmoid(x) = hard_swish(x), x * sigmoid(x) = swish(x)",
            op(("nn.mul", "nn.div")),
            _gated,
            _refuse_gated,
        ),
        Rule(
            "x * gate(linear(act(linear(pool(x), w1), w2))) = squeeze_excite(x, w1, w2)",
            op("nn.mul"),
            _squeeze_excite,
            _refuse_squeeze_excite,
        ),
        *layer_norm.RULES,
    )
