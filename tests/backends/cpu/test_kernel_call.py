from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.ir.builder import Builder
from nascompiler.ir.types import DType, Quantization, TensorType


def call(scale: float = 0.5, zero_point: int = 3, weight_zero_point: int = 0, channels: int = 4) -> KernelCall:
    """A quantised pointwise convolution."""
    builder = Builder("g")
    x = builder.input("x", TensorType((1, 2, 2, 8), DType.I8, Quantization((scale,), (zero_point,))))
    weight = builder.constant(np.ones((1, 1, 8, channels), np.int8))
    y = builder.qnn.conv2d(
        x,
        weight,
        builder.constant(np.ones(channels, np.float32)),
        x_scale=scale,
        x_zero_point=zero_point,
        weight_zero_point=weight_zero_point,
        scale=scale,
        zero_point=zero_point,
    )
    (node,) = builder.outputs(y=y).nodes
    return KernelCall.of(node)


def test_calls_that_differ_in_calibration_are_measured_as_one():
    assert call().text != call(scale=0.25).text
    assert call().key == call(scale=0.25, zero_point=-7).key
    assert "0.5" not in call().key
    assert "strides=(1, 1)" in call().key


@pytest.mark.parametrize("other", [call(channels=5), call(weight_zero_point=1)])
def test_what_decides_about_kernels_is_part_of_the_key(other):
    assert call().key != other.key
