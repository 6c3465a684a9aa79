"""Scales and zero points: zero stays exact, the range is covered, and no scale is harmful."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascompiler.ir import DType, Quantization
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.errors import UsageError
from nascompiler.passes.quantization.parameters import (
    MINIMUM_SCALE,
    activation_quantization,
    representable,
    scales_for_bias,
    scales_for_sums,
    weight_scales,
)
from nascompiler.passes.quantization.ranges import Range

FINITE = st.floats(-(2.0**127), 2.0**127, width=32)


def parameters(low, high, dtype=DType.I8, **options):
    quantization = activation_quantization(Range(low, high), dtype, **options)
    return quantization.scale[0], quantization.zero_point[0]


def test_known_ranges():
    assert parameters(0, 255) == (1, -128)
    assert parameters(-255, 0) == (1, 127)
    assert parameters(-128, 127) == (1, 0)
    assert parameters(51, 255) == (1, -128)  # widened to hold 0
    assert parameters(0, 255, DType.U8) == (1, 0)


def test_symmetric_puts_zero_in_the_middle():
    assert parameters(-1, 127, symmetric=True) == (1, 0)
    assert parameters(-127, 1, symmetric=True) == (1, 0)
    assert parameters(0, 127, DType.U8, symmetric=True) == (1, 128)


def test_16_bits_are_always_symmetric():
    assert parameters(0, 32767, DType.I16) == (1, 0)


def test_hard_swish_keeps_its_short_tail():
    scale, zero_point = parameters(-0.375, 8)
    assert zero_point == -117
    assert scale == pytest.approx(8.375 / 255, rel=1e-7)


def test_the_range_of_a_dead_value_is_taken_for_one():
    assert parameters(0, 0) == (float(np.float32(1 / 255)), -128)
    assert parameters(0, 0, symmetric=True) == (float(np.float32(1 / 127)), 0)
    assert parameters(0, 0, DType.I16) == (float(np.float32(1 / 32767)), 0)


def test_scales_do_not_vanish():
    assert parameters(0, 1e-44)[0] == MINIMUM_SCALE


@given(FINITE, FINITE, st.sampled_from([DType.I8, DType.U8, DType.I16]), st.booleans())
def test_zero_is_exact_and_the_range_is_covered_to_half_a_step(a, b, dtype, symmetric):
    low, high = sorted((a, b))
    quantization = activation_quantization(Range(low, high), dtype, symmetric=symmetric)
    (scale,), (zero_point,) = quantization.scale, quantization.zero_point
    least, greatest = arithmetic.limits(dtype)
    assert least <= zero_point <= greatest
    assert 0 < scale < np.inf
    zero = arithmetic.quantize(np.zeros(1, np.float32), scale, zero_point, dtype)
    assert arithmetic.dequantize(zero, scale, zero_point) == [0]
    covered = representable(quantization, dtype)
    slack = 0.501 * scale
    assert covered.low - slack <= min(low, 0)
    assert max(high, 0) <= covered.high + slack


def test_weights_by_their_largest():
    weight = np.array([[1.0, -254.0], [-127.0, 2.0]], np.float32)
    assert weight_scales(weight, 1).tolist() == [1, 2]
    assert weight_scales(weight, 0).tolist() == [2, 1]
    assert weight_scales(weight, -1, per_channel=False).tolist() == [2]
    assert weight_scales(weight * 0 + 32767, 0, dtype=DType.I16).tolist() == [1, 1]


@pytest.mark.parametrize("method", ["max", "mse"])
def test_a_channel_of_zeros_gets_a_harmless_scale(method):
    weight = np.zeros((3, 3, 4, 2), np.float32)
    assert weight_scales(weight, 3, method=method).tolist() == [np.float32(1 / 127)] * 2
    weight[..., 1] = 127
    assert weight_scales(weight, 3, method=method).tolist() == [1, 1]


def squared_error(weight, scale, greatest=127):
    return float(((weight - scale * np.clip(np.rint(weight / scale), -greatest, greatest)) ** 2).sum())


def test_mse_finds_the_clip_that_a_plain_search_finds():
    generator = np.random.default_rng(3)
    weight = generator.laplace(size=(5, 5, 16, 6)).astype(np.float32)
    found = weight_scales(weight, 3, method="mse")
    widest = weight_scales(weight, 3)
    for channel in range(6):
        kernel = weight[..., channel].astype(np.float64)
        errors = {
            clip: squared_error(kernel, float(np.float32(widest[channel] * clip))) for clip in np.linspace(1, 0.5, 51)
        }
        assert squared_error(kernel, float(found[channel])) == pytest.approx(min(errors.values()), rel=1e-3)
    assert (found < widest).any()


def test_mse_of_one_scale_looks_at_all_channels():
    weight = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    (scale,) = weight_scales(weight, 1, per_channel=False, method="mse")
    assert squared_error(weight, scale) <= squared_error(weight, np.abs(weight).max() / 127)


def test_weights_on_the_grid_keep_their_scale():
    weight = np.arange(-127, 128, dtype=np.float32)[:, None] * 0.5
    assert weight_scales(weight, 1, method="mse").tolist() == [0.5]


def test_bad_weights_and_methods():
    with pytest.raises(UsageError, match="unknown method for weights 'kl'; accepted: max or mse"):
        weight_scales(np.ones((2, 2)), 0, method="kl")
    with pytest.raises(UsageError, match="NaN or infinity"):
        weight_scales(np.array([[1, np.inf]], np.float32), 0)


def test_scales_are_raised_where_a_bias_would_overflow():
    scales = np.array([1e-12, 0.01], np.float32)
    bias = np.array([1.0, 1.0], np.float32)
    raised = scales_for_bias(scales, bias, 0.1)
    assert raised[1] == np.float32(0.01)
    assert np.abs(bias / (raised.astype(np.float64) * 0.1)).max() == pytest.approx(2**30, rel=1e-6)
    assert scales_for_bias(scales[:1], bias, 0.1).shape == (1,)


@pytest.mark.parametrize("x_dtype", [DType.I8, DType.I16])
@pytest.mark.parametrize("dtype", [DType.I8, DType.I16])
def test_scales_are_raised_where_sums_would_overflow(x_dtype, dtype):
    random = np.random.default_rng(0)
    weight = random.standard_normal((3000, 6)).astype(np.float32)
    weight[:, 0] *= np.arange(3000) < 8  # a sum of few products has room
    bias = np.full(6, 3.0, np.float32)
    x = Quantization.per_tensor(0.01, 0 if x_dtype is DType.I16 else 100)
    widest = weight_scales(weight, 1, dtype=dtype)
    scales = scales_for_sums(widest, weight, bias, x, x_dtype)
    integers = np.rint(weight / scales)
    for rounding in (np.rint, np.floor, np.ceil):
        bound = arithmetic.accumulator_bound(rounding(weight / scales), 0, x_dtype, x.zero_point[0])
        assert bound + np.abs(bias / (0.01 * scales.astype(np.float64))).max() < 2**31
    if x_dtype is DType.I16 and dtype is DType.I16:
        assert np.abs(integers[:, 0]).max() > 8 * np.abs(integers[:, 1:]).max()
    assert (scales >= widest).all()
    assert scales_for_sums(widest[:1], weight, bias, x, x_dtype).shape == (1,)


def test_sums_that_no_scale_makes_fit_keep_theirs():
    weight = np.ones((70000, 1), np.float32)
    scales = weight_scales(weight, 1)
    assert scales_for_sums(scales, weight, None, Quantization.per_tensor(1.0), DType.I16) is scales
