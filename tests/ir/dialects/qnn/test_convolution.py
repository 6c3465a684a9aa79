"""Convolutions against loops over exact integers."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, InferenceError, ModelError
from tests.ir.dialects.qnn.by_hand import convolved, integers, requantized, run, transposed

SCALES = np.random.default_rng(3).uniform(0.001, 0.02, 8).astype(np.float32)
STEP = {"scale": 0.9, "zero_point": 3}


def _expected(sums, bias, weight_scale, x_scale, **options):
    options = {"dtype": DType.I8, "activation": "none", **STEP, **options}
    made = np.empty(sums.shape, options["dtype"].numpy)
    for index, total in np.ndenumerate(sums):
        acc = total + (0 if bias is None else int(bias[index[-1]]))
        made[index] = requantized(acc, x_scale, weight_scale[index[-1] % len(weight_scale)], **options)
    return made


WINDOWS = {
    "dense": ((1, 4, 5, 3), (3, 3, 3, 8), {"padding": (1, 1, 1, 1)}),
    "strided": ((2, 5, 4, 2), (3, 2, 2, 4), {"strides": (2, 1), "padding": (0, 1, 2, 0)}),
    "dilated": ((1, 6, 7, 2), (2, 3, 2, 4), {"dilation": (3, 2), "padding": (1, 2, 0, 1)}),
    "grouped": ((1, 3, 3, 6), (2, 2, 3, 4), {"groups": 2, "padding": (1, 0, 0, 1)}),
    "depthwise": ((1, 4, 4, 4), (3, 3, 1, 8), {"groups": 4, "padding": (1, 1, 1, 1), "strides": (2, 2)}),
    "pointwise": ((1, 2, 3, 5), (1, 1, 5, 4), {}),
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("dtype", "zero_point"), [(DType.I8, -128), (DType.I8, 127), (DType.U8, 0), (DType.U8, 255)])
def test_the_loops_give_the_same(window, dtype, zero_point):
    shape, kernel, attributes = WINDOWS[window]
    x, weight = integers(dtype, *shape), integers(DType.I8, *kernel, seed=1)
    bias = np.random.default_rng(2).integers(-5000, 5000, kernel[3]).astype(np.int32)
    scales = SCALES[: kernel[3]]
    made = run("qnn.conv2d", x, weight, scales, bias, x_scale=0.02, x_zero_point=zero_point, **STEP, **attributes)
    sums = convolved(x, weight, zero_point, 0, **attributes)
    np.testing.assert_array_equal(made, _expected(sums, bias, scales, 0.02))


@pytest.mark.parametrize("activation", ["none", "relu", "relu6", "hard_swish", "hard_sigmoid"])
@pytest.mark.parametrize("dtype", [DType.I8, DType.U8, DType.I16, DType.F32])
def test_activations_and_result_types(activation, dtype):
    x, weight = integers(DType.I8, 1, 4, 4, 3), integers(DType.U8, 2, 2, 3, 4, seed=1)
    result = {"scale": 0.05, "zero_point": 2, "dtype": dtype} if dtype is not DType.F32 else {"dtype": dtype}
    made = run(
        "qnn.conv2d", x, weight, SCALES[:1], None,
        x_scale=0.003, x_zero_point=4, weight_zero_point=131, activation=activation, **result,
    )  # fmt: skip
    sums = convolved(x, weight, 4, 131)
    np.testing.assert_array_equal(made, _expected(sums, None, SCALES[:1], 0.003, activation=activation, **result))


def test_16_bit_activations_and_sums_too_large_for_float32():
    x, weight = integers(DType.I16, 1, 2, 3, 90), integers(DType.I8, 1, 1, 90, 4, seed=1)
    options = {"scale": 0.004, "zero_point": 0, "dtype": DType.I16}
    made = run("qnn.conv2d", x, weight, SCALES[:4], None, x_scale=1e-4, **options)
    sums = convolved(x, weight, 0, 0)
    assert max(abs(s) for s in sums.reshape(-1)) > 2**24
    np.testing.assert_array_equal(made, _expected(sums, None, SCALES[:4], 1e-4, **options))


def test_an_accumulator_that_overflows_is_an_error():
    x, weight = np.full((1, 1, 1, 600), -32768, np.int16), np.full((1, 1, 600, 1), -128, np.int8)
    with pytest.raises(ModelError, match="an accumulator exceeds 32 bits; use 8-bit activations here"):
        run("qnn.conv2d", x, weight, SCALES[:1], None, x_scale=0.1)
    assert (
        run("qnn.conv2d", x[..., :500], weight[:, :, :500], SCALES[:1], None, x_scale=1e-9, dtype=DType.F32).item() > 0
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": (2, 2)},
        {"strides": (2, 1), "padding": (1, 0, 0, 1)},
        {"strides": (3, 2), "output_padding": (1, 0), "dilation": (1, 2), "groups": 2},
    ],
)
def test_transposed_convolution(attributes):
    groups = attributes.get("groups", 1)
    x, weight = integers(DType.I8, 1, 3, 4, 4), integers(DType.I8, 3, 2, 4, 8 // groups, seed=1)
    bias = np.arange(8, dtype=np.int32) * 100
    made = run("qnn.conv2d_transpose", x, weight, SCALES, bias, x_scale=0.02, x_zero_point=9, **STEP, **attributes)
    np.testing.assert_array_equal(made, _expected(transposed(x, weight, 9, **attributes), bias, SCALES, 0.02))


def test_operands_that_do_not_fit_are_refused():
    build = Builder()
    x = build.op("qnn.quantize", build.input("x", (1, 4, 4, 3)), scale=0.1)
    weight = build.input("weight", (1, 1, 3, 5), DType.I8)
    scale, wrong = build.input("scale", (5,)), build.input("wrong", (4,))
    with pytest.raises(InferenceError, match="one for each output channel, or a single one"):
        build.op("qnn.conv2d", x, weight, wrong, x_scale=0.1)
    with pytest.raises(InferenceError, match="where the attributes say"):
        build.op("qnn.conv2d", x, weight, scale, x_scale=0.3)
    with pytest.raises(InferenceError, match="x_zero_point is 200; of i8"):
        build.op("qnn.conv2d", x, weight, scale, x_scale=0.1, x_zero_point=200)
    with pytest.raises(InferenceError):
        build.op("qnn.conv2d", x, build.input("other", (1, 1, 4, 5), DType.I8), scale, x_scale=0.1)
    real = build.op("qnn.conv2d", x, weight, scale, x_scale=0.1, dtype=DType.F32)
    assert real.type.quantization is None
