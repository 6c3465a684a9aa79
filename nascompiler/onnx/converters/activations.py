"""Activation functions. Those without an op of their own are written out by their formulas."""

from __future__ import annotations

from math import pi, sqrt

from nascompiler.ir.graph import Value
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family, Function
from nascompiler.onnx.errors import Refusal

FAMILY = Family()


def _unary(op: str, *numbers: str) -> Function:
    return lambda c: c.op(op, c.operand(0), **{name: c.number(name) for name in numbers})


FAMILY.add(_unary("relu"), "Relu")
FAMILY.add(_unary("sigmoid"), "Sigmoid")
FAMILY.add(_unary("tanh"), "Tanh")
FAMILY.add(_unary("softplus"), "Softplus")
FAMILY.add(_unary("hard_swish"), "HardSwish")
FAMILY.add(_unary("hard_sigmoid", "alpha", "beta"), "HardSigmoid")
FAMILY.add(_unary("leaky_relu", "alpha"), "LeakyRelu")
FAMILY.add(_unary("elu", "alpha"), "Elu")


@FAMILY.op("PRelu")
def prelu(c: Conversion) -> Value:
    return c.op("prelu", c.operand(0), c.operand(1))


@FAMILY.op("Swish")
def swish(c: Conversion) -> Value:
    """x * sigmoid(alpha * x)."""
    x, alpha = c.operand(0), c.number("alpha", 1.0)
    if alpha == 1:
        return c.op("swish", x)
    return c.op("mul", x, c.op("sigmoid", c.op("mul", x, c.scalar(alpha, x))))


@FAMILY.op("Gelu")
def gelu(c: Conversion) -> Value:
    """x / 2 * (1 + erf(x / sqrt 2)), or its approximation by tanh (arXiv:1606.08415, section 2)."""
    x = c.operand(0)
    approximation = c.text("approximate", "none")
    if approximation == "none":
        bend = c.op("erf", c.op("mul", x, c.scalar(sqrt(0.5), x)))
    elif approximation == "tanh":
        cubic = c.op("mul", c.op("mul", c.op("mul", x, x), x), c.scalar(0.044715, x))
        bend = c.op("tanh", c.op("mul", c.op("add", x, cubic), c.scalar(sqrt(2 / pi), x)))
    else:
        raise Refusal(f"approximate={approximation!r}; accepted: none, tanh")
    return c.op("mul", c.op("mul", x, c.scalar(0.5, x)), c.op("add", bend, c.scalar(1, x)))


@FAMILY.op("Mish")
def mish(c: Conversion) -> Value:
    """x * tanh(softplus(x)) (arXiv:1908.08681)."""
    x = c.operand(0)
    return c.op("mul", x, c.op("tanh", c.op("softplus", x)))


@FAMILY.op("Softsign")
def softsign(c: Conversion) -> Value:
    """x / (1 + |x|)."""
    x = c.operand(0)
    return c.op("div", x, c.op("add", c.op("abs", x), c.scalar(1, x)))


@FAMILY.op("Selu")
def selu(c: Conversion) -> Value:
    """gamma * elu(x) (arXiv:1706.02515, equation 2)."""
    x = c.operand(0)
    return c.op("mul", c.op("elu", x, alpha=c.number("alpha")), c.scalar(c.number("gamma"), x))


@FAMILY.op("Celu")
def celu(c: Conversion) -> Value:
    """max(0, x) + min(0, alpha * (e^(x / alpha) - 1)) = alpha * elu(x / alpha) (arXiv:1704.07483)."""
    x, alpha = c.operand(0), c.number("alpha", 1.0)
    if alpha <= 0:
        raise Refusal(f"alpha={alpha}; it must be positive")
    return c.op("mul", c.op("elu", c.op("div", x, c.scalar(alpha, x))), c.scalar(alpha, x))


@FAMILY.op("ThresholdedRelu")
def thresholded_relu(c: Conversion) -> Value:
    x = c.operand(0)
    above = c.op("greater", x, c.scalar(c.number("alpha"), x))
    return c.op("where", above, x, c.scalar(0, x))


@FAMILY.op("Shrink")
def shrink(c: Conversion) -> Value:
    """x + bias below -lambd, x - bias above lambd, 0 between."""
    x, bias, threshold = c.operand(0), c.number("bias"), c.number("lambd")
    below = c.op("less", x, c.scalar(-threshold, x))
    above = c.op("greater", x, c.scalar(threshold, x))
    lifted, lowered = c.op("add", x, c.scalar(bias, x)), c.op("sub", x, c.scalar(bias, x))
    return c.op("where", below, lifted, c.op("where", above, lowered, c.scalar(0, x)))


def _softmax(op: str) -> Function:
    return lambda c: c.op(op, c.operand(0), axis=c.axis(c.integer("axis", -1), c.rank(c.operand(0))))


def _softmax_of_rows(op: str) -> Function:
    """Before opset 13 the dimensions from `axis` on are normalised together, as one row."""

    def convert(c: Conversion) -> Value:
        x = c.operand(0)
        rank = c.rank(x)
        axis = c.axis(c.integer("axis", 1), rank)
        if all(d == 1 for d in c.shape(x)[axis + 1 :]):
            return c.op(op, x, axis=axis)
        rows = c.op(op, c.op("flatten", x, axis=axis), axis=1)
        shape = c.op("shape", x)
        if shape.array is not None:
            return c.op("reshape", rows, shape=tuple(map(int, shape.array)))
        return c.op("dynamic_reshape", rows, shape, allow_zero=True)

    return convert


for _operator, _op in {"Softmax": "softmax", "LogSoftmax": "log_softmax"}.items():
    FAMILY.add(_softmax_of_rows(_op), _operator, until=12)
    FAMILY.add(_softmax(_op), _operator, since=13)
