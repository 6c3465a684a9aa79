"""Between real numbers and integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascompiler.ir import Builder, DType, InferenceError, Quantization
from nascompiler.ir.types import TensorType
from tests.ir.dialects.qnn.by_hand import SETTINGS, f32, integers, limits, rounded, run

TYPES = st.sampled_from([DType.I8, DType.U8, DType.I16, DType.U16])


def test_ties_saturation_and_what_is_no_number():
    x = [0.25, 0.75, 1.25, -0.25, -0.75, 1e30, -1e30, np.inf, -np.inf, np.nan, 0.0, -0.0]
    q = run("qnn.quantize", np.asarray(x, np.float32), scale=0.5, zero_point=3)
    np.testing.assert_array_equal(q, [3, 5, 5, 3, 1, 127, -128, 127, -128, 3, 3, 3])
    assert q.dtype == np.int8


@SETTINGS
@given(st.floats(width=32), st.floats(2**-20, 2**20, width=32), TYPES, st.data())
def test_quantize_divides_rounds_and_clamps(x, scale, dtype, data):
    zero_point = data.draw(st.integers(*limits(dtype)))
    (q,) = run("qnn.quantize", np.asarray([x], np.float32), scale=scale, zero_point=zero_point, dtype=dtype)
    with np.errstate(over="ignore"):
        f = f32(x) / f32(scale)
    assert q == (zero_point if np.isnan(x) else rounded(f, zero_point, *limits(dtype)))


@SETTINGS
@given(st.floats(2**-10, 2**10, width=32), TYPES, st.data())
def test_within_the_range_dequantize_of_quantize_is_half_a_step_away(scale, dtype, data):
    low, high = limits(dtype)
    zero_point = data.draw(st.integers(low, high))
    x = data.draw(st.floats(float((low - zero_point) * f32(scale)), float((high - zero_point) * f32(scale))))
    options = {"scale": scale, "zero_point": zero_point}
    q = run("qnn.quantize", np.asarray([x], np.float32), **options, dtype=dtype)
    (back,) = run("qnn.dequantize", q, x_scale=scale, x_zero_point=zero_point)
    assert abs(float(back) - x) <= scale * (0.5 + 2**-6 * (dtype.bytes - 1)) + abs(x) * 2**-22
    np.testing.assert_array_equal(run("qnn.quantize", back[None], **options, dtype=dtype), q)


@pytest.mark.parametrize("dtype", [DType.I8, DType.U8, DType.I16, DType.U16])
def test_dequantize_at_both_ends_of_the_zero_point(dtype):
    q = integers(dtype, 50)
    for zero_point in limits(dtype):
        expected = [f32(int(v) - zero_point) * f32(0.037) for v in q]
        made = run("qnn.dequantize", q, x_scale=0.037, x_zero_point=zero_point)
        np.testing.assert_array_equal(made, expected)
        assert made.dtype == np.float32


def test_requantize_is_one_multiplication():
    q = integers(DType.U8, 256)
    made = run("qnn.requantize", q, x_scale=0.1, x_zero_point=77, scale=0.3, zero_point=-5)
    multiplier = f32(f32(0.1) / f32(0.3))
    np.testing.assert_array_equal(made, [rounded(f32(int(v) - 77) * multiplier, -5, -128, 127) for v in q])


def test_weights_are_quantised_symmetrically_with_a_scale_for_each_channel():
    weight = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    weight[0, 0] = [np.nan, np.inf, -np.inf, 0.25]
    scale = np.asarray([0.01, 0.02, 0.1], np.float32)
    q = run("qnn.quantize_per_axis", weight, scale, axis=1)
    for index, value in np.ndenumerate(weight):
        wanted = 0 if np.isnan(value) else rounded(value / scale[index[1]], 0, -127, 127)
        assert q[index] == wanted
    assert run("qnn.quantize_per_axis", weight, scale[:1], axis=-1, dtype=DType.I16).dtype == np.int16
    back = run("qnn.dequantize_per_axis", q, scale, axis=-2)
    np.testing.assert_array_equal(back, q.astype(np.float32) * scale[:, None])


def test_biases_are_dequantised_from_32_bits():
    q = np.asarray([2**31 - 1, -(2**31), 7], np.int32)
    scale = np.asarray([1e-5, 2e-5, 0.5], np.float32)
    made = run("qnn.dequantize_per_axis", q, scale, axis=0)
    np.testing.assert_array_equal(made, [f32(int(v)) * s for v, s in zip(q, scale, strict=True)])
    shifted = run("qnn.dequantize_per_axis", np.asarray([0, 255], np.uint8), scale[2:], axis=0, x_zero_point=128)
    np.testing.assert_array_equal(shifted, [-64, 63.5])


def test_results_carry_their_quantisation():
    build = Builder()
    x = build.input("x", (2, 3))
    q = build.op("qnn.quantize", x, scale=0.1, zero_point=7, dtype=DType.U8)
    assert q.type == TensorType((2, 3), DType.U8, Quantization.per_tensor(0.1, 7))
    assert build.op("qnn.dequantize", q, x_scale=0.1, x_zero_point=7).type == TensorType((2, 3), DType.F32)


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("quantize", {"scale": 0.1, "zero_point": 128}, "zero_point is 128; of i8 it must be from -128 to 127"),
        ("quantize", {"scale": 0.1, "zero_point": -1, "dtype": DType.U8}, "of u8 it must be from 0 to 255"),
        ("quantize", {"scale": 0.1, "dtype": DType.I32}, "dtype is i32; accepted: i16, i8, u16, u8"),
        ("dequantize", {"x_scale": 0.2, "x_zero_point": 7}, "has scale 0.100.* where the attributes say 0.200"),
        ("dequantize", {"x_scale": 0.1, "x_zero_point": 6}, "zero point 7 where the attributes say .* and 6"),
        ("requantize", {"x_scale": 0.1, "x_zero_point": 7, "scale": 1.0, "zero_point": 999}, "zero_point is 999"),
    ],
)
def test_what_contradicts_itself_is_refused(op, attributes, message):
    build = Builder()
    x = build.input("x", (2, 3))
    operand = x if op == "quantize" else build.op("qnn.quantize", x, scale=0.1, zero_point=7)
    with pytest.raises(InferenceError, match=message):
        build.op(f"qnn.{op}", operand, **attributes)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_is_positive_and_finite(scale):
    build = Builder()
    with pytest.raises(Exception, match="a positive number"):
        build.op("qnn.quantize", build.input("x", (2,)), scale=scale)


def test_scales_per_axis_must_fit():
    build = Builder()
    x, scale = build.input("x", (2, 3)), build.input("scale", (4,))
    for op in ("qnn.quantize_per_axis", "qnn.dequantize_per_axis"):
        operand = x if op == "qnn.quantize_per_axis" else build.input("q", (2, 3), DType.I8)
        with pytest.raises(InferenceError, match=r"one for each index .*along axis 1, or a single one"):
            build.op(op, operand, scale, axis=1)
