"""Elementwise ops of nn, one expression each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tvm import tirx

from nascompiler.backends.tvm_adapter.leftovers.expressions import (
    Expr,
    Tensor,
    broadcast,
    dtype_of,
    is_float,
    larger,
    number,
    smaller,
)
from nascompiler.ir.graph import Node


def _wide(function: Callable[[Expr], Expr]) -> Callable[[Expr], Expr]:
    """Half precision by way of float32."""
    return lambda x: function(x.astype("float32")).astype("float16") if dtype_of(x) == "float16" else function(x)


def _divide(a: Expr, b: Expr) -> Expr:
    if is_float(a):
        return a / b
    # x86 traps on division by 0 and on the smallest integer by -1: neither may reach the processor
    zero, one = number(0, dtype_of(a)), number(1, dtype_of(a))
    if dtype_of(a).startswith("u"):
        quotient = tirx.truncdiv(a, tirx.Select(b == zero, one, b))
        return tirx.Select(b == zero, zero, quotient)
    minus = number(-1, dtype_of(a))
    quotient = tirx.truncdiv(a, tirx.Select(tirx.any(b == zero, b == minus), one, b))
    return tirx.Select(b == zero, zero, tirx.Select(b == minus, zero - a, quotient))


def _c_function(name: str, *arguments: Expr) -> Expr:
    """A function of C's mathematical library, in float32 or float64; half precision by way of float32."""
    dtype = dtype_of(arguments[0])
    if dtype == "float64":
        return tirx.call_pure_extern(dtype, name, *arguments)
    wide = [argument.astype("float32") for argument in arguments]
    return tirx.call_pure_extern("float32", f"{name}f", *wide).astype(dtype)


def _differ(a: Expr, b: Expr) -> Expr:
    """Whether two truth values differ."""
    return tirx.any(tirx.all(a, tirx.Not(b)), tirx.all(tirx.Not(a), b))


def _equal(a: Expr, b: Expr) -> Expr:
    return tirx.Not(_differ(a, b)) if dtype_of(a) == "bool" else a == b


def _remainder(a: Expr, b: Expr, fmod: bool) -> Expr:
    if is_float(a):
        remainder = _c_function("fmod", a, b)
        if fmod:
            return remainder
        zero = number(0, dtype_of(a))
        wrong_sign = tirx.all(remainder != zero, _differ(remainder < zero, b < zero))
        return tirx.Select(wrong_sign, remainder + b, remainder)
    zero, one = number(0, dtype_of(a)), number(1, dtype_of(a))
    trivial = b == zero
    if not dtype_of(a).startswith("u"):
        trivial = tirx.any(trivial, b == number(-1, dtype_of(a)))
    divisor = tirx.Select(trivial, one, b)
    remainder = tirx.truncmod(a, divisor)
    if not fmod and not dtype_of(a).startswith("u"):
        wrong_sign = tirx.all(remainder != zero, _differ(remainder < zero, divisor < zero))
        remainder = tirx.Select(wrong_sign, remainder + divisor, remainder)
    return tirx.Select(trivial, zero, remainder)


def _sign(x: Expr) -> Expr:
    zero, one = number(0, dtype_of(x)), number(1, dtype_of(x))
    signed = tirx.Select(x > zero, one, zero)
    if not dtype_of(x).startswith("u"):
        signed = tirx.Select(x < zero, zero - one, signed)
    return tirx.Select(tirx.isnan(x), x, signed) if is_float(x) else signed


def _clip(x: Expr, low: float, high: float) -> Expr:
    if is_float(x):
        if low != float("-inf"):
            x = larger(x, number(low, dtype_of(x)))
        return x if high == float("inf") else smaller(x, number(high, dtype_of(x)))
    limits = np.iinfo(dtype_of(x))
    lowest = limits.min if low <= limits.min else limits.max if low > limits.max else int(np.ceil(low))
    highest = limits.max if high >= limits.max else limits.min if high < limits.min else int(np.floor(high))
    return smaller(larger(x, number(lowest, dtype_of(x))), number(highest, dtype_of(x)))


def _hard_sigmoid(x: Expr, alpha: float, beta: float) -> Expr:
    return _clip(x * number(alpha, dtype_of(x)) + number(beta, dtype_of(x)), 0, 1)


