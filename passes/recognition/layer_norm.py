"""Layer normalisation written out: (x - mean) / sqrt(variance + epsilon) * scale + bias (arXiv:1607.06450)."""

from __future__ import annotations

from nascompiler.ir import Builder, Value
from nascompiler.passes.infrastructure.patterns import Match, Pattern, anything, constant, op
from nascompiler.passes.infrastructure.rewriter import Rule
from nascompiler.passes.recognition.gates import number


def _deviation(name: str) -> Pattern:
    return op("nn.sub", anything("x"), op("nn.reduce_mean", anything("x"), name=f"{name}_mean"), name=name)


def _root(square: Pattern) -> Pattern:
    variance = op("nn.reduce_mean", square, name="variance", single_use=True)
    return op("nn.sqrt", op("nn.add", variance, constant("epsilon"), single_use=True), single_use=True)


def _refuse(match: Match) -> str | None:
    rank = match["x"].type.rank
    if rank is None:
        return "the rank of its operand is not known"
    axes = sorted(axis % rank for axis in match.node("variance")["axes"])
    if axes != list(range(rank - len(axes), rank)) or not axes:
        return f"it normalises the axes {axes}, not the last ones: run propagate-layout first"
    for name in ("variance", "deviation_mean", "squared_mean"):
        if name in match.values:
            node = match.node(name)
            if sorted(a % rank for a in node["axes"]) != axes or not node["keepdims"]:
                return "mean and variance are over different axes, or without keepdims"
    if number(match["epsilon"]) is None:
        return "its epsilon is not one number"
    return None


def _normalised(match: Match, builder: Builder) -> Value:
    first = -len(match.node("variance")["axes"])
    value: Value = builder.nn.layer_norm(match["x"], axis=first, epsilon=number(match["epsilon"]))
    return value


def _plain(operands: int) -> Pattern:
    """A layer norm that has this many operands is told apart by the checks: patterns look at the first ones only."""
    return op("nn.layer_norm", *(anything(f"o{i}") for i in range(operands)), name="norm", single_use=True)


def _parameter_fits(match: Match, operands: int) -> bool:
    norm, c = match.node("norm"), match["c"]
    shape = norm.result.type.shape
    if len(norm.operands) != operands or shape is None or c.type.shape is None:
        return False
    return c.type.shape == shape[norm["axis"] % len(shape) :]


def _with_parameter(match: Match, builder: Builder) -> Value | None:
    norm = match.node("norm")
    scaling = match.root.op.name == "nn.mul"
    if not _parameter_fits(match, 1 if scaling else 2):
        return None
    value: Value = builder.nn.layer_norm(*norm.operands, match["c"], axis=norm["axis"], epsilon=norm["epsilon"])
    return value


_SQUARES = (
    op("nn.pow", anything("deviation"), constant(equal_to=2.0)),
    op("nn.mul", anything("deviation"), anything("deviation")),
    op("nn.pow", _deviation("squared"), constant(equal_to=2.0)),
)

RULES = (
    *(
        Rule(
            "(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) = layer_norm(x)",
            op("nn.div", _deviation("deviation"), _root(square)),
            _normalised,
            _refuse,
        )
        for square in _SQUARES
    ),
    Rule("layer_norm(x) * scale = layer_norm(x, scale)", op("nn.mul", _plain(1), constant("c")), _with_parameter),
    Rule(
        "layer_norm(x, scale) + bias = layer_norm(x, scale, bias)",
        op("nn.add", _plain(2), constant("c")),
        _with_parameter,
    ),
)
