"""Squeeze-and-excitation."""

from __future__ import annotations

from nascompiler.ir.attributes import number, string
from nascompiler.ir.builder import Builder
from nascompiler.ir.dialects.nn.inference import dims, require_dim, require_same_dtype
from nascompiler.ir.graph import Value
from nascompiler.ir.ops import OpDef, floats, register_op
from nascompiler.ir.types import TensorType


def _infer(
    x: TensorType,
    w1: TensorType,
    b1: TensorType,
    w2: TensorType,
    b2: TensorType,
    *,
    activation: str,
    gate: str,
    alpha: float,
    beta: float,
) -> TensorType:
    require_same_dtype(x=x, w1=w1, b1=b1, w2=w2, b2=b2)
    channels, squeezed = dims(x)[3], dims(w1)[1]
    require_dim("w1", 0, w1, channels, "the channels of x")
    require_dim("b1", 0, b1, squeezed, "dimension 1 of w1")
    require_dim("w2", 0, w2, squeezed, "dimension 1 of w1")
    require_dim("w2", 1, w2, channels, "the channels of x")
    require_dim("b2", 0, b2, channels, "the channels of x")
    return TensorType(dims(x), x.dtype)


def _decompose(
    builder: Builder,
    x: Value,
    w1: Value,
    b1: Value,
    w2: Value,
    b2: Value,
    *,
    activation: str,
    gate: str,
    alpha: float,
    beta: float,
) -> Value:
    nn = builder.nn
    squeezed = builder.op(f"nn.{activation}", nn.linear(nn.global_average_pool(x), w1, b1))
    excited = nn.linear(squeezed, w2, b2)
    factor = nn.hard_sigmoid(excited, alpha=alpha, beta=beta) if gate == "hard_sigmoid" else nn.sigmoid(excited)
    result: Value = nn.mul(x, factor)
    return result


register_op(
    OpDef(
        name="nn.squeeze_excite",
        summary=(
            "x [N, H, W, C] times a gate for each image and channel, computed from its channel means by two fully "
            "connected layers w1 [C, S], b1 [S], w2 [S, C], b2 [C] (arXiv:1709.01507; in MobileNetV3, arXiv:1905.02244 "
            "section 5.3, with a hard_sigmoid gate, whose slope and offset are `alpha` and `beta`)."
        ),
        operands=(
            floats("x", rank=4),
            floats("w1", rank=2, parameter=True),
            floats("b1", rank=1, parameter=True),
            floats("w2", rank=2, parameter=True),
            floats("b2", rank=1, parameter=True),
        ),
        attributes=(
            string("activation", "relu", among=("relu", "relu6", "hard_swish", "swish")),
            string("gate", "hard_sigmoid", among=("hard_sigmoid", "sigmoid")),
            number("alpha", 1 / 6),
            number("beta", 0.5),
        ),
        infer=_infer,
        decompose=_decompose,
    )
)
