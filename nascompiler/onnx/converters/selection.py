"""Selecting elements by position, and padding."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal, Unknown
from nascompiler.onnx.tensors import MAXIMUM_RANK

FAMILY = Family()
_END = (1 << 31) - 1


@FAMILY.op("Slice", until=9)
def slice_by_attributes(c: Conversion) -> Value:
    starts, ends = c.integers("starts") or (), c.integers("ends") or ()
    axes = c.integers("axes") or tuple(range(len(starts)))
    return _slice(c, starts, ends, axes, (1,) * len(starts))


@FAMILY.op("Slice", since=10)
def slice_by_operands(c: Conversion) -> Value:
    """Static when all bounds are known; axes and steps default to the first axes and 1."""
    starts, ends = c.operand(1), c.operand(2)
    count = c.shape(starts)[0] if c.rank(starts) == 1 else None
    if not isinstance(count, int) or count > MAXIMUM_RANK:
        raise Unknown(f"starts is {starts.type}; a list with one number for each axis is expected")
    axes = c.optional(3) or c.constant(np.arange(count))
    steps = c.optional(4) or c.constant(np.ones(count, np.int64))
    known = [v.array for v in (starts, ends, axes, steps)]
    if all(array is not None for array in known):
        return _slice(c, *(tuple(int(i) for i in array) for array in known if array is not None))
    wide = [
        v if v.type.dtype == starts.type.dtype else c.op("cast", v, to=starts.type.dtype) for v in (ends, axes, steps)
    ]
    return c.op("dynamic_slice", c.operand(0), starts, *wide)


def _slice(
    c: Conversion, starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...], steps: tuple[int, ...]
) -> Value:
    x = c.operand(0)
    if x.type.rank is not None:
        axes = c.axes(axes, x.type.rank)
    return c.op("slice", x, axes=axes, starts=_clamped(starts), ends=_clamped(ends), steps=_clamped(steps))


def _clamped(bounds: tuple[int, ...]) -> tuple[int, ...]:
    """ONNX writes `to the end` as the largest 64-bit integer; no dimension is beyond 31 bits."""
    return tuple(min(max(b, -_END - 1), _END) for b in bounds)


@FAMILY.op("Gather")
def gather(c: Conversion) -> Value:
    x = c.operand(0)
    return c.op("gather", x, c.operand(1), axis=c.axis(c.integer("axis"), c.rank(x)))


_MODES = ("constant", "reflect", "edge", "wrap")


@FAMILY.op("Pad", until=10, mode=_MODES)
def pad_by_attributes(c: Conversion) -> Value:
    pads = c.integers("pads") or ()
    return _pad(c, pads, tuple(range(len(pads) // 2)), c.number("value"))


@FAMILY.op("Pad", since=11, mode=_MODES)
def pad(c: Conversion) -> Value:
    """Static when the amounts are known. Reflecting more than there is, and computed fill values, are refused."""
    x, pads = c.operand(0), c.operand(1)
    value = c.fixed(2, "the fill value")
    fill = 0.0 if value is None or value.size == 0 else float(value.reshape(-1)[0])
    axes = c.fixed_integers(3, "axes")
    if pads.array is not None:
        amounts = tuple(int(p) for p in pads.array)
        return _pad(c, amounts, tuple(range(len(amounts) // 2)) if axes is None else axes, fill)
    if axes is not None and axes != tuple(range(c.rank(x))):
        raise Unknown("pads computed at run time for some axes only")
    return c.op("dynamic_pad", x, pads, mode=c.text("mode", "constant"), value=fill)


def _pad(c: Conversion, pads: tuple[int, ...], axes: tuple[int, ...], value: float) -> Value:
    x = c.operand(0)
    rank = c.rank(x)
    axes = c.axes(axes, rank)
    if len(pads) != 2 * len(axes):
        raise Refusal(f"pads {list(pads)}; {2 * len(axes)} numbers are expected")
    before, after = [0] * rank, [0] * rank
    for axis, low, high in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        before[axis], after[axis] = low, high
    if not any((*before, *after)):
        return x
    return c.op("pad", x, before=before, after=after, mode=c.text("mode", "constant"), value=value)
