"""The cpu dialect: one op for each kernel call. Weights keep the layout of nn; packing them is the generator's affair.

Every op but pooling, gates and joins is `activation(linear(x, weight) + bias + residual)`. Each is defined by its
decomposition into nn, so that a graph with kernels assigned evaluates in the reference as before.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import accumulate
from typing import Any

from nascompiler.backends.cpu.activation import ACTIVATIONS, apply_activation
from nascompiler.ir.attributes import AttributeDef, Kind, integer, integers, string
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Value
from nascompiler.ir.ops import OPS, InferenceError, OpDef, Operand, register_op
from nascompiler.ir.types import DType, TensorType

_F32 = frozenset({DType.F32})
_BYTES = frozenset({DType.I8, DType.U8})
_NUMBERS = Kind("a list of numbers", lambda v: isinstance(v, tuple) and all(isinstance(x, float) for x in v))

PLANAR = (0, 2, 3, 1)
"""The permutation of images [N, C, H, W] to [N, H, W, C]."""

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


def _register_same(name: str, nn: str, summary: str, types: frozenset[DType] = _F32) -> None:
    """Register `cpu.<name>`, which is an nn op as it is."""

    def decompose(builder: Builder, *operands: Value, **attributes: Any) -> Value:
        result: Value = builder.op(nn, *operands, **attributes)
        return result

    original = OPS[nn]
    register_op(
        OpDef(
            name=f"cpu.{name}",
            summary=summary,
            operands=tuple(Operand(o.name, types, o.rank, parameter=o.parameter) for o in original.operands),
            attributes=original.attributes,
            infer=original.infer,
            decompose=decompose,
            macs=original.macs,
        )
    )


def _register_chain(name: str, summary: str, **parts: str) -> None:
    """Register `cpu.<name>`: calls of other ops one after the other, by the names of their weights; one is depthwise.

    It has the strides and padding of the depthwise one, an activation behind each, and a residual behind the last.
    """
    *first, last = parts

    def calls(attributes: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for part, op in parts.items():
            prefix = "" if part == last else f"{part}_"
            given = {a.name: attributes[prefix + a.name] for a in ACTIVATION}
            if part == "depthwise":
                given |= {key: attributes[key] for key in ("strides", "padding")}
            found.append((op, OPS[op].complete_attributes(given)))
        return found

    def types(*operands: TensorType | None, **attributes: Any) -> list[tuple[TensorType, ...]]:
        """The results of each part."""
        x, *weights, residual = operands
        results: list[tuple[TensorType, ...]] = []
        for number, (op, given) in enumerate(calls(attributes)):
            weight, bias = weights[2 * number : 2 * number + 2]
            rest = residual if number == len(first) else None
            made = OPS[op].infer(results[-1][0] if results else x, weight, bias, rest, **given)
            results.append(made if isinstance(made, tuple) else (made,))
        return results

    def infer(*operands: TensorType | None, **attributes: Any) -> TensorType | tuple[TensorType, ...]:
        results = types(*operands, **attributes)[-1]
        return results if len(results) > 1 else results[0]

    def decompose(builder: Builder, x: Value, *rest: Value | None, **attributes: Any) -> Value | tuple[Value, ...]:
        *weights, residual = rest
        *before, (op, given) = calls(attributes)
        for number, (inner, how) in enumerate(before):
            x = builder.op(inner, x, *weights[2 * number : 2 * number + 2], **how)
        made: Value | tuple[Value, ...]
        made = builder.op(op, x, *weights[-2:], *([] if residual is None else [residual]), **given)
        return made

    def macs(result: TensorType, *operands: TensorType | None, **attributes: Any) -> int:
        weights = [w for w in operands[1:-1:2] if w is not None]
        results = types(*operands, **attributes)
        return sum(r[0].size * TensorType(w.static_shape[:-1]).size for r, w in zip(results, weights, strict=True))

    operands = [_operand("x", 4)]
    for part in parts:
        operands += [_operand(f"{part}_weight", 4, parameter=True), _operand(f"{part}_bias", 1, parameter=True)]
    activations = [replace(a, name=f"{part}_{a.name}") for part in first for a in ACTIVATION]
    register_op(
        OpDef(
            name=f"cpu.{name}",
            summary=summary,
            operands=(*operands, _operand("residual", optional=True)),
            attributes=(*_attributes("nn.conv2d", "dilation", "groups"), *activations, *ACTIVATION),
            results=OPS[parts[last]].results,
            infer=infer,
            decompose=decompose,
            macs=macs,
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
_register_same(
    "global_average_pool", "nn.global_average_pool", "Mean over height and width, [N, H, W, C] -> [N, 1, 1, C]."
)
_register_same("softmax", "nn.softmax", "nn.softmax along the last axis.")
_register_same("average_pool2d", "nn.average_pool2d", "nn.average_pool2d without dilation.")
_register_same("max_pool2d", "nn.max_pool2d", "nn.max_pool2d without dilation.", _F32 | _BYTES)
_register_chain(
    "inverted_residual",
    "Pointwise expansion, depthwise convolution, pointwise projection: each a call of the op for it.",
    expand="cpu.conv2d",
    depthwise="cpu.depthwise_conv2d",
    project="cpu.conv2d",
)
_register_chain(
    "separable_conv2d",
    "Depthwise convolution, pointwise projection.",
    depthwise="cpu.depthwise_conv2d",
    project="cpu.conv2d",
)


def _infer_gate(x: TensorType, *weights: TensorType, **attributes: Any) -> TensorType:
    result = OPS["nn.squeeze_excite"].infer(x, *weights, **attributes)
    assert isinstance(result, TensorType)
    batch, _, _, channels = result.static_shape
    return TensorType((batch, 1, 1, channels), result.dtype)


def _decompose_gate(
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
    squeezed: Value = builder.op(f"nn.{activation}", nn.linear(nn.global_average_pool(x), w1, b1))
    parameters = (alpha, beta) if gate == "hard_sigmoid" else ()
    return apply_activation(builder, nn.linear(squeezed, w2, b2), gate, parameters)


register_op(
    OpDef(
        name="cpu.squeeze_excite_gate",
        summary="The gate [N, 1, 1, C] of nn.squeeze_excite, from x [N, H, W, C] or from its means [N, 1, 1, C].",
        operands=tuple(_operand(o.name, o.rank, parameter=o.parameter) for o in OPS["nn.squeeze_excite"].operands),
        attributes=OPS["nn.squeeze_excite"].attributes,
        infer=_infer_gate,
        decompose=_decompose_gate,
        macs=lambda result, x, w1, b1, w2, b2, **_: x.static_shape[0] * (w1.size + w2.size),
    )
)


def _infer_gated(
    x: TensorType,
    weight: TensorType,
    bias: TensorType,
    gate: TensorType,
    residual: TensorType | None,
    **attributes: Any,
) -> TensorType:
    batch, _, _, channels = x.static_shape
    wanted = TensorType((batch, 1, 1, channels), x.dtype)
    if gate != wanted:
        raise InferenceError(f"gate is {gate}; it must be {wanted}, a factor for each image and channel of x")
    if weight.static_shape[:2] != (1, 1):
        raise InferenceError(f"weight is {weight}; it must be pointwise, [1, 1, C, O]")
    convolution = OPS["cpu.conv2d"]
    result = convolution.infer(x, weight, bias, residual, **convolution.complete_attributes(attributes))
    assert isinstance(result, TensorType)
    return result


def _decompose_gated(
    builder: Builder, x: Value, weight: Value, bias: Value, gate: Value, residual: Value | None, **attributes: Any
) -> Value:
    operands = [builder.nn.mul(x, gate), weight, bias, *([] if residual is None else [residual])]
    result: Value = builder.op("cpu.conv2d", *operands, **attributes)
    return result


register_op(
    OpDef(
        name="cpu.gated_conv2d",
        summary=(
            "Pointwise: x [N, H, W, C] times gate [N, 1, 1, C], weight [1, 1, C, O], bias [O], residual [N, H, W, O]: "
            "activation(convolution + bias + residual)."
        ),
        operands=(
            _operand("x", 4),
            _operand("weight", 4, parameter=True),
            _operand("bias", 1, parameter=True),
            _operand("gate", 4),
            _operand("residual", optional=True),
        ),
        attributes=ACTIVATION,
        infer=_infer_gated,
        decompose=_decompose_gated,
        macs=lambda result, x, weight, *rest, **_: result.size * weight.static_shape[2],
    )
)


def _infer_pooled(*operands: TensorType | None, **attributes: Any) -> tuple[TensorType, TensorType]:
    result = OPS["cpu.depthwise_conv2d"].infer(*operands, **attributes)
    assert isinstance(result, TensorType)
    batch, _, _, channels = result.static_shape
    return result, TensorType((batch, 1, 1, channels), result.dtype)


def _decompose_pooled(builder: Builder, *operands: Value | None, **attributes: Any) -> tuple[Value, Value]:
    given = [operand for operand in operands if operand is not None]
    result: Value = builder.op("cpu.depthwise_conv2d", *given, **attributes)
    return result, builder.nn.global_average_pool(result)


register_op(
    OpDef(
        name="cpu.depthwise_conv2d_pooled",
        summary="cpu.depthwise_conv2d, and the means of its result over all pixels, [N, 1, 1, C].",
        operands=OPS["cpu.depthwise_conv2d"].operands,
        attributes=OPS["cpu.depthwise_conv2d"].attributes,
        results=2,
        infer=_infer_pooled,
        decompose=_decompose_pooled,
        macs=lambda result, x, weight, *rest, **_: result.size * TensorType(weight.static_shape[:-1]).size,
    )
)
_register_chain(
    "expanded_depthwise_conv2d_pooled",
    "Pointwise expansion, depthwise convolution, each a call of the op for it; a second result has the means.",
    expand="cpu.conv2d",
    depthwise="cpu.depthwise_conv2d_pooled",
)


def _register_rectified(op: str, name: str) -> None:
    """Register `cpu.<name>`, which is another op with a rectifier in front of x."""
    plain = OPS[op]

    def decompose(builder: Builder, x: Value, *operands: Value | None, **attributes: Any) -> Value:
        given = [operand for operand in operands if operand is not None]
        result: Value = builder.op(op, builder.nn.relu(x), *given, **attributes)
        return result

    register_op(replace(plain, name=f"cpu.{name}", summary=f"{op} of relu(x).", decompose=decompose))


_register_rectified("cpu.depthwise_conv2d", "rectified_depthwise_conv2d")
_register_rectified("cpu.separable_conv2d", "rectified_separable_conv2d")


def _register_planar() -> None:
    """Register `cpu.planar_conv2d`, which is cpu.conv2d with a transposition in front of x."""
    plain = OPS["cpu.conv2d"]

    def infer(x: TensorType, *operands: TensorType | None, **attributes: Any) -> TensorType:
        images = OPS["nn.transpose"].infer(x, permutation=PLANAR)
        assert isinstance(images, TensorType)
        result = plain.infer(images, *operands, **attributes)
        assert isinstance(result, TensorType)
        return result

    def decompose(builder: Builder, x: Value, *operands: Value | None, **attributes: Any) -> Value:
        given = [operand for operand in operands if operand is not None]
        result: Value = builder.op("cpu.conv2d", builder.nn.transpose(x, permutation=PLANAR), *given, **attributes)
        return result

    register_op(
        replace(
            plain,
            name="cpu.planar_conv2d",
            summary="cpu.conv2d of x [N, C, H, W], whose planes are transposed to channels first.",
            infer=infer,
            decompose=decompose,
        )
    )


_register_planar()


def _infer_joined(
    *xs: TensorType,
    axis: int,
    terms: tuple[int, ...],
    activation: str,
    activation_parameters: tuple[float, ...],
) -> TensorType:
    if sum(terms) != len(xs):
        raise InferenceError(f"terms {list(terms)} are for {sum(terms)} operands; there are {len(xs)}")
    parts = []
    for count, last in zip(terms, accumulate(terms), strict=True):
        part = xs[last - count : last]
        if any(x != part[0] for x in part):
            raise InferenceError(f"operands {', '.join(map(str, part))} are added; all must have the same type")
        parts.append(part[0])
    result = OPS["nn.concat"].infer(*parts, axis=axis)
    assert isinstance(result, TensorType)
    if result.dtype is not DType.F32 and (max(terms) > 1 or activation != "none"):
        raise InferenceError(f"operands are {result.dtype}; only f32 is added or activated, bytes are joined")
    return _fused(result, None, activation, activation_parameters)


def _decompose_joined(
    builder: Builder,
    *xs: Value,
    axis: int,
    terms: tuple[int, ...],
    activation: str,
    activation_parameters: tuple[float, ...],
) -> Value:
    parts = [
        reduce(builder.nn.add, xs[last - count : last]) for count, last in zip(terms, accumulate(terms), strict=True)
    ]
    return apply_activation(builder, builder.nn.concat(*parts, axis=axis), activation, activation_parameters)


register_op(
    OpDef(
        name="cpu.joined_sums",
        summary="activation(concat along `axis` of the sums of the first terms[0] operands, the next terms[1], ...).",
        operands=(Operand("xs", _F32 | _BYTES, variadic=True),),
        attributes=(integer("axis"), integers("terms", minimum=1), *ACTIVATION),
        infer=_infer_joined,
        decompose=_decompose_joined,
    )
)
