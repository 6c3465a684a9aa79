"""Selecting elements by position, and adding elements around a tensor."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.attributes import integer, integers, number, string
from nascompiler.ir.dialects.nn.inference import axis_index, axis_indices, dims, moved, shape_text
from nascompiler.ir.errors import ModelError
from nascompiler.ir.ops import InferenceError, OpDef, Operand, Trait, indices, register_op
from nascompiler.ir.types import Array, Dim, TensorType

_STRUCTURAL = frozenset({Trait.STRUCTURAL})
PAD_MODES = ("constant", "reflect", "edge", "wrap")
END = 2**31 - 1
"""A bound at or beyond which a slice runs to the end."""


def _slices(
    rank: int, axes: tuple[int, ...], starts: tuple[int, ...], ends: tuple[int, ...], steps: tuple[int, ...]
) -> dict[int, slice]:
    """The slice along each axis that is cut."""
    if len({len(axes), len(starts), len(ends), len(steps)}) != 1:
        raise InferenceError(
            f"axes {list(axes)}, starts {list(starts)}, ends {list(ends)} and steps {list(steps)} must be equally long"
        )
    if 0 in steps:
        raise InferenceError(f"steps {list(steps)} has a 0; accepted: any other integer")
    return {
        axis: slice(start, end, step)
        for axis, start, end, step in zip(axis_indices(axes, rank), starts, ends, steps, strict=True)
    }


def _cut(size: Dim, cut: slice) -> Dim:
    if isinstance(size, int):
        return len(range(*cut.indices(size)))
    return size if cut.step == 1 and cut.start == 0 and cut.stop >= END else None


def _infer_slice(
    x: TensorType,
    *,
    axes: tuple[int, ...],
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    steps: tuple[int, ...],
) -> TensorType:
    shape = list(dims(x))
    for axis, cut in _slices(len(shape), axes, starts, ends, steps).items():
        shape[axis] = _cut(shape[axis], cut)
    return moved(x, shape)


def _slice(
    x: Array, *, axes: tuple[int, ...], starts: tuple[int, ...], ends: tuple[int, ...], steps: tuple[int, ...]
) -> Array:
    cuts = _slices(x.ndim, axes, starts, ends, steps)
    return x[tuple(cuts.get(axis, slice(None)) for axis in range(x.ndim))]


register_op(
    OpDef(
        name="nn.slice",
        summary=(
            "x[start:end:step] along each of `axes`, by Python's rules: negative bounds count from the end, bounds "
            "beyond it are clamped, steps may be negative."
        ),
        operands=(Operand("x"),),
        attributes=(integers("axes"), integers("starts"), integers("ends"), integers("steps")),
        infer=_infer_slice,
        evaluate=_slice,
        traits=_STRUCTURAL,
    )
)


def _infer_gather(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
    along = axis_index(axis, len(dims(x)))
    return moved(x, (*dims(x)[:along], *dims(indices), *dims(x)[along + 1 :]))


def _gather(x: Array, indices: Array, *, axis: int) -> Array:
    size = x.shape[axis]
    outside = np.asarray(indices)[(np.less(indices, -size)) | np.greater_equal(indices, size)]
    if outside.size:
        raise ModelError(f"index {outside.flat[0]} is out of range for axis {axis} of size {size}")
    return np.take(x, indices.astype(np.int64), axis)


register_op(
    OpDef(
        name="nn.gather",
        summary="The slices of x at `indices` along `axis`, whose dimension the shape of the indices replaces.",
        operands=(Operand("x", parameter=True), indices("indices")),
        attributes=(integer("axis", 0),),
        infer=_infer_gather,
        evaluate=_gather,
        traits=_STRUCTURAL,
    )
)


def _infer_pad(
    x: TensorType, *, before: tuple[int, ...], after: tuple[int, ...], mode: str, value: float
) -> TensorType:
    if not len(before) == len(after) == len(dims(x)):
        raise InferenceError(
            f"before {list(before)} and after {list(after)} must have one entry for each dimension of x "
            f"{shape_text(dims(x))}"
        )
    return moved(x, [_padded(axis, x, before[axis], after[axis], mode) for axis in range(len(before))])


def _padded(axis: int, x: TensorType, before: int, after: int, mode: str) -> Dim:
    size = dims(x)[axis]
    if not isinstance(size, int):
        return size if before == after == 0 else None
    kept = size + min(before, 0) + min(after, 0)
    added = max(before, after, 0)
    at = f"before {before} and after {after} at axis {axis} of x {shape_text(dims(x))}"
    if kept < 0:
        raise InferenceError(f"{at} crop more than there is")
    if added and mode != "constant" and kept == 0:
        raise InferenceError(f"{at}: {mode} padding needs at least one element")
    if mode == "reflect" and added and added >= kept:
        raise InferenceError(f"{at}: reflect padding must be smaller than the {kept} elements that it reflects")
    return size + before + after


def _pad(x: Array, *, before: tuple[int, ...], after: tuple[int, ...], mode: str, value: float) -> Array:
    kept = x[
        tuple(slice(-min(low, 0), size + min(high, 0)) for low, high, size in zip(before, after, x.shape, strict=True))
    ]
    widths = [(max(low, 0), max(high, 0)) for low, high in zip(before, after, strict=True)]
    if mode == "constant":
        return np.pad(kept, widths, constant_values=np.asarray(value).astype(x.dtype))
    return np.pad(kept, widths, mode=mode)  # type: ignore[call-overload, no-any-return]


register_op(
    OpDef(
        name="nn.pad",
        summary=(
            "x with before[i] and after[i] elements added along each axis i; negative counts crop, before anything is "
            "added. The new elements are `value`, or by `mode` mirrored, the nearest, or from the other end."
        ),
        operands=(Operand("x"),),
        attributes=(
            integers("before"),
            integers("after"),
            string("mode", "constant", among=PAD_MODES),
            number("value", 0.0),
        ),
        infer=_infer_pad,
        evaluate=_pad,
        traits=_STRUCTURAL,
    )
)
