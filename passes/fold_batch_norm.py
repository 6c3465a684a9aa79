"""Folds what scales and shifts channels into the weights and bias of the convolution or linear layer beside it.

arXiv:1502.03167, algorithm 2, with the statistics of training, is x * factor + shift for each channel, with
factor = scale / sqrt(variance + epsilon) and shift = bias - mean * factor. Products are made in float64 and rounded
once, when somebody first looks at them: a network that is only counted or timed never has its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, Builder, Constant, Graph, Node, TensorType, Value
from nascompiler.passes.infrastructure.base import Pass, PassContext, Tolerance
from nascompiler.passes.infrastructure.patterns import Match, Pattern, anything, constant, has_fused_activation, op
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.infrastructure.rewriter import Rule, apply_rules
from nascompiler.passes.recognition.gates import close, factors, find_gate

Wide = NDArray[np.float64]
_LAYERS = ("nn.conv2d", "nn.conv2d_transpose", "nn.linear")
_SCALINGS = ("nn.mul", "nn.div", "nn.add", "nn.sub")


@register_pass
@dataclass(frozen=True)
class FoldBatchNorm(Pass):
    """Fold batch norms, and arithmetic with a constant for each channel, into convolutions and linear layers.

    With `split`, a batch norm that has no layer to fold into becomes a multiplication and an addition. Weights round
    anew: up to 1.2e-5 of the largest output over the 60 layers of the OCR detector, whose outputs are sigmoids near 0.
    """

    split: bool = False

    requires_level = ("nn", "qnn")
    preserves = Tolerance(5e-5)

    def run(self, graph: Graph, context: PassContext) -> None:
        apply_rules(graph, (*_RULES, _SPLIT) if self.split else _RULES, context)


def _batch_norm(x: Pattern, *, single_use: bool = False) -> Pattern:
    statistics = map(constant, ("scale", "bias", "mean", "variance"))
    return op("nn.batch_norm", x, *statistics, name="norm", single_use=single_use)


def _wide(array: Array) -> Wide:
    return array.astype(np.float64)


def _factor_and_shift(match: Match) -> tuple[Wide, Wide]:
    """The batch norm as x * factor + shift."""
    scale, bias, mean, variance = (_wide(match.array(name)) for name in ("scale", "bias", "mean", "variance"))
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + match.node("norm")["epsilon"])
    return factor, bias - mean * factor


def _refuse_norm(match: Match, channels: int | None = None) -> str | None:
    """Why a batch norm cannot be folded."""
    norm = match.node("norm")
    rank = norm.operands[0].type.rank
    if rank is None or norm["axis"] % rank != rank - 1:
        return "it normalises another axis than the channels, the last one: run propagate-layout first"
    factor, shift = _factor_and_shift(match)
    if not (np.isfinite(factor).all() and np.isfinite(shift).all()):
        return "its factor or shift is not finite"
    return None


# -- the layer


def _refuse_layer(layer: Node) -> str | None:
    """Why the weights of a layer cannot be changed."""
    if not all(v.has_array for v in layer.operands[1:]):
        return "the weights or bias of the layer are no constants"
    return None


def _group_count(layer: Node) -> int:
    return 1 if layer.op.name == "nn.linear" else int(layer["groups"])


def _features(layer: Node) -> int:
    """The number of output channels."""
    last = layer.operands[1].type.static_shape[-1]
    return last * _group_count(layer) if layer.op.name == "nn.conv2d_transpose" else last


def _output_factors(layer: Node, factor: Wide) -> Wide:
    """A factor for each output channel [O], arranged so that it broadcasts to the weights."""
    if layer.op.name != "nn.conv2d_transpose":
        return factor
    groups = _group_count(layer)  # input channels stand group by group, outputs inside a group
    channels, per_group = layer.operands[1].type.static_shape[2:]
    return np.repeat(factor.reshape(groups, per_group), channels // groups, axis=0)


def _input_factors(layer: Node, factor: Wide) -> Wide:
    """A number for each input channel [C], arranged so that it broadcasts to the weights of conv2d and linear."""
    if layer.op.name == "nn.linear":
        return factor[:, None]
    groups, features = _group_count(layer), layer.operands[1].type.static_shape[3]
    return np.repeat(factor.reshape(groups, -1).T, features // groups, axis=1)


def _known(value: Value | None) -> Constant:
    assert value is not None
    assert value.constant is not None
    return value.constant


def _remade(builder: Builder, layer: Node, x: Value, factor: Wide, bias: Callable[[], Wide]) -> Value:
    """The layer with weights times `factor`, which broadcasts to them, and another bias."""
    old = _known(layer.operands[1])
    old_bias = layer.operand("bias")
    dtype = old.type.dtype
    attributes: dict[str, Any] = dict(layer.attributes)
    builder.origin = layer.origin
    made = Constant.lazy(TensorType(old.type.shape, dtype), lambda: (_wide(old.array) * factor).astype(dtype.numpy))
    shift = Constant.lazy(TensorType((_features(layer),), dtype), lambda: bias().astype(dtype.numpy))
    value: Value = builder.op(
        layer.op.name,
        x,
        builder.constant(made, layer.operands[1].name),
        builder.constant(shift, old_bias.name if old_bias is not None else ""),
        **attributes,
    )
    return value


def _scaled_outputs(builder: Builder, layer: Node, factor: Wide, shift: Wide) -> Value:
    """The layer whose results are those of `layer` times a factor, plus a shift, for each output channel."""
    bias = _bias(layer)
    return _remade(builder, layer, layer.operands[0], _output_factors(layer, factor), lambda: bias() * factor + shift)


def _bias(layer: Node) -> Callable[[], Wide]:
    """What gives the biases of a layer, zeros where it has none. It does not hold on to the layer."""
    value = layer.operand("bias")
    if value is None:
        features = _features(layer)
        return lambda: np.zeros(features)
    bias = _known(value)
    return lambda: _wide(bias.array)


# -- batch norm after a layer


def _layer(*, single_use: bool = True) -> Pattern:
    return op(_LAYERS, anything("x"), constant("w"), name="layer", single_use=single_use)


def _refuse_after(match: Match) -> str | None:
    return _refuse_norm(match) or _refuse_layer(match.node("layer"))


def _fold_after(match: Match, builder: Builder) -> Value:
    return _scaled_outputs(builder, match.node("layer"), *_factor_and_shift(match))


# -- batch norm after a concat of layers


def _refuse_concat(match: Match) -> str | None:
    concat = match.node("concat")
    reason = _refuse_norm(match)
    if reason is not None:
        return reason
    if concat["axis"] % (concat.result.type.rank or 1) != (concat.result.type.rank or 1) - 1:
        return "the concat is along another axis than the channels"
    for value in dict.fromkeys(concat.operands):
        layer = value.producer
        if layer is None or layer.op.name not in _LAYERS or has_fused_activation(layer):
            return f"a part of the concat, {value!r}, is no layer that it could be folded into"
        if value.use_count > 1:
            return f"{value!r} has other users"
        reason = _refuse_layer(layer)
        if reason is not None:
            return reason
    return None


def _fold_concat(match: Match, builder: Builder) -> Value:
    concat = match.node("concat")
    factor, shift = _factor_and_shift(match)
    parts, start = [], 0
    for value in concat.operands:
        layer = value.producer
        assert layer is not None
        own = slice(start, start + _features(layer))
        parts.append(_scaled_outputs(builder, layer, factor[own], shift[own]))
        parts[-1].name = value.name
        start = own.stop
    builder.origin = concat.origin
    made: Value = builder.nn.concat(*parts, axis=concat["axis"])
    return made


# -- batch norm before a layer


def _refuse_before(match: Match) -> str | None:
    return _refuse_norm(match) or _refuse_shift(match.root, _factor_and_shift(match)[1])


def _refuse_shift(layer: Node, shift: Wide) -> str | None:
    if layer.op.name == "nn.conv2d" and any(layer["padding"]) and shift.any():
        return "the convolution pads with zeros, which would have to be shifted"
    return _refuse_layer(layer)


def _fold_before(match: Match, builder: Builder) -> Value:
    return _with_inputs(builder, match.root, match["x"], *_factor_and_shift(match))


def _with_inputs(builder: Builder, layer: Node, x: Value, factor: Wide, shift: Wide) -> Value:
    """The layer on x instead of x * factor + shift, both [C]."""
    weight, bias, shifts = _known(layer.operands[1]), _bias(layer), _input_factors(layer, shift)

    def moved() -> Wide:
        wide = _wide(weight.array) * shifts
        total: Wide = bias() + wide.sum(axis=tuple(range(wide.ndim - 1)))
        return total

    return _remade(builder, layer, x, _input_factors(layer, factor), moved)


# -- arithmetic with constants after a layer


def _per_channel(constant: Value, x: Value) -> Wide | None:
    """A constant as one number for each channel of x, None when it is something else."""
    array, shape = constant.array, x.type.shape
    if array is None or not shape or array.ndim > len(shape):
        return None
    channels = shape[-1]
    if not isinstance(channels, int) or (array.size != 1 and (*array.shape[-1:], array.size) != (channels, channels)):
        return None
    return np.broadcast_to(_wide(array).reshape(-1), (channels,))


def _refuse_constant(arithmetic: Node, c: Value, x: Value) -> str | None:
    numbers = _per_channel(c, x)
    if numbers is None:
        return f"{c!r} is not one number for each channel of {x!r}"
    return "it divides by 0" if arithmetic.op.name == "nn.div" and not numbers.all() else None


def _refuse_arithmetic(match: Match) -> str | None:
    layer, c = match.node("layer"), match["c"]
    reason = _refuse_layer(layer) or _refuse_constant(match.root, c, layer.result)
    if reason is not None:
        return reason
    if c.type.size == 1 and _begins_hard_sigmoid(match.root.result):
        return "it may be the beginning of a hard_sigmoid: run recognise-activations first"
    return None


def _begins_hard_sigmoid(value: Value) -> bool:
    """Whether a few operations with numbers lead from the value to limits that begin at 0."""
    for _ in range(3):
        user = value.sole_user
        if user is None:
            return any(_limits_at_zero(u) for u in value.users)
        if _limits_at_zero(user):
            return True
        if user.op.name not in _SCALINGS or not any(v.is_constant and v.type.size == 1 for v in user.operands):
            return False
        value = user.result
    return False


def _limits_at_zero(node: Node) -> bool:
    return node.op.name == "nn.relu6" or (node.op.name == "nn.clip" and node["min"] == 0 and node["max"] < 1e6)


def _as_factor_and_shift(arithmetic: Node, c: Value, x: Value) -> tuple[Wide, Wide]:
    """x and a constant, as x * factor + shift."""
    numbers = _per_channel(c, x)
    assert numbers is not None
    one, zero = np.ones_like(numbers), np.zeros_like(numbers)
    match arithmetic.op.name:
        case "nn.mul":
            return numbers, zero
        case "nn.div":
            return one / numbers, zero
        case "nn.add":
            return one, numbers
        case _:
            return one, -numbers


def _fold_arithmetic(match: Match, builder: Builder) -> Value:
    layer = match.node("layer")
    return _scaled_outputs(builder, layer, *_as_factor_and_shift(match.root, match["c"], layer.result))


# -- arithmetic with constants before a layer


def _refuse_arithmetic_before(match: Match) -> str | None:
    arithmetic, x, c = match.node("arithmetic"), match["x"], match["c"]
    if x.is_constant:
        return "both operands are constants: run fold-constants first"
    if arithmetic.result.type != x.type:
        return f"it broadcasts {x!r}"
    reason = _refuse_constant(arithmetic, c, x)
    if reason is not None:
        return reason
    if c.type.size == 1 and _ends_activation(arithmetic.result):
        return "it is the end of an activation: run recognise-activations first"
    return _refuse_shift(match.root, _as_factor_and_shift(arithmetic, c, x)[1])


def _ends_activation(value: Value) -> bool:
    """Whether a value is the end of a hard_sigmoid or a hard_swish that is written out."""
    gate = find_gate(value, is_root=True)
    if gate is not None and close(gate.scale, 1):
        return True
    values = factors(value)[1]
    gates = map(find_gate, values)
    return len(values) == 2 and any(g is not None and g.x is x for g, x in zip(gates, reversed(values), strict=True))


def _fold_arithmetic_before(match: Match, builder: Builder) -> Value:
    arithmetic, x = match.node("arithmetic"), match["x"]
    return _with_inputs(builder, match.root, x, *_as_factor_and_shift(arithmetic, match["c"], x))


# -- batch norm by itself


def _refuse_split(match: Match) -> str | None:
    return "the rank of its operand is not known" if match["x"].type.rank is None else None


def _split(match: Match, builder: Builder) -> Value:
    x, norm = match["x"], match.node("norm")
    rank = x.type.rank
    assert rank is not None
    shape: Sequence[int] = (-1,) + (1,) * (rank - 1 - norm["axis"] % rank)
    dtype = x.type.dtype.numpy
    factor, shift = (builder.constant(c.reshape(shape).astype(dtype)) for c in _factor_and_shift(match))
    value: Value = builder.nn.add(builder.nn.mul(x, factor), shift)
    return value


_RULES = (
    Rule(
        "batch_norm(conv2d(x, w, b)) = conv2d(x, w * factor, b * factor + shift)",
        _batch_norm(_layer()),
        _fold_after,
        _refuse_after,
    ),
    Rule(
        "batch_norm(concat(conv2d(x, w), conv2d(y, v))) = concat(batch_norm(conv2d(x, w)), batch_norm(conv2d(y, v)))",
        _batch_norm(op("nn.concat", name="concat", single_use=True)),
        _fold_concat,
        _refuse_concat,
    ),
    Rule(
        "conv2d(batch_norm(x), w, b) = conv2d(x, w * factor, b + sum(w * shift))",
        op(("nn.conv2d", "nn.linear"), _batch_norm(anything("x"), single_use=True), constant("w")),
        _fold_before,
        _refuse_before,
    ),
    *(
        rule
        for name, sign, after, before in (
            ("nn.mul", "*", "conv2d(x, w * c, b * c)", "conv2d(x, w * c, b)"),
            ("nn.div", "/", "conv2d(x, w / c, b / c)", "conv2d(x, w / c, b)"),
            ("nn.add", "+", "conv2d(x, w, b + c)", "conv2d(x, w, b + sum(w * c))"),
            ("nn.sub", "-", "conv2d(x, w, b - c)", "conv2d(x, w, b - sum(w * c))"),
        )
        for rule in (
            Rule(
                f"conv2d(x, w, b) {sign} c = {after}",
                op(name, _layer(), constant("c")),
                _fold_arithmetic,
                _refuse_arithmetic,
            ),
            Rule(
                f"conv2d(x {sign} c, w, b) = {before}",
                op(
                    ("nn.conv2d", "nn.linear"),
                    op(name, anything("x"), constant("c"), name="arithmetic", single_use=True),
                    constant("w"),
                ),
                _fold_arithmetic_before,
                _refuse_arithmetic_before,
            ),
        )
    ),
)
_SPLIT = Rule(
    "batch_norm(x) = x * factor + shift",
    _batch_norm(anything("x")),
    _split,
    _refuse_split,
)
