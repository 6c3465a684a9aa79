"""Normalisation by mean and variance, and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.attributes import integer, number
from nascompiler.ir.dialects.nn.inference import (
    axis_index,
    dims,
    like,
    require_broadcasts_to,
    require_dim,
    require_same_dtype,
)
from nascompiler.ir.ops import OpDef, floats, register_op
from nascompiler.ir.types import Array, TensorType


def _infer_batch_norm(
    x: TensorType,
    scale: TensorType,
    bias: TensorType,
    mean: TensorType,
    variance: TensorType,
    *,
    axis: int,
    epsilon: float,
) -> TensorType:
    statistics = {"scale": scale, "bias": bias, "mean": mean, "variance": variance}
    require_same_dtype(x=x, **statistics)
    channels = dims(x)[axis_index(axis, len(dims(x)))]
    for name, operand in statistics.items():
        require_dim(name, 0, operand, channels, f"dimension {axis} of x")
    return TensorType(dims(x), x.dtype)


def _batch_norm(
    x: Array, scale: Array, bias: Array, mean: Array, variance: Array, *, axis: int, epsilon: float
) -> Array:
    along = [1] * x.ndim
    along[axis] = -1
    factor = like(scale / np.sqrt(variance.astype(np.float64) + epsilon), x)
    return like(
        np.subtract(x, mean.reshape(along)) * factor.reshape(along) + bias.reshape(along),
        x,
    )


register_op(
    OpDef(
        name="nn.batch_norm",
        summary=(
            "(x - mean) / sqrt(variance + epsilon) * scale + bias along `axis`, with the statistics of training "
            "(arXiv:1502.03167, algorithm 2); the four are [C]."
        ),
        operands=(
            floats("x"),
            floats("scale", rank=1, parameter=True),
            floats("bias", rank=1, parameter=True),
            floats("mean", rank=1),
            floats("variance", rank=1),
        ),
        attributes=(integer("axis", -1), number("epsilon", 1e-5)),
        infer=_infer_batch_norm,
        evaluate=_batch_norm,
    )
)


def _standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> Any:
    """x with mean 0 and variance 1 over `axes`, in float64."""
    wide = x.astype(np.float64)
    centered = wide - wide.mean(axis=axes, keepdims=True)
    return centered / np.sqrt(np.square(centered).mean(axis=axes, keepdims=True) + epsilon)


def _infer_layer_norm(
    x: TensorType, scale: TensorType | None, bias: TensorType | None, *, axis: int, epsilon: float
) -> TensorType:
    require_same_dtype(x=x, scale=scale, bias=bias)
    normalized = dims(x)[axis_index(axis, len(dims(x))) :]
    for name, operand in (("scale", scale), ("bias", bias)):
        if operand is not None:
            require_broadcasts_to(name, operand, normalized)
    return TensorType(dims(x), x.dtype)


def _layer_norm(x: Array, scale: Array | None, bias: Array | None, *, axis: int, epsilon: float) -> Array:
    result = _standardized(x, tuple(range(axis % x.ndim, x.ndim)), epsilon)
    if scale is not None:
        result = result * scale
    if bias is not None:
        result = result + bias
    return like(result, x)


register_op(
    OpDef(
        name="nn.layer_norm",
        summary=(
            "(x - mean) / sqrt(variance + epsilon) * scale + bias, mean and variance over the axes from `axis` to the "
            "last (arXiv:1607.06450); scale and bias broadcast to those."
        ),
        operands=(
            floats("x"),
            floats("scale", parameter=True, optional=True),
            floats("bias", parameter=True, optional=True),
        ),
        attributes=(integer("axis", -1), number("epsilon", 1e-5)),
        infer=_infer_layer_norm,
        evaluate=_layer_norm,
    )
)


def _infer_instance_norm(x: TensorType, scale: TensorType, bias: TensorType, *, epsilon: float) -> TensorType:
    require_same_dtype(x=x, scale=scale, bias=bias)
    require_dim("scale", 0, scale, dims(x)[3], "the channels of x")
    require_dim("bias", 0, bias, dims(x)[3], "the channels of x")
    return TensorType(dims(x), x.dtype)


register_op(
    OpDef(
        name="nn.instance_norm",
        summary=(
            "(x - mean) / sqrt(variance + epsilon) * scale + bias, mean and variance over the height and width of each "
            "image and channel of x [N, H, W, C] (arXiv:1607.08022); scale and bias are [C]."
        ),
        operands=(
            floats("x", rank=4),
            floats("scale", rank=1, parameter=True),
            floats("bias", rank=1, parameter=True),
        ),
        attributes=(number("epsilon", 1e-5),),
        infer=_infer_instance_norm,
        evaluate=lambda x, scale, bias, *, epsilon: like(_standardized(x, (1, 2), epsilon) * scale + bias, x),
    )
)


def _infer_softmax(x: TensorType, *, axis: int) -> TensorType:
    axis_index(axis, len(dims(x)))
    return TensorType(dims(x), x.dtype)


def _log_softmax(x: Array, axis: int) -> Any:
    wide = x.astype(np.float64)
    shifted = wide - wide.max(axis=axis, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


register_op(
    OpDef(
        name="nn.softmax",
        summary="e^x divided by its sum along `axis`.",
        operands=(floats("x"),),
        attributes=(integer("axis", -1),),
        infer=_infer_softmax,
        evaluate=lambda x, *, axis: like(np.exp(_log_softmax(x, axis)), x),
    )
)

register_op(
    OpDef(
        name="nn.log_softmax",
        summary="The logarithm of softmax along `axis`, without its cancellation.",
        operands=(floats("x"),),
        attributes=(integer("axis", -1),),
        infer=_infer_softmax,
        evaluate=lambda x, *, axis: like(_log_softmax(x, axis), x),
    )
)
