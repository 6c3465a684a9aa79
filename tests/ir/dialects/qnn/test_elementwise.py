"""Addition and multiplication: each step in float32, in the order written down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascompiler.ir import Builder, DType, InferenceError
from tests.ir.dialects.qnn.by_hand import SETTINGS, f32, integers, limits, rounded, run

SCALE = st.floats(2**-12, 2**4, width=32)
TYPES = st.sampled_from([DType.I8, DType.U8])


def _bounds(dtype, activation, scale, zero_point):
    low, high = limits(dtype)
    if activation in ("relu", "relu6"):
        low = zero_point
    if activation == "relu6":
        high = min(high, round(float(f32(6) / f32(scale))) + zero_point)
    return low, high


@SETTINGS
@given(TYPES, TYPES, TYPES, SCALE, SCALE, SCALE, st.sampled_from(["none", "relu", "relu6"]), st.data())
def test_each_number_follows_the_formulas(a_type, b_type, dtype, a_scale, b_scale, scale, activation, data):
    a, b = (data.draw(st.integers(*limits(t))) for t in (a_type, b_type))
    za, zb, zero_point = (data.draw(st.integers(*limits(t))) for t in (a_type, b_type, dtype))
    attributes = {
        "a_scale": a_scale, "a_zero_point": za, "b_scale": b_scale, "b_zero_point": zb,
        "scale": scale, "zero_point": zero_point, "dtype": dtype, "activation": activation,
    }  # fmt: skip
    arrays = np.asarray([a], a_type.numpy), np.asarray([b], b_type.numpy)
    bounds = _bounds(dtype, activation, scale, zero_point)
    left = f32(a - za) * f32(f32(a_scale) / f32(scale))
    right = f32(b - zb) * f32(f32(b_scale) / f32(scale))
    assert run("qnn.add", *arrays, **attributes)[0] == rounded(left + right, zero_point, *bounds)
    f = f32((a - za) * (b - zb)) * f32(f32(f32(a_scale) * f32(b_scale)) / f32(scale))
    assert run("qnn.mul", *arrays, **attributes)[0] == rounded(f, zero_point, *bounds)


@pytest.mark.parametrize("op", ["qnn.add", "qnn.mul"])
def test_operands_may_be_swapped(op):
    a, b = integers(DType.I8, 5, 1, 40), integers(DType.U8, 3, 40, seed=1)
    result = {"scale": 0.7, "zero_point": -3}
    one = run(op, a, b, a_scale=0.1, a_zero_point=4, b_scale=0.3, b_zero_point=100, **result)
    other = run(op, b, a, b_scale=0.1, b_zero_point=4, a_scale=0.3, a_zero_point=100, **result)
    np.testing.assert_array_equal(one, other)
    assert one.shape == (5, 3, 40)


def test_products_that_32_bits_do_not_hold_are_refused():
    build = Builder()
    a = build.input("a", (4,), DType.U16)
    with pytest.raises(InferenceError, match="can reach 4294836225, more than 32 bits hold; with i16"):
        build.op("qnn.mul", a, a, a_scale=0.1, b_scale=0.1, scale=0.1)
    small = np.asarray([-32768, 32767], np.int16)
    made = run("qnn.mul", small, small, a_scale=1e-3, b_scale=1e-3, scale=0.1, dtype=DType.I16)
    np.testing.assert_array_equal(made, [10737, 10737])


def test_quantisations_that_contradict_the_attributes_are_refused():
    build = Builder()
    a = build.op("qnn.quantize", build.input("x", (4,)), scale=0.1)
    for op in ("qnn.add", "qnn.mul"):
        with pytest.raises(InferenceError, match="b has scale"):
            build.op(op, a, a, a_scale=0.1, b_scale=0.2, scale=0.1)
