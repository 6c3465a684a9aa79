"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nascompiler.ir.attributes import boolean, integer, integers
from nascompiler.ir.dialects.nn.inference import axis_index, axis_indices, dims, like, shape_text
from nascompiler.ir.dialects.nn.pooling import highest, lowest
from nascompiler.ir.ops import InferenceError, OpDef, numbers, register_op
from nascompiler.ir.types import Array, Dim, DType, TensorType


def _kept(shape: tuple[Dim, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[Dim, ...]:
    if keepdims:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def _infer(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    return TensorType(_kept(dims(x), axis_indices(axes, len(dims(x))), keepdims), x.dtype)


def _reduction(name: str, summary: str, reduce: Callable[..., Any]) -> None:
    def evaluate(x: Array, *, axes: tuple[int, ...], keepdims: bool) -> Array:
        with np.errstate(all="ignore"):
            return like(reduce(x, axis=axes, keepdims=keepdims), x)

    register_op(
        OpDef(
            name=f"nn.reduce_{name}",
            summary=summary + " over `axes`; no axes: x itself.",
            operands=(numbers("x"),),
            attributes=(integers("axes"), boolean("keepdims", True)),
            infer=_infer,
            evaluate=evaluate,
        )
    )


def _wide(x: Array) -> np.dtype[np.generic]:
    """Sums of floats are accumulated in float64, those of integers wrap in their own type."""
    return np.dtype(np.float64) if x.dtype.kind == "f" else x.dtype


_reduction("sum", "The sum", lambda x, **how: np.sum(x, dtype=_wide(x), **how))
_reduction("prod", "The product", lambda x, **how: np.prod(x, dtype=_wide(x), **how))
_reduction("mean", "The mean, of integers truncated toward zero,", lambda x, **how: np.mean(x, dtype=np.float64, **how))
_reduction("max", "The maximum", lambda x, **how: np.max(x, initial=lowest(x.dtype), **how))
_reduction("min", "The minimum", lambda x, **how: np.min(x, initial=highest(x.dtype), **how))


def _infer_argument(x: TensorType, *, axis: int, keepdims: bool, select_last: bool) -> TensorType:
    along = axis_index(axis, len(dims(x)))
    if dims(x)[along] == 0:
        raise InferenceError(f"axis {axis} of x {shape_text(dims(x))} has no elements to choose from")
    return TensorType(_kept(dims(x), (along,), keepdims), DType.I64)


def _argument(name: str, summary: str, choose: Callable[..., Any]) -> None:
    def evaluate(x: Array, *, axis: int, keepdims: bool, select_last: bool) -> Array:
        if not select_last:
            return np.asarray(choose(x, axis=axis, keepdims=keepdims), np.int64)
        return np.asarray(x.shape[axis] - 1 - choose(np.flip(x, axis), axis=axis, keepdims=keepdims), np.int64)

    register_op(
        OpDef(
            name=f"nn.{name}",
            summary=f"The index (i64) of {summary} along `axis`; of several equal ones the first, or the last.",
            operands=(numbers("x"),),
            attributes=(integer("axis"), boolean("keepdims", True), boolean("select_last", False)),
            infer=_infer_argument,
            evaluate=evaluate,
            result_dtype=DType.I64,
        )
    )


_argument("argmax", "the maximum", np.argmax)
_argument("argmin", "the minimum", np.argmin)
