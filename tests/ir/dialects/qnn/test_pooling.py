"""Means of windows and of whole images."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import DType
from tests.ir.dialects.qnn.by_hand import f32, integers, limits, rounded, run


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize(("dtype", "zero_point"), [(DType.I8, -128), (DType.I8, 127), (DType.U8, 255), (DType.I16, 0)])
def test_windows_divide_by_what_they_see(dtype, zero_point, include):
    x = integers(dtype, 1, 5, 6, 2)
    result = {"scale": 0.4, "zero_point": 3, "dtype": dtype}
    window = {"kernel": (3, 2), "strides": (2, 1), "padding": (1, 1, 2, 0), "dilation": (1, 2)}
    made = run(
        "qnn.average_pool2d", x, x_scale=0.3, x_zero_point=zero_point, **result, **window, count_include_pad=include
    )
    for (_, h, w, c), q in np.ndenumerate(made):
        places = [(h * 2 + i - 1, w + 2 * k - 1) for i in range(3) for k in range(2)]
        inside = [(y, z) for y, z in places if 0 <= y < 5 and 0 <= z < 6]
        total = sum(int(x[0, y, z, c]) - zero_point for y, z in inside)
        multiplier = f32(f32(0.3) / f32(0.4)) / f32(len(places) if include else len(inside))
        assert q == rounded(f32(total) * multiplier, 3, *limits(dtype))


def test_whole_images():
    x = integers(DType.U8, 2, 7, 5, 3)
    made = run("qnn.global_average_pool", x, x_scale=0.3, x_zero_point=100, scale=0.2, zero_point=-4)
    multiplier = f32(f32(0.3) / f32(0.2)) / f32(35)
    for (n, _, _, c), q in np.ndenumerate(made):
        total = sum(int(v) - 100 for v in x[n, :, :, c].reshape(-1))
        assert q == rounded(f32(total) * multiplier, -4, -128, 127)
    window = {"kernel": (7, 5), "x_scale": 0.3, "x_zero_point": 100, "scale": 0.2, "zero_point": -4}
    np.testing.assert_array_equal(made, run("qnn.average_pool2d", x, **window))


def test_the_maximum_takes_integers_as_they_are():
    x = integers(DType.I8, 1, 4, 4, 2)
    made = run("nn.max_pool2d", x, kernel=(2, 2), strides=(2, 2), padding=(1, 1, 1, 1))
    assert made[0, 0, 0, 0] == x[0, 0, 0, 0]
    assert made.dtype == np.int8
