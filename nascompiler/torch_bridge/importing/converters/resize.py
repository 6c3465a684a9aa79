"""Upsampling."""

from __future__ import annotations

from typing import Any

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal, Unknown
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family

FAMILY = Family()


def _resized(c: Conversion, **how: Any) -> Value:
    """To the size that torch computed; scales that it was given stay in use for the coordinates."""
    expected = c.expected[0]
    if expected is None or expected.shape is None:
        raise Refusal("its result is no tensor")
    size = expected.shape[2:]
    if len(size) != 2 or not all(isinstance(s, int) for s in size):
        raise Unknown("its size is known at run time only: export with a fixed shape")
    image = c.image(c.value(), 2)
    given = c.raw("scale_factors") or [c.raw("scales_h"), c.raw("scales_w")]
    scales: tuple[float, ...] = ()
    if all(s is not None for s in given) and how.get("coordinates") != "align_corners":
        scales = tuple(map(float, given))
        exact = tuple(target / c.dim(image, 1 + axis) for axis, target in enumerate(size) if isinstance(target, int))
        scales = () if scales == exact else scales
    return c.from_image(c.op("resize", image, size=size, scales=scales, **how), 2)


@FAMILY.op("upsample_nearest2d")
def nearest(c: Conversion) -> Value:
    return _resized(c, mode="nearest", coordinates="asymmetric", rounding="floor")


@FAMILY.op("_upsample_nearest_exact2d")
def nearest_exact(c: Conversion) -> Value:
    return _resized(c, mode="nearest", coordinates="half_pixel", rounding="round_prefer_ceil")


@FAMILY.op("upsample_bilinear2d")
def bilinear(c: Conversion) -> Value:
    return _resized(c, mode="linear", coordinates="align_corners" if c.boolean("align_corners") else "half_pixel")
