"""Rounding, clamping and exact sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.errors import ModelError
from nascompiler.ir.types import DType
from tests.ir.dialects.qnn.by_hand import SETTINGS, activated, f32, limits, requantized, rounded

TYPES = st.sampled_from([DType.I8, DType.U8, DType.I16, DType.U16])
SCALES = st.floats(2**-20, 2**6, width=32)


def test_halves_go_to_the_even_integer():
    f = np.asarray([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)
    for zero_point in (0, 1, -7):
        q = arithmetic.to_integers(f, zero_point, DType.I8, (-128, 127))
        np.testing.assert_array_equal(q, np.asarray([-2, -2, 0, 0, 2, 2]) + zero_point)


@SETTINGS
@given(st.floats(width=32, allow_nan=False), TYPES, st.data())
def test_clamping_first_is_the_same(f, dtype, data):
    low, high = limits(dtype)
    zero_point = data.draw(st.integers(low, high))
    narrow = sorted([data.draw(st.integers(low, high)), data.draw(st.integers(low, high))])
    for bounds in ((low, high), tuple(narrow)):
        (q,) = arithmetic.to_integers(np.asarray([f], np.float32), zero_point, dtype, bounds)
        assert q == rounded(f, zero_point, *bounds)
        assert q.dtype == dtype.numpy


@SETTINGS
@given(
    st.integers(-(2**31) + 1, 2**31 - 1),
    SCALES,
    SCALES,
    SCALES,
    TYPES,
    st.sampled_from(["none", "relu", "relu6", "hard_swish", "hard_sigmoid"]),
    st.data(),
)
def test_requantize_follows_the_formula(acc, x_scale, weight_scale, scale, dtype, activation, data):
    zero_point = data.draw(st.integers(*limits(dtype)))
    options = {"scale": scale, "zero_point": zero_point, "dtype": dtype, "activation": activation}
    made = arithmetic.requantize(
        np.asarray([acc], np.int32), x_scale, np.asarray([weight_scale], np.float32), **options
    )
    assert made[0] == requantized(acc, x_scale, weight_scale, **options)
    options |= {"dtype": DType.F32}
    (real,) = arithmetic.requantize(
        np.asarray([acc], np.int32), x_scale, np.asarray([weight_scale], np.float32), **options
    )
    assert real == requantized(acc, x_scale, weight_scale, **options)
    assert real.dtype == np.float32


@SETTINGS
@given(st.floats(-100, 100, width=32), st.sampled_from(["none", "relu", "relu6", "hard_swish", "hard_sigmoid"]))
def test_activations_step_by_step(x, activation):
    assert arithmetic.activate(np.asarray([x], np.float32), activation)[0] == activated(f32(x), activation)


def test_relu_clamps_at_the_zero_point_and_relu6_at_six():
    assert arithmetic.clamp_limits(DType.I8, "none", 0.1, 5) == (-128, 127)
    assert arithmetic.clamp_limits(DType.I8, "relu", 0.1, 5) == (5, 127)
    assert arithmetic.clamp_limits(DType.I8, "relu6", 0.1, 5) == (5, 65)
    assert arithmetic.clamp_limits(DType.I8, "relu6", 0.01, 5) == (5, 127)
    assert arithmetic.clamp_limits(DType.U8, "relu6", 6.0, 255) == (255, 255)


def test_sums_that_leave_32_bits_are_an_error():
    sums = np.asarray([2.0**31 - 1, -(2.0**31) + 1])
    np.testing.assert_array_equal(arithmetic.accumulated(sums, None), [2**31 - 1, -(2**31) + 1])
    with pytest.raises(ModelError, match="exceeds 32 bits; use 8-bit activations"):
        arithmetic.accumulated(sums, np.asarray([1, 0], np.int32))
    with pytest.raises(ModelError, match="exceeds 32 bits"):
        arithmetic.accumulated(np.asarray([-(2.0**31)]), None)


@SETTINGS
@given(st.integers(1, 40), st.sampled_from([DType.I8, DType.U8, DType.I16]), st.integers(0, 2**32 - 1))
def test_no_input_exceeds_the_bound_and_one_reaches_it(terms, dtype, seed):
    generator = np.random.default_rng(seed)
    low, high = limits(dtype)
    zero_point, weight_zero_point = int(generator.integers(low, high + 1)), int(generator.integers(-128, 128))
    weight = generator.integers(-128, 128, (terms, 3)).astype(np.int8)
    bound = arithmetic.accumulator_bound(weight, weight_zero_point, dtype, zero_point)
    shifted = weight.astype(np.int64) - weight_zero_point
    extreme = [np.where(shifted > 0, a, b) - zero_point for a, b in ((high, low), (low, high))]
    sums = [np.abs((x * shifted).sum(axis=0)).max() for x in extreme]
    reach = max(high - zero_point, zero_point - low)
    assert max(sums) <= bound == np.abs(shifted).sum(axis=0).max() * reach


def test_small_sums_are_exact_in_float32():
    assert arithmetic.exact_dtype(2**24 - 1) is np.float32
    assert arithmetic.exact_dtype(2**24) is np.float64
