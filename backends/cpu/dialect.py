"""The cpu dialect: one op for each kernel call. Weights keep the layout of nn; packing them is the generator's affair.

Every op but the plain pooling ones is `activation(linear(x, weight) + bias + residual)`. Each is defined by its
decomposition into nn, so that a graph with kernels assigned evaluates in the reference as before.
"""

from __future__ import annotations

from typing import Any

from nascompiler.backends.cpu.activation import ACTIVATIONS, apply_activation
from nascompiler.ir.attributes import AttributeDef, Kind, string
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Value
from nascompiler.ir.ops import OPS, InferenceError, OpDef, Operand, register_op
from nascompiler.ir.types import DType, TensorType

_F32 = frozenset({DType.F32})
_NUMBERS = Kind("a list of numbers", lambda v: isinstance(v, tuple) and all(isinstance(x, float) for x in v))

ACTIVATION = (string("activation", "none", among=ACTIVATIONS), AttributeDef("activation_parameters", _NUMBERS, ()))


def _operand(name: str, rank: int | None = None, **options: Any) -> Operand:
    return Operand(name, _F32, rank, **options)


def _attributes(nn: str, *without: str) -> tuple[AttributeDef, ...]:
    """The attributes of an nn op, but for its fused activation, which kernels have in a form of their own."""
    return tuple(a for a in OPS[nn].attributes if a.name not in ("activation", *without))


def _fused(
    result: TensorType, residual: TensorType | None, activation: str, activation_parameters: tuple[float, ...]
) -> TensorType:
    """Check what is fused behind a linear operation of type `result`."""
    if residual is not None and residual != result:
        raise InferenceError(f"residual is {residual}; it must be {result}, the type of the result")
    if len(activation_parameters) != len(ACTIVATIONS[activation]):
        names = ", ".join(ACTIVATIONS[activation]) or "none"
        raise InferenceError(f"activation {activation} has parameters {activation_parameters}; it takes {names}")
    return result


def _finish(
    builder: Builder, x: Value, residual: Value | None, activation: str, activation_parameters: tuple[float, ...]
) -> Value:
    if residual is not None:
        x = builder.nn.add(x, residual)
    return apply_activation(builder, x, activation, activation_parameters)


def _register_fused(name: str, nn: str, summary: str, x_rank: int | None, weight_rank: int, *without: str) -> None:
    """Register `cpu.<name>`, which is an nn op with bias, residual and activation fused behind it."""

    def linear_attributes(attributes: dict[str, Any], x: TensorType | Value) -> dict[str, Any]:
        if "groups" in without:
            type = x if isinstance(x, TensorType) else x.type
            attributes["groups"] = type.static_shape[-1]
        return attributes

    def infer(
        x: TensorType,
        weight: TensorType,
        bias: TensorType,
        residual: TensorType | None,
        *,
        activation: str,
        activation_parameters: tuple[float, ...],
        **attributes: Any,
    ) -> TensorType:
        result = OPS[nn].infer(x, weight, bias, **linear_attributes(attributes, x))
        assert isinstance(result, TensorType)
        return _fused(result, residual, activation, activation_parameters)

    def decompose(
        builder: Builder,
        x: Value,
        weight: Value,
        bias: Value,
        residual: Value | None,
        *,
        activation: str,
        activation_parameters: tuple[float, ...],
        **attributes: Any,
    ) -> Value:
        result = builder.op(nn, x, weight, bias, **linear_attributes(attributes, x))
        return _finish(builder, result, residual, activation, activation_parameters)

    def macs(result: TensorType, x: TensorType, weight: TensorType, *rest: Any, **attributes: Any) -> int:
        return result.size * TensorType(weight.static_shape[:-1]).size

    register_op(
        OpDef(
            name=f"cpu.{name}",
            summary=summary,
            operands=(
                _operand("x", x_rank),
                _operand("weight", weight_rank, parameter=True),
                _operand("bias", 1, parameter=True),
                _operand("residual", optional=True),
            ),
            attributes=(*_attributes(nn, *without), *ACTIVATION),
            infer=infer,
            decompose=decompose,
            macs=macs,
        )
    )


def _register_same(name: str, nn: str, summary: str) -> None:
    """Register `cpu.<name>`, which is an nn op as it is."""

    def decompose(builder: Builder, *operands: Value, **attributes: Any) -> Value:
        result: Value = builder.op(nn, *operands, **attributes)
        return result

    original = OPS[nn]
    register_op(
        OpDef(
            name=f"cpu.{name}",
            summary=summary,
            operands=tuple(_operand(o.name, o.rank, parameter=o.parameter) for o in original.operands),
            attributes=original.attributes,
            infer=original.infer,
            decompose=decompose,
            macs=original.macs,
        )
    )


_register_fused(
    "conv2d",
    "nn.conv2d",
    "x [N, H, W, C], weight [kh, kw, C / groups, O], bias [O], residual [N, H', W', O]: "
    "activation(convolution + bias + residual).",
    4,
    4,
)
_register_fused(
    "depthwise_conv2d",
    "nn.conv2d",
    "x [N, H, W, C], weight [kh, kw, 1, C], bias [C], residual [N, H', W', C]: each channel convolved by itself.",
    4,
    4,
    "groups",
)
_register_fused("linear", "nn.linear", "activation(x [..., K] @ weight [K, N] + bias [N] + residual).", None, 2)
_register_same("squeeze_excite", "nn.squeeze_excite", "The whole of nn.squeeze_excite in one call.")
_register_same(
    "global_average_pool", "nn.global_average_pool", "Mean over height and width, [N, H, W, C] -> [N, 1, 1, C]."
)
_register_same("average_pool2d", "nn.average_pool2d", "nn.average_pool2d without dilation.")
_register_same("max_pool2d", "nn.max_pool2d", "nn.max_pool2d without dilation.")
