"""Matrix products."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.dialects.nn.fused import ACTIVATION, activate
from nascompiler.ir.dialects.nn.inference import (
    Shape,
    broadcast_dims,
    dims,
    like,
    require_dim,
    require_same_dtype,
    shape_text,
    unify,
)
from nascompiler.ir.ops import InferenceError, OpDef, floats, numbers, register_op
from nascompiler.ir.types import Array, TensorType


def _infer_matmul(a: TensorType, b: TensorType) -> TensorType:
    require_same_dtype(a=a, b=b)
    left, right = dims(a), dims(b)
    if not left or not right:
        raise InferenceError(f"a {shape_text(left)} and b {shape_text(right)} must both have at least one dimension")
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else ()
    inner = right[-2] if len(right) > 1 else right[0]
    if unify(left[-1], inner) is False:
        raise InferenceError(
            f"a {shape_text(left)} has {left[-1]} columns but b {shape_text(right)} has {inner} rows; "
            "they must be equal"
        )
    batch = _broadcast_batch(left, right)
    return TensorType((*batch, *rows, *columns), a.dtype)


def _broadcast_batch(left: Shape, right: Shape) -> Shape:
    a, b = left[:-2], right[:-2]
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    batch = tuple(broadcast_dims(*pair) for pair in pairs)
    if any(d is False for d in batch):
        raise InferenceError(
            f"the batch dimensions of a {shape_text(left)} and b {shape_text(right)} do not broadcast; "
            "all but the last two must be equal or 1"
        )
    return batch


def _matmul(a: Array, b: Array) -> Array:
    if a.dtype == np.float16:
        return like(np.matmul(a.astype(np.float32), b.astype(np.float32)), a)
    return np.asarray(np.matmul(a, b))


register_op(
    OpDef(
        name="nn.matmul",
        summary="The matrix product as numpy.matmul has it: [..., M, K] by [..., K, N], batch dimensions broadcast.",
        operands=(numbers("a", parameter=True), numbers("b", parameter=True)),
        infer=_infer_matmul,
        evaluate=_matmul,
        macs=lambda result, a, b: result.size * a.static_shape[-1],
    )
)


def _infer_linear(
    x: TensorType, weight: TensorType, bias: TensorType | None, *, activation: str = "none"
) -> TensorType:
    require_same_dtype(x=x, weight=weight, bias=bias)
    if not dims(x):
        raise InferenceError("x is a scalar; it must have at least one dimension, the last of them the inputs")
    require_dim("weight", 0, weight, dims(x)[-1], "the last dimension of x")
    features = dims(weight)[1]
    if bias is not None:
        require_dim("bias", 0, bias, features, "dimension 1 of weight")
        features = unify(features, dims(bias)[0])
    return TensorType((*dims(x)[:-1], features), x.dtype)


def _linear(x: Array, weight: Array, bias: Array | None, *, activation: str = "none") -> Array:
    product = _matmul(x, weight)
    return activate(product if bias is None else like(np.add(product, bias), x), activation)


register_op(
    OpDef(
        name="nn.linear",
        summary="x [..., K] @ weight [K, N] + bias [N] -> [..., N]; `activation` follows.",
        operands=(
            floats("x"),
            floats("weight", rank=2, parameter=True),
            floats("bias", rank=1, parameter=True, optional=True),
        ),
        attributes=(ACTIVATION,),
        infer=_infer_linear,
        evaluate=_linear,
        macs=lambda result, x, weight, bias, **attributes: result.size * weight.static_shape[0],
    )
)
