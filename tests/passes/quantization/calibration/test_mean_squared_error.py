"""The range of least squared error against a plain search over the numbers themselves."""

import numpy as np
import pytest

from nascompiler.ir import DType
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.passes.quantization.calibration.mean_squared_error import MeanSquaredError
from nascompiler.passes.quantization.parameters import activation_quantization
from nascompiler.passes.quantization.ranges import Range


def hard_swish(x):
    return x * np.clip(x / 6 + 0.5, 0, 1)


def numbers_of(kind, count=50_000):
    generator = np.random.default_rng(7)
    normal = generator.standard_normal(count)
    made = {
        "normal": normal,
        "relu": np.maximum(normal, 0),
        "laplace": generator.laplace(size=count),
        "hard-swish": hard_swish(3 * normal),
        "relu6": np.clip(4 * normal, 0, 6),
        "outliers": np.concatenate([normal, [40, 41, -60]]),
    }
    return made[kind].astype(np.float32)


def collected(numbers, dtype=DType.I8, symmetric=False, portions=1):
    collector = MeanSquaredError()
    for part in np.array_split(numbers, portions):
        collector.observe(np.ascontiguousarray(part), float(part.min()), float(part.max()))
        collector.end_batch()
    return collector.range(dtype, symmetric)


def error(numbers, range, dtype=DType.I8, symmetric=False):
    quantization = activation_quantization(range, dtype, symmetric=symmetric)
    (scale,), (zero_point,) = quantization.scale, quantization.zero_point
    integers = arithmetic.quantize(numbers, scale, zero_point, dtype)
    return float(((numbers - arithmetic.dequantize(integers, scale, zero_point)).astype(np.float64) ** 2).sum())


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("kind", ["normal", "relu", "laplace", "hard-swish", "relu6", "outliers"])
def test_no_range_of_a_plain_search_is_better(kind, symmetric):
    numbers = numbers_of(kind)
    found = error(numbers, collected(numbers, symmetric=symmetric), symmetric=symmetric)
    low, high = min(0.0, float(numbers.min())), float(numbers.max())
    shares = np.linspace(1, 0.05, 20)
    plain = min(
        error(numbers, Range(low * a, high * b), symmetric=symmetric)
        for a in (shares if low and not symmetric else [1])
        for b in shares
    )
    assert found <= plain * 1.01


def test_portions_do_not_matter():
    numbers = numbers_of("laplace")
    assert collected(numbers) == collected(numbers, portions=13) == collected(numbers[::-1].copy(), portions=4)


def test_clamped_activations_keep_their_ends():
    assert collected(numbers_of("relu6")) == Range(0, 6)


def test_a_few_bins_of_16_bits_clip_nothing():
    numbers = numbers_of("outliers")
    assert collected(numbers, DType.I16) == Range(-60, 41)


@pytest.mark.parametrize("constant", [0.0, 3.0, -3.0])
def test_constants_keep_their_value(constant):
    assert collected(np.full(10, constant, np.float32)) == Range(constant, constant)


def test_one_number_beside_zeros_is_exact():
    numbers = np.array([0, 0, 5, 0], np.float32)
    assert collected(numbers) == Range(0, 5)
