"""Linear resizing, each step in float32."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import DType
from tests.ir.dialects.qnn.by_hand import f32, integers, limits, rounded, run


def _blend(a, b, part):
    return f32(f32(a * f32(f32(1) - part)) + f32(b * part))


@pytest.mark.parametrize(("dtype", "zero_point"), [(DType.I8, -128), (DType.U8, 255), (DType.I16, 5)])
def test_along_height_then_width(dtype, zero_point):
    x = integers(dtype, 1, 4, 5, 2)
    result = {"scale": 0.4, "zero_point": 3, "dtype": dtype}
    made = run("qnn.resize", x, x_scale=0.3, x_zero_point=zero_point, **result, size=(7, 3), mode="linear")

    def at(place, length, target):
        position = f32(f32(f32(place) + f32(0.5)) / f32(target / length)) - f32(0.5)
        position = min(max(position, f32(0)), f32(length - 1))
        low = int(position)
        return low, min(low + 1, length - 1), f32(position - low)

    for (_, h, w, c), q in np.ndenumerate(made):
        (top, bottom, v), (left, right, u) = at(h, 4, 7), at(w, 5, 3)
        real = {(y, z): f32(int(x[0, y, z, c]) - zero_point) for y in (top, bottom) for z in (left, right)}
        first, second = (_blend(real[top, z], real[bottom, z], v) for z in (left, right))
        f = _blend(first, second, u) * f32(f32(0.3) / f32(0.4))
        assert q == rounded(f, 3, *limits(dtype))


def test_a_dimension_that_does_not_change_is_copied():
    x = integers(DType.I8, 1, 4, 5, 2)
    for coordinates in ("half_pixel", "tf_half_pixel_for_nn", "align_corners"):
        step = {"x_scale": 0.1, "x_zero_point": 3, "scale": 0.1, "zero_point": 3}
        made = run("qnn.resize", x, **step, size=(4, 5), mode="linear", coordinates=coordinates)
        np.testing.assert_array_equal(made, x)


def test_by_nearest_neighbour_only_the_scale_changes():
    x = integers(DType.I8, 1, 3, 4, 2)
    made = run("qnn.resize", x, x_scale=0.1, scale=0.3, size=(6, 8))
    moved = run("nn.resize", x, size=(6, 8))
    np.testing.assert_array_equal(made, run("qnn.requantize", moved, x_scale=0.1, scale=0.3))