def _sigmoid(x: Expr) -> Expr:
    return number(1, dtype_of(x)) / (number(1, dtype_of(x)) + tirx.exp(-x))


def _softplus(x: Expr) -> Expr:
    zero = number(0, dtype_of(x))
    return larger(x, zero) + tirx.log(number(1, dtype_of(x)) + tirx.exp(-tirx.abs(x)))


def _elu(x: Expr, alpha: float) -> Expr:
    return tirx.Select(
        x > number(0, dtype_of(x)), x, number(alpha, dtype_of(x)) * (tirx.exp(x) - number(1, dtype_of(x)))
    )


def _leaky(x: Expr, slope: Expr) -> Expr:
    return tirx.Select(x > number(0, dtype_of(x)), x, x * slope)


def _cast(x: Expr, to: str) -> Expr:
    if to == "bool":
        return x if dtype_of(x) == "bool" else x != number(0, dtype_of(x))
    return x.astype(to)


_BINARY: Mapping[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": _divide,
    "pow": lambda a, b: tirx.power(a, b),
    "minimum": smaller,
    "maximum": larger,
    "equal": _equal,
    "less": lambda a, b: a < b,
    "greater": lambda a, b: a > b,
    "less_equal": lambda a, b: a <= b,
    "greater_equal": lambda a, b: a >= b,
    "logical_and": lambda a, b: tirx.all(a, b),
    "logical_or": lambda a, b: tirx.any(a, b),
    "logical_xor": _differ,
    "prelu": _leaky,
}

_UNARY: Mapping[str, Callable[[Expr], Expr]] = {
    "neg": lambda x: number(0, dtype_of(x)) - x if not is_float(x) else -x,
    "abs": lambda x: x if dtype_of(x).startswith("u") else tirx.abs(x),
    "sign": _sign,
    "sqrt": lambda x: tirx.sqrt(x),
    "exp": _wide(lambda x: tirx.exp(x)),
    "log": _wide(lambda x: tirx.log(x)),
    "floor": lambda x: tirx.floor(x),
    "ceil": lambda x: tirx.ceil(x),
    "round": lambda x: tirx.nearbyint(x),
    "erf": _wide(lambda x: tirx.erf(x)),
    "reciprocal": lambda x: number(1, dtype_of(x)) / x,
    "relu": lambda x: larger(x, number(0, dtype_of(x))),
    "relu6": lambda x: _clip(x, 0, 6),
    "sigmoid": _wide(_sigmoid),
    "tanh": _wide(lambda x: tirx.tanh(x)),
    "softplus": _wide(_softplus),
    "hard_swish": lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "swish": _wide(lambda x: x * _sigmoid(x)),
    "logical_not": lambda x: tirx.Not(x),
}

_WITH_ATTRIBUTES: Mapping[str, Callable[..., Expr]] = {
    "clip": lambda node, x: _clip(x, node["min"], node["max"]),
    "leaky_relu": lambda node, x: _leaky(x, number(node["alpha"], dtype_of(x))),
    "elu": lambda node, x: _wide(lambda y: _elu(y, node["alpha"]))(x),
    "hard_sigmoid": lambda node, x: _hard_sigmoid(x, node["alpha"], node["beta"]),
    "cast": lambda node, x: _cast(x, str(node["to"].numpy)),
    "mod": lambda node, a, b: _remainder(a, b, node["fmod"]),
    "where": lambda node, condition, x, y: tirx.Select(condition, x, y),
}


def _rule(element: Callable[..., Expr], with_node: bool) -> Callable[..., list[Tensor]]:
    def rule(node: Node, *tensors: Tensor) -> list[Tensor]:
        function = (lambda *x: element(node, *x)) if with_node else element
        return [broadcast(node.result.type, function, *tensors)]

    return rule


RULES: dict[str, Any] = {
    **{f"nn.{name}": _rule(element, False) for name, element in _BINARY.items()},
    **{f"nn.{name}": _rule(element, False) for name, element in _UNARY.items()},
    **{f"nn.{name}": _rule(element, True) for name, element in _WITH_ATTRIBUTES.items()},
}
