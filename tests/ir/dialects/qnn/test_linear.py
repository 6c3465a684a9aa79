"""Matrix products against loops over exact integers."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import DType, ModelError
from tests.ir.dialects.qnn.by_hand import integers, requantized, run

SCALES = np.random.default_rng(3).uniform(0.001, 0.02, 6).astype(np.float32)


def _product(a, b):
    return np.matmul(a.astype(object), b.astype(object))


def _each(sums, weight_scale, x_scale, **options):
    scales = [weight_scale[i % len(weight_scale)] for i in range(np.size(sums))]
    made = [requantized(s, x_scale, w, **options) for s, w in zip(np.ravel(sums), scales, strict=True)]
    return np.asarray(made).reshape(np.shape(sums))


@pytest.mark.parametrize("activation", ["none", "relu", "relu6", "hard_swish", "hard_sigmoid"])
@pytest.mark.parametrize("dtype", [DType.I8, DType.U8, DType.F32])
def test_linear(activation, dtype):
    x, weight = integers(DType.U8, 2, 3, 11), integers(DType.I8, 11, 6, seed=1)
    bias = np.random.default_rng(2).integers(-5000, 5000, 6).astype(np.int32)
    options = {"scale": 0.06, "zero_point": 20, "dtype": dtype, "activation": activation}
    if dtype is DType.F32:
        options |= {"scale": 1.0, "zero_point": 0}
    made = run("qnn.linear", x, weight, SCALES, bias, x_scale=0.01, x_zero_point=128, **options)
    sums = _product(x.astype(int) - 128, weight.astype(int)) + bias.astype(int)
    np.testing.assert_array_equal(made, _each(sums, SCALES, 0.01, **options))
    assert made.dtype == dtype.numpy


def test_linear_is_a_pointwise_convolution():
    x, weight = integers(DType.I8, 1, 3, 4, 9), integers(DType.U8, 9, 6, seed=1)
    options = {"x_scale": 0.03, "x_zero_point": -7, "weight_zero_point": 100, "scale": 0.8, "zero_point": 5}
    for activation in ("none", "relu6", "hard_swish"):
        linear = run("qnn.linear", x, weight, SCALES, None, **options, activation=activation)
        conv = run("qnn.conv2d", x, weight[None, None], SCALES, None, **options, activation=activation)
        np.testing.assert_array_equal(linear, conv)


@pytest.mark.parametrize(
    ("left", "right"), [((3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)), ((4,), (4,))]
)
def test_matmul_broadcasts_as_numpy_does(left, right):
    a, b = integers(DType.I8, *left), integers(DType.U8, *right, seed=1)
    for dtype in (DType.I8, DType.F32):
        options = {"scale": 0.5, "zero_point": 3} if dtype is DType.I8 else {"scale": 1.0, "zero_point": 0}
        made = run(
            "qnn.matmul", a, b, a_scale=0.02, a_zero_point=5, b_scale=0.01, b_zero_point=128, dtype=dtype, **options
        )
        sums = _product(a.astype(int) - 5, b.astype(int) - 128)
        expected = _each(sums, [0.01], 0.02, dtype=dtype, activation="none", **options)
        np.testing.assert_array_equal(made, expected)
        assert made.shape == expected.shape
        assert made.dtype == dtype.numpy


def test_products_of_16_bits_may_overflow():
    a = np.full((1, 3), -32768, np.int16)
    with pytest.raises(ModelError, match="exceeds 32 bits"):
        run("qnn.matmul", a, a.T, a_scale=0.1, b_scale=0.1, scale=0.1)
    assert run("qnn.matmul", a[:, :1], a.T[:1], a_scale=1e-5, b_scale=1e-5, scale=1.0).item() == 0
    with pytest.raises(ModelError, match="exceeds 32 bits"):
        run("qnn.linear", np.repeat(a, 200, axis=1), np.full((600, 1), 127, np.int8), SCALES[:1], None, x_scale=0.1)
