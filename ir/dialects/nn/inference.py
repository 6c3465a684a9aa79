"""What the inference functions of the dialect share: arithmetic on dimensions that may be symbolic or unknown.

A dimension is an int, a name or None (see `types.Dim`). What is known is propagated, what cannot be known is None, and
only what is certainly wrong is refused, by an InferenceError.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import Array, Dim, TensorType, join_dims

Shape = tuple[Dim, ...]


def dims(x: TensorType) -> Shape:
    """The shape of an operand; inference is never asked about operands of unknown rank."""
    assert x.shape is not None
    return x.shape


def shape_text(shape: Iterable[Dim]) -> str:
    """`[N, 224, ?, 3]`, for messages."""
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def moved(x: TensorType, shape: Iterable[Dim]) -> TensorType:
    """The type of a result made of elements of `x`: a per-tensor quantisation stays, a per-axis one cannot."""
    per_tensor = x.quantization is None or x.quantization.axis is None
    return TensorType(tuple(shape), x.dtype, x.quantization if per_tensor else None)


def like(values: ArrayLike, x: Array) -> Array:
    """`values` in the element type of `x`."""
    return np.asarray(values).astype(x.dtype, copy=False)


def require_same_dtype(**operands: TensorType | None) -> None:
    """Refuse operands whose element types differ; absent ones (None) are skipped."""
    present = {name: x for name, x in operands.items() if x is not None}
    first = next(iter(present))
    for name, x in present.items():
        if x.dtype != present[first].dtype:
            raise InferenceError(
                f"{name} is {x.dtype} but {first} is {present[first].dtype}; both must have the same element type"
            )


def require_dim(name: str, axis: int, x: TensorType, expected: Dim, because: str) -> None:
    """Refuse operand `name` when its dimension `axis` is certainly not the `expected` one."""
    actual = dims(x)[axis]
    if isinstance(actual, int) and isinstance(expected, int) and actual != expected:
        raise InferenceError(
            f"{name} has shape {shape_text(dims(x))}; its dimension {axis} must be {expected} ({because})"
        )


def axis_index(axis: int, rank: int, *, attribute: str = "axis") -> int:
    """`axis` counted from 0; negative ones count from the end."""
    if not -rank <= axis < rank:
        accepted = f"{-rank} to {rank - 1}" if rank else "nothing: the operand is a scalar"
        raise InferenceError(f"{attribute} {axis} is out of range for {rank} dimensions; accepted: {accepted}")
    return axis % rank


def axis_indices(axes: Iterable[int], rank: int, *, attribute: str = "axes") -> tuple[int, ...]:
    """Distinct axes counted from 0, in the order given."""
    indices = tuple(axis_index(axis, rank, attribute=attribute) for axis in axes)
    if len(set(indices)) != len(indices):
        raise InferenceError(f"{attribute} {list(axes)} names an axis twice (rank {rank})")
    return indices


def broadcast_dims(a: Dim, b: Dim) -> Dim | bool:
    """The dimension that `a` and `b` broadcast to; False when they do not."""
    if a == 1 and isinstance(a, int):
        return b
    if b == 1 and isinstance(b, int):
        return a
    if isinstance(a, int) and isinstance(b, int):
        return a if a == b else False
    if isinstance(a, int) or isinstance(b, int):
        return a if isinstance(a, int) else b
    return a if a == b else None


def broadcast(**operands: TensorType) -> Shape:
    """The shape that operands broadcast to by NumPy's rules."""
    rank = max(len(dims(x)) for x in operands.values())
    shape: Shape = (1,) * rank
    for x in operands.values():
        aligned = (1,) * (rank - len(dims(x))) + dims(x)
        joined = [broadcast_dims(a, b) for a, b in zip(shape, aligned, strict=True)]
        if any(d is False for d in joined):
            shapes = ", ".join(f"{name} {shape_text(dims(o))}" for name, o in operands.items())
            raise InferenceError(
                f"the shapes do not broadcast: {shapes}; aligned at the right, dimensions must be equal or 1"
            )
        shape = tuple(joined)
    return shape


def require_broadcasts_to(name: str, x: TensorType, target: Shape) -> None:
    """Refuse an operand that would enlarge `target` when broadcast against it."""
    fits = len(dims(x)) <= len(target) and all(
        not isinstance(d, int) or d == 1 or not isinstance(t, int) or d == t
        for d, t in zip(reversed(dims(x)), reversed(target), strict=False)
    )
    if not fits:
        raise InferenceError(
            f"{name} has shape {shape_text(dims(x))}, which does not broadcast to {shape_text(target)}"
        )


def unify(a: Dim, b: Dim) -> Dim | bool:
    """The dimension when `a` and `b` must be the same; False when they certainly differ."""
    if isinstance(a, int) and isinstance(b, int) and a != b:
        return False
    return join_dims(a, b)


def product(shape: Iterable[Dim]) -> Dim:
    """The product of dimensions: known when all are, or one is 0; a name when the others multiply to 1."""
    shape = tuple(shape)
    known = prod(d for d in shape if isinstance(d, int))
    open_dims = [d for d in shape if not isinstance(d, int)]
    if known == 0 or not open_dims:
        return known
    return open_dims[0] if known == 1 and len(open_dims) == 1 else None


def scaled(dim: Dim, factor: int) -> Dim:
    """`dim * factor`."""
    return product((dim, factor))


def divided(name: str, dim: Dim, divisor: int, because: str) -> Dim:
    """`dim / divisor`, refused when it is known not to be whole."""
    if isinstance(dim, int):
        if dim % divisor:
            raise InferenceError(f"{name} is {dim}; it must be a multiple of {divisor} ({because})")
        return dim // divisor
    return dim if divisor == 1 else None
