"""The same elements under another shape: reshaping, permuting and broadcasting."""

from __future__ import annotations

from math import prod

import numpy as np

from nascompiler.ir.attributes import integer, integers
from nascompiler.ir.dialects.nn.inference import (
    Shape,
    axis_indices,
    broadcast,
    dims,
    moved,
    product,
    shape_text,
)
from nascompiler.ir.ops import InferenceError, OpDef, Operand, Trait, register_op
from nascompiler.ir.types import Array, Dim, TensorType

_STRUCTURAL = frozenset({Trait.STRUCTURAL})


def resolve_reshape(source: Shape, target: Shape) -> Shape:
    """`target` with its -1, if there is one, replaced by the size that keeps the number of elements."""
    wanted = [d for d in target if not (isinstance(d, int) and d == -1)]
    if len(target) - len(wanted) > 1 or any(isinstance(d, int) and d < 0 for d in wanted):
        raise InferenceError(f"shape is {list(target)}; accepted: sizes >= 0 and at most one -1")
    total, rest = product(source), product(wanted)
    if len(wanted) == len(target):
        if isinstance(total, int) and isinstance(rest, int) and total != rest:
            raise InferenceError(
                f"x {shape_text(source)} has {total} elements; shape {shape_text(target)} has {rest}; "
                "they must be equal"
            )
        return target
    return tuple(_inferred(source, target, wanted) if isinstance(d, int) and d == -1 else d for d in target)


def _inferred(source: Shape, target: Shape, wanted: list[Dim]) -> Dim:
    """The size that -1 stands for."""
    unmatched = [d for d in wanted if not isinstance(d, int)]
    remaining: list[Dim] = []
    for d in source:  # the same name on both sides cancels
        if isinstance(d, str) and d in unmatched:
            unmatched.remove(d)
        else:
            remaining.append(d)
    numerator = prod(d for d in remaining if isinstance(d, int))
    denominator = prod(d for d in wanted if isinstance(d, int))
    if denominator == 0:
        raise InferenceError(f"shape {shape_text(target)} has both -1 and a 0, which leaves the size of -1 open")
    open_dims = [d for d in remaining if not isinstance(d, int)]
    if unmatched:
        return None
    if not open_dims:
        if numerator % denominator:
            raise InferenceError(
                f"x {shape_text(source)} does not fit shape {shape_text(target)}: {numerator} elements are no multiple "
                f"of {denominator}"
            )
        return numerator // denominator
    return open_dims[0] if len(open_dims) == 1 and numerator == denominator else None


register_op(
    OpDef(
        name="nn.reshape",
        summary="x in another shape, elements in row-major order; one -1 in `shape` is inferred, 0 is a size.",
        operands=(Operand("x"),),
        attributes=(integers("shape", minimum=-1),),
        infer=lambda x, *, shape: moved(x, resolve_reshape(dims(x), shape)),
        evaluate=lambda x, *, shape: x.reshape(resolve_reshape(x.shape, shape)),
        traits=_STRUCTURAL,
    )
)


def _infer_flatten(x: TensorType, *, axis: int) -> TensorType:
    rank = len(dims(x))
    if not -rank <= axis <= rank:
        raise InferenceError(f"axis {axis} is out of range for {rank} dimensions; accepted: {-rank} to {rank}")
    split = axis + rank if axis < 0 else axis
    return moved(x, (product(dims(x)[:split]), product(dims(x)[split:])))


def _flatten(x: Array, *, axis: int) -> Array:
    split = axis + x.ndim if axis < 0 else axis
    return x.reshape(prod(x.shape[:split]), prod(x.shape[split:]))


register_op(
    OpDef(
        name="nn.flatten",
        summary="x as a matrix: the dimensions before `axis` are the rows, those from it on the columns.",
        operands=(Operand("x"),),
        attributes=(integer("axis", 1),),
        infer=_infer_flatten,
        evaluate=_flatten,
        traits=_STRUCTURAL,
    )
)


def _infer_squeeze(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    dropped = axis_indices(axes, len(dims(x)))
    for axis in dropped:
        if isinstance(dims(x)[axis], int) and dims(x)[axis] != 1:
            raise InferenceError(f"axes {list(axes)}: dimension {axis} of x {shape_text(dims(x))} is not 1")
    return moved(x, (d for i, d in enumerate(dims(x)) if i not in dropped))


register_op(
    OpDef(
        name="nn.squeeze",
        summary="x without the dimensions `axes`, which must be 1.",
        operands=(Operand("x"),),
        attributes=(integers("axes"),),
        infer=_infer_squeeze,
        evaluate=lambda x, *, axes: np.squeeze(x, axes),
        traits=_STRUCTURAL,
    )
)


def _infer_unsqueeze(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    rank = len(dims(x)) + len(axes)
    added = axis_indices(axes, rank)
    kept = iter(dims(x))
    return moved(x, [1 if i in added else next(kept) for i in range(rank)])


register_op(
    OpDef(
        name="nn.unsqueeze",
        summary="x with dimensions of size 1 that stand at `axes` of the result.",
        operands=(Operand("x"),),
        attributes=(integers("axes"),),
        infer=_infer_unsqueeze,
        evaluate=lambda x, *, axes: np.expand_dims(x, axes),
        traits=_STRUCTURAL,
    )
)


def _infer_transpose(x: TensorType, *, permutation: tuple[int, ...]) -> TensorType:
    if sorted(permutation) != list(range(len(dims(x)))):
        raise InferenceError(
            f"permutation {list(permutation)} does not fit x {shape_text(dims(x))}; it must name each axis from 0 to "
            f"{len(dims(x)) - 1} once"
        )
    return moved(x, (dims(x)[axis] for axis in permutation))


register_op(
    OpDef(
        name="nn.transpose",
        summary="x with its axes permuted: axis i of the result is axis permutation[i] of x.",
        operands=(Operand("x"),),
        attributes=(integers("permutation", minimum=0),),
        infer=_infer_transpose,
        evaluate=lambda x, *, permutation: np.transpose(x, permutation),
        traits=_STRUCTURAL,
    )
)


def _infer_expand(x: TensorType, *, shape: tuple[int, ...]) -> TensorType:
    return moved(x, broadcast(x=x, shape=TensorType(shape)))


register_op(
    OpDef(
        name="nn.expand",
        summary="x broadcast with `shape`, both ways as ONNX Expand: a 1 in `shape` keeps the dimension of x.",
        operands=(Operand("x"),),
        attributes=(integers("shape", minimum=0),),
        infer=_infer_expand,
        evaluate=lambda x, *, shape: np.broadcast_to(x, np.broadcast_shapes(x.shape, shape)).copy(),
        traits=_STRUCTURAL,
    )
)
