"""Activation functions. Those without an op of their own are written out by their formulas."""

from __future__ import annotations

from math import inf, pi, sqrt
from typing import Any

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family, Function

FAMILY = Family()


def _unary(op: str, **numbers: str) -> Function:
    return lambda c: c.op(op, c.cast(c.value(), c.dtype), **{ours: c.number(name) for ours, name in numbers.items()})


FAMILY.add(_unary("relu"), "relu")
FAMILY.add(_unary("relu6"), "relu6")
FAMILY.add(_unary("sigmoid"), "sigmoid")
FAMILY.add(_unary("tanh"), "tanh")
FAMILY.add(_unary("hard_swish"), "hardswish")
FAMILY.add(_unary("hard_sigmoid"), "hardsigmoid")
FAMILY.add(_unary("swish"), "silu")
FAMILY.add(_unary("leaky_relu", alpha="negative_slope"), "leaky_relu")


def _scalar(c: Conversion, number: float) -> Value:
    return c.constant(number, c.dtype)


@FAMILY.op("hardtanh")
def hard_tanh(c: Conversion) -> Value:
    return _clipped(c, c.number("min_val"), c.number("max_val"))


@FAMILY.op("clamp", "clamp_min", "clamp_max", "clip")
def clamp(c: Conversion) -> Value:
    """Bounds that are tensors become ops."""
    value = c.cast(c.value(), c.dtype)
    low, high = c.raw("min"), c.raw("max")
    if isinstance(low, Value) or isinstance(high, Value):
        for op, bound in (("maximum", low), ("minimum", high)):
            value = value if bound is None else c.op(op, value, c.operand(bound, c.dtype))
        return value
    return _clipped(c, -inf if low is None else float(low), inf if high is None else float(high))


def _clipped(c: Conversion, low: float, high: float) -> Value:
    value = c.cast(c.value(), c.dtype)
    if (low, high) == (0.0, 6.0):
        return c.op("relu6", value)
    if (low, high) == (0.0, inf):
        return c.op("relu", value)
    return c.op("clip", value, min=low, max=high)


@FAMILY.op("elu")
def elu(c: Conversion) -> Value:
    """scale * elu(input_scale * x)."""
    x, scale, inner = c.value(), c.raw("scale"), c.raw("input_scale")
    if inner not in (None, 1):
        raise Refusal(f"input_scale={inner}; accepted: 1")
    result = c.op("elu", x, alpha=c.number("alpha"))
    return result if scale in (None, 1) else c.op("mul", result, _scalar(c, scale))


@FAMILY.op("selu")
def selu(c: Conversion) -> Value:
    """gamma * elu(x) with the constants of arXiv:1706.02515, equation 14."""
    result = c.op("elu", c.value(), alpha=1.6732632423543772848170429916717)
    return c.op("mul", result, _scalar(c, 1.0507009873554804934193349852946))


@FAMILY.op("celu")
def celu(c: Conversion) -> Value:
    """alpha * elu(x / alpha) (arXiv:1704.07483)."""
    alpha = c.number("alpha")
    return c.op("mul", c.op("elu", c.op("div", c.value(), _scalar(c, alpha))), _scalar(c, alpha))


@FAMILY.op("softplus")
def softplus(c: Conversion) -> Value:
    """log(1 + e^(beta x)) / beta; torch's threshold, beyond which it returns x, is far inside float32's rounding."""
    x, beta = c.value(), c.number("beta")
    if beta == 1:
        return c.op("softplus", x)
    return c.op("div", c.op("softplus", c.op("mul", x, _scalar(c, beta))), _scalar(c, beta))


@FAMILY.op("softsign")
def softsign(c: Conversion) -> Value:
    """x / (1 + |x|)."""
    return c.op("div", c.value(), c.op("add", c.op("abs", c.value()), _scalar(c, 1)))


@FAMILY.op("mish")
def mish(c: Conversion) -> Value:
    """x * tanh(softplus(x)) (arXiv:1908.08681)."""
    return c.op("mul", c.value(), c.op("tanh", c.op("softplus", c.value())))


@FAMILY.op("log_sigmoid", "log_sigmoid_forward")
def log_sigmoid(c: Conversion) -> tuple[Any, ...]:
    """-softplus(-x)."""
    return c.op("neg", c.op("softplus", c.op("neg", c.value()))), None


@FAMILY.op("gelu")
def gelu(c: Conversion) -> Value:
    """x / 2 * (1 + erf(x / sqrt 2)), or its approximation by tanh (arXiv:1606.08415, section 2)."""
    x = c.value()
    if c.raw("approximate") == "tanh":
        cubic = c.op("mul", c.op("mul", c.op("mul", x, x), x), _scalar(c, 0.044715))
        bend = c.op("tanh", c.op("mul", c.op("add", x, cubic), _scalar(c, sqrt(2 / pi))))
    else:
        bend = c.op("erf", c.op("mul", x, _scalar(c, sqrt(0.5))))
    return c.op("mul", c.op("mul", x, _scalar(c, 0.5)), c.op("add", bend, _scalar(c, 1)))


@FAMILY.op("glu")
def glu(c: Conversion) -> Value:
    """The first half of the channels times the sigmoid of the second."""
    x = c.value()
    axis = c.axis(x, c.integer("dim"))
    half = c.dim(x, axis) // 2
    first, second = c.results("split", x, axis=axis, sizes=(half, half))
    return c.op("mul", first, c.op("sigmoid", second))


@FAMILY.op("prelu", "_prelu_kernel")
def prelu(c: Conversion) -> Value:
    """One slope, or one for each channel: axis 1."""
    x, slope = c.value("self"), c.value("weight")
    if c.rank(slope) == 1 and c.rank(x) > 2 and c.shape(slope) != (1,):
        slope = c.reshape(slope, (c.dim(slope, 0), *(1,) * (c.rank(x) - 2)))
    return c.op("prelu", x, slope)


def _softmax(op: str) -> Function:
    def convert(c: Conversion) -> Value:
        x = c.cast(c.value(), c.dtype)
        return c.op(op, x, axis=c.axis(x, c.integer("dim")))

    return convert


FAMILY.add(_softmax("softmax"), "softmax", "_softmax", "_safe_softmax")
FAMILY.add(_softmax("log_softmax"), "log_softmax", "_log_softmax")
