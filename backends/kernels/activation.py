"""Activations of float32 vectors while they are still in registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nascompiler.backends.kernels.emitter import Emitter, Vector
from nascompiler.ir.types import DType

Activation = tuple[str, tuple[float, ...]]
"""Name and parameters, as `nascompiler.backends.cpu.activation` lists them."""

NONE: Activation = ("none", ())


def activate(e: Emitter, x: Vector, activation: Activation) -> Vector:
    """The activation of each lane."""
    name, parameters = activation
    return _EMITTED[name](e, x, *parameters)


def clip(e: Emitter, x: Vector, low: float, high: float) -> Vector:
    """Each lane between two bounds, which may be infinite."""
    if low != float("-inf"):
        x = e.at_least(x, low)
    return x if high == float("inf") else e.at_most(x, high)


def exp(e: Emitter, x: Vector) -> Vector:
    """e to the power of x, to the last bits of float32; below e^-87 and above e^88 it stays at these.

    The power of two next to it by its exponent, the rest by a polynomial (Cephes, expf.c).
    """

    def multiply_add(a: Vector, b: float | Vector, c: float | Vector) -> Vector:
        other = [v if isinstance(v, Vector) else e.constant(v, x.lanes) for v in (b, c)]
        return e.multiply_add(a, *other)

    x = clip(e, x, -87.33, 88.37)
    power = e.floor(multiply_add(x, 1.44269504088896341, 0.5))
    rest = multiply_add(power, -0.693359375, x)
    rest = multiply_add(power, 2.12194440e-4, rest)
    series = e.constant(1.9875691500e-4, x.lanes)
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        series = multiply_add(series, rest, coefficient)
    series = multiply_add(series, rest * rest, rest + 1)
    exponent = (e.convert(power, DType.I32) + 127) << 23
    return series * e.bits(exponent, DType.F32)


def _relu(e: Emitter, x: Vector) -> Vector:
    return e.at_least(x, 0)


def _leaky_relu(e: Emitter, x: Vector, alpha: float) -> Vector:
    return e.select(x.greater(0), x, x * alpha)


def _hard_sigmoid(e: Emitter, x: Vector, alpha: float, beta: float) -> Vector:
    return clip(e, e.multiply_add(x, e.constant(alpha, x.lanes), e.constant(beta, x.lanes)), 0, 1)


def _hard_swish(e: Emitter, x: Vector) -> Vector:
    return x * _hard_sigmoid(e, x, 1 / 6, 0.5)


def _sigmoid(e: Emitter, x: Vector) -> Vector:
    return 1 / (exp(e, 0 - x) + 1)


def _swish(e: Emitter, x: Vector) -> Vector:
    return x / (exp(e, 0 - x) + 1)


def _tanh(e: Emitter, x: Vector) -> Vector:
    return 2 / (exp(e, x * -2.0) + 1) - 1


_EMITTED: Mapping[str, Callable[..., Vector]] = {
    "none": lambda e, x: x,
    "relu": _relu,
    "clip": clip,
    "leaky_relu": _leaky_relu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _hard_swish,
    "swish": _swish,
}
