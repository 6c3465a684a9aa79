"""Shorthand for tensor expressions: shapes as TVM wants them, broadcasting, comparisons that keep NaN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import te, tirx

from nascompiler.ir.types import Array, TensorType

Expr = Any
Tensor = Any


def shape_of(sizes: Sequence[int]) -> list[Expr]:
    """A shape of 64-bit sizes, as Relax has them."""
    return [tirx.IntImm("int64", size) for size in sizes]


def compute(sizes: Sequence[int], element: Callable[..., Expr], **options: Any) -> Tensor:
    """The tensor whose element at indices i, j, ... is `element(i, j, ...)`; `options` are TVM's: name, attrs."""
    return te.compute(shape_of(sizes), element, **options)


def number(value: float | int | bool, dtype: str) -> Expr:
    """A constant scalar."""
    return tirx.const(value, dtype)


def scalar(array: Array) -> Tensor:
    """A tensor of one constant element, which TVM folds into the code that uses it."""
    return compute(array.shape, lambda *i: number(array.reshape(-1)[0].item(), str(array.dtype)))


def dtype_of(value: Expr) -> str:
    """The element type of an expression or tensor."""
    dtype = value.ty.dtype if hasattr(value, "ty") and hasattr(value.ty, "dtype") else value.dtype
    return str(dtype)


def is_float(value: Expr) -> bool:
    """Whether an expression is of a floating-point type."""
    return dtype_of(value).startswith("float")


def at(tensor: Tensor, index: Sequence[Expr]) -> Expr:
    """The element that broadcasting puts at `index`."""
    offset = len(index) - len(tensor.shape)
    place = [0 if int(size) == 1 else index[offset + axis] for axis, size in enumerate(tensor.shape)]
    return tensor(*place)


def broadcast(result: TensorType, element: Callable[..., Expr], *tensors: Tensor) -> Tensor:
    """`element` of the corresponding elements of broadcast tensors."""
    return compute(result.static_shape, lambda *i: element(*(at(t, i) for t in tensors)))


def larger(a: Expr, b: Expr) -> Expr:
    """The larger of two values, NaN where either is."""
    first = tirx.any(a >= b, tirx.isnan(a)) if is_float(a) else a >= b
    return tirx.Select(first, a, b)


def smaller(a: Expr, b: Expr) -> Expr:
    """The smaller of two values, NaN where either is."""
    first = tirx.any(a <= b, tirx.isnan(a)) if is_float(a) else a <= b
    return tirx.Select(first, a, b)


def widened(tensor: Tensor) -> Tensor:
    """Half precision as float32, for sums; anything else as it is."""
    if str(tensor.dtype) != "float16":
        return tensor
    return compute([int(d) for d in tensor.shape], lambda *i: tensor(*i).astype("float32"))


def accurate(tensor: Tensor) -> Tensor:
    """Floats as float64, for long sums one after the other: 6,625 terms in float32 lose four digits."""
    if not is_float(tensor) or dtype_of(tensor) == "float64":
        return tensor
    return compute([int(d) for d in tensor.shape], lambda *i: tensor(*i).astype("float64"))


def narrowed(tensor: Tensor, dtype: str) -> Tensor:
    """Back to the element type of the result."""
    if str(tensor.dtype) == dtype:
        return tensor
    return compute([int(d) for d in tensor.shape], lambda *i: tensor(*i).astype(dtype))
