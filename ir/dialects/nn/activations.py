"""Activation functions, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nascompiler.ir.attributes import AttributeDef, number
from nascompiler.ir.builder import Builder
from nascompiler.ir.dialects.nn.elementwise import infer_same
from nascompiler.ir.dialects.nn.inference import dims, like, moved
from nascompiler.ir.graph import Value
from nascompiler.ir.ops import InferenceError, OpDef, Operand, Trait, floats, numbers, register_op
from nascompiler.ir.types import Array, TensorType

_ELEMENTWISE = frozenset({Trait.ELEMENTWISE})


def _activation(
    name: str,
    summary: str,
    evaluate: Callable[..., Any],
    *attributes: AttributeDef,
    operand: Operand | None = None,
    decompose: Callable[..., Any] | None = None,
) -> None:
    def in_own_dtype(x: Array, **options: float) -> Array:
        with np.errstate(all="ignore"):
            return like(evaluate(x, **options), x)

    register_op(
        OpDef(
            name=f"nn.{name}",
            summary=summary,
            operands=(operand or floats("x"),),
            attributes=attributes,
            infer=infer_same,
            evaluate=in_own_dtype,
            decompose=decompose,
            traits=_ELEMENTWISE,
        )
    )


def _clip(x: Array, *, min: float, max: float) -> Any:
    if x.dtype.kind == "f":
        return np.minimum(np.maximum(x, min), max)
    limits = np.iinfo(x.dtype.name)
    low = limits.min if min <= limits.min else limits.max if min > limits.max else math.ceil(min)
    high = limits.max if max >= limits.max else limits.min if max < limits.min else math.floor(max)
    return np.minimum(np.maximum(x, low), high)


def _sigmoid(x: Array) -> Any:
    return np.reciprocal(1 + np.exp(np.negative(x)))


def _hard_sigmoid(x: Any, *, alpha: float = 1 / 6, beta: float = 0.5) -> Any:
    return np.minimum(np.maximum(alpha * x + beta, 0), 1)


def _decompose_hard_swish(builder: Builder, x: Value) -> Value:
    gate: Value = builder.nn.hard_sigmoid(x, alpha=1 / 6, beta=0.5)
    product: Value = builder.nn.mul(x, gate)
    return product


def _decompose_swish(builder: Builder, x: Value) -> Value:
    product: Value = builder.nn.mul(x, builder.nn.sigmoid(x))
    return product


_activation("relu", "max(x, 0).", lambda x: np.maximum(x, 0), operand=numbers("x"))
_activation("relu6", "min(max(x, 0), 6).", lambda x: np.minimum(np.maximum(x, 0), 6), operand=numbers("x"))
_activation(
    "clip",
    "min(max(x, `min`), `max`), which is `max` where the bounds cross. On integers the bounds round inwards.",
    _clip,
    number("min", -math.inf),
    number("max", math.inf),
    operand=numbers("x"),
)
_activation(
    "leaky_relu",
    "x where it is positive, `alpha` * x elsewhere.",
    lambda x, *, alpha: np.where(x > 0, x, alpha * x),
    number("alpha", 0.01),
)
_activation(
    "elu",
    "x where it is positive, `alpha` * (e^x - 1) elsewhere (arXiv:1511.07289, section 3).",
    lambda x, *, alpha: np.where(x > 0, x, alpha * np.expm1(x)),
    number("alpha", 1.0),
)
_activation("sigmoid", "1 / (1 + e^-x).", _sigmoid)
_activation("tanh", "The hyperbolic tangent.", np.tanh)
_activation("softplus", "log(1 + e^x).", lambda x: np.logaddexp(x, 0))
_activation(
    "hard_sigmoid",
    "`alpha` * x + `beta` between 0 and 1; by default relu6(x + 3) / 6 (MobileNetV3, arXiv:1905.02244, section 5.2).",
    _hard_sigmoid,
    number("alpha", 1 / 6),
    number("beta", 0.5),
)
_activation(
    "hard_swish",
    "x * hard_sigmoid(x), that is x * relu6(x + 3) / 6 (MobileNetV3, arXiv:1905.02244, section 5.2).",
    lambda x: x * _hard_sigmoid(x),
    decompose=_decompose_hard_swish,
)
_activation(
    "swish",
    "x * sigmoid(x) (arXiv:1710.05941).",
    lambda x: x * _sigmoid(x),
    decompose=_decompose_swish,
)

register_op(
    OpDef(
        name="nn.dropout",
        summary="x: dropping elements with probability `rate` happens in training only.",
        operands=(floats("x"),),
        attributes=(number("rate", 0.5),),
        infer=lambda x, *, rate: moved(x, dims(x)),
        evaluate=lambda x, *, rate: x,
        traits=frozenset({Trait.ELEMENTWISE, Trait.IDENTITY}),
    )
)


def _infer_drop_path(x: TensorType, *, keep_probability: float) -> TensorType:
    if not 0 < keep_probability <= 1:
        raise InferenceError(f"keep_probability is {keep_probability}; accepted: above 0 and up to 1")
    return moved(x, dims(x))


register_op(
    OpDef(
        name="nn.drop_path",
        summary=(
            "x: in training only, each example (axis 0) is kept with `keep_probability` and then divided by it, else "
            "it becomes 0. The probability is that at the end of training; NASNet's schedule goes from 1 to it "
            "linearly in time (ScheduledDropPath, arXiv:1707.07012)."
        ),
        operands=(floats("x"),),
        attributes=(number("keep_probability"),),
        infer=_infer_drop_path,
        evaluate=lambda x, *, keep_probability: x,
        traits=frozenset({Trait.ELEMENTWISE, Trait.IDENTITY}),
    )
)
