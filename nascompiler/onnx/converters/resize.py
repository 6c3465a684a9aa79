"""Resizing images. Sizes and scales of the whole NCHW tensor come in; ours are of height and width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal, Unknown

FAMILY = Family()
_COORDINATES = (
    "half_pixel",
    "align_corners",
    "asymmetric",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "tf_half_pixel_for_nn",
)
_MODES = ("nearest", "linear")
_OLD = {"coordinates": "asymmetric", "rounding": "floor"}
"""What Upsample and Resize-10 do, which had no attributes for it."""


@FAMILY.op("Upsample", until=8, mode=_MODES)
def upsample_by_attribute(c: Conversion) -> Value:
    scales = c.constant(np.array(c.raw("scales"), np.float32))
    return _by_scales(c, scales, None, mode=c.text("mode"), **_OLD)


@FAMILY.op("Upsample", since=9, until=9, mode=_MODES)
@FAMILY.op("Resize", since=10, until=10, mode=_MODES)
def upsample(c: Conversion) -> Value:
    return _by_scales(c, c.operand(1), None, mode=c.text("mode"), **_OLD)


@FAMILY.op(
    "Resize",
    since=11,
    mode=_MODES,
    coordinate_transformation_mode=_COORDINATES,
    keep_aspect_ratio_policy=("stretch",),
    antialias=(0,),
)
def resize(c: Conversion) -> Value:
    """Exactly one of the inputs scales and sizes is given."""
    how = {
        "mode": c.text("mode"),
        "coordinates": c.text("coordinate_transformation_mode"),
        "rounding": c.text("nearest_mode"),
    }
    axes = c.integers("axes")
    sizes = c.optional(3)
    if sizes is not None:
        return _by_sizes(c, sizes, axes, **how)
    scales = c.optional(2)
    if scales is None:
        raise Refusal("neither scales nor sizes are given")
    return _by_scales(c, scales, axes, **how)


def _by_scales(c: Conversion, scales: Value, axes: tuple[int, ...] | None, **how: str) -> Value:
    x = c.operand(0)
    if scales.array is None:
        if how["coordinates"] == "align_corners":
            raise Unknown("scales computed at run time with align_corners; give sizes or constant scales instead")
        spatial = _spatial_part(c, scales, axes)
        return c.from_image(c.op("dynamic_resize_scales", c.image(x, 2), spatial, **how), 2)
    factors = [float(s or 0) for s in _per_axis([float(s) for s in scales.array], axes, 1.0)]
    if factors[:2] != [1, 1] or any(not 0 < s < 2**31 for s in factors):
        raise Refusal(f"scales {factors}; accepted: 1, 1 for batch and channels, then positive numbers")
    pair = c.constant(np.array(factors[2:], np.float32))
    if how["coordinates"] == "align_corners":
        _check_whole_sizes(x, factors)
    return c.from_image(_static_or_dynamic(c, x, pair, **how), 2)


def _check_whole_sizes(x: Value, factors: list[float]) -> None:
    """With align_corners, ONNX divides by scale * size - 1, ONNX Runtime by its floor - 1: refuse a difference."""
    for axis in (2, 3):
        size = 1 if x.type.shape is None else x.type.shape[axis]
        product = factors[axis] * (size if isinstance(size, int) else 1)
        if abs(product - round(product)) > 1e-5:
            raise Refusal(f"scales {factors} with align_corners do not give whole sizes; give sizes instead")


def _static_or_dynamic(c: Conversion, x: Value, scales: Value, **how: str) -> Value:
    image = c.image(x, 2)
    height, width = (None, None) if image.type.shape is None else image.type.shape[1:3]
    assert scales.array is not None
    if not isinstance(height, int) or not isinstance(width, int):
        return c.op("dynamic_resize_scales", image, scales, **how)
    down, across = (float(s) for s in scales.array)
    size = tuple(int(np.floor(np.float32(n) * np.float32(s))) for n, s in ((height, down), (width, across)))
    return c.op("resize", image, size=size, scales=(down, across), **how)


def _by_sizes(c: Conversion, sizes: Value, axes: tuple[int, ...] | None, **how: str) -> Value:
    x = c.operand(0)
    known = c.partial(sizes)
    if known is None or None in _per_axis(list(known), axes, 0)[2:]:
        return c.from_image(c.op("dynamic_resize", c.image(x, 2), _spatial_part(c, sizes, axes), **how), 2)
    wanted = _per_axis(list(known), axes, None)
    for axis in (0, 1):
        actual = None if x.type.shape is None else x.type.shape[axis]
        if wanted[axis] is not None and wanted[axis] != actual:
            if sizes.array is not None and actual is None:
                raise Unknown("sizes of batch and channels need the shape of its input: give the graph's shapes")
            raise Refusal(f"sizes {wanted} change the batch or the channels of {x.type}")
    return c.from_image(c.op("resize", c.image(x, 2), size=tuple(wanted[2:]), **how), 2)


def _per_axis(
    values: Sequence[float | int | None], axes: tuple[int, ...] | None, missing: float | None
) -> list[float | int | None]:
    """One value for each of the four dimensions; `axes` says which are given."""
    if axes is None:
        axes = (0, 1, 2, 3)
    if len(values) != len(axes) or any(not -4 <= a < 4 for a in axes) or len({a % 4 for a in axes}) != len(axes):
        raise Refusal(f"{len(values)} values for axes {list(axes)} of an image of 4 dimensions")
    result: list[float | int | None] = [missing] * 4
    for axis, value in zip(axes, values, strict=True):
        result[axis % 4] = value
    return result


def _spatial_part(c: Conversion, values: Value, axes: tuple[int, ...] | None) -> Value:
    """The entries for height and width of scales or sizes computed at run time."""
    if axes is None or axes == (0, 1, 2, 3):
        return c.op("slice", values, axes=(0,), starts=(2,), ends=(4,), steps=(1,))
    places = [a % 4 for a in axes]
    if 2 not in places or 3 not in places:
        raise Refusal(f"axes {list(axes)} with sizes computed at run time; height and width must be among them")
    if places == [2, 3]:
        return values
    return c.op("gather", values, c.constant([places.index(2), places.index(3)], DType.I64), axis=0)
