"""Tensors made of nothing but sizes and numbers."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion, OpenSize, Size
from nascompiler.torch_bridge.importing.converters.registry import Family, Function

FAMILY = Family()
MAXIMUM_MADE = 1 << 24
"""Elements of a constant made by `full` and its kind; more than a network needs, less than would hurt."""


def _filled(c: Conversion, sizes: tuple[Size, ...], number: float) -> Value:
    fixed = tuple(s for s in sizes if not isinstance(s, OpenSize))
    if int(np.prod(fixed, dtype=object)) > MAXIMUM_MADE:
        raise Refusal(f"a constant of {list(fixed)} is larger than {MAXIMUM_MADE} elements")
    if len(fixed) == len(sizes):
        return c.constant(np.full(fixed, number), c.dtype)
    return c.op("constant_of_shape", c.shape_value(sizes), value=number, dtype=c.dtype)


def _sized(number: float | None) -> Function:
    """Of the given size; None: filled with the argument fill_value."""
    return lambda c: _filled(c, c.sizes("size"), c.number("fill_value") if number is None else number)


def _like(number: float | None) -> Function:
    return lambda c: _filled(c, c.sizes_of(c.value()), c.number("fill_value") if number is None else number)


FAMILY.add(_sized(None), "full", "new_full")
FAMILY.add(_sized(0), "zeros", "new_zeros")
FAMILY.add(_sized(1), "ones", "new_ones")
FAMILY.add(_like(None), "full_like")
FAMILY.add(_like(0), "zeros_like")
FAMILY.add(_like(1), "ones_like")


@FAMILY.op("scalar_tensor")
def scalar_tensor(c: Conversion) -> Value:
    return c.operand(c.raw("s"), c.dtype)


@FAMILY.op("arange")
def arange(c: Conversion) -> Value:
    start = c.raw("start") if c.has("start") else 0
    step = c.raw("step") if c.has("step") else 1
    end = c.raw("end")
    if any(isinstance(bound, OpenSize) for bound in (start, end, step)):
        return c.op("range", *(c.operand(bound, c.dtype) for bound in (start, end, step)))
    if abs(end - start) / abs(step) > MAXIMUM_MADE:
        raise Refusal(f"a range of more than {MAXIMUM_MADE} elements")
    return c.constant(np.arange(start, end, step), c.dtype)
