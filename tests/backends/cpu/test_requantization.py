"""Which constants let a kernel leave out the bound of its scaled sums, or their conversion."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.quantized_product import gemm_int8
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import parse_target
from nascompiler.ir import Builder, DType


@pytest.mark.parametrize("scale", [0.01, 1e6])
def test_large_scales_take_the_careful_kernel(scale):
    build = Builder("product")
    weight = build.constant(np.full((1, 1, 32, 16), 100, np.int8))
    x = build.input("x", (1, 8, 8, 32), DType.I8)
    y = build.op("qnn.conv2d", x, weight, build.constant(np.full(16, scale, np.float32)), x_scale=0.02, scale=0.1)
    (node,) = build.outputs(y=y).nodes
    constants = {i: v.constant.array for i, v in enumerate(node.operands) if v.constant is not None}
    made = gemm_int8(KernelCall.of(node), parse_target("cpu{isa=sse2}"))[0]
    fitting = made.fitting(constants)
    assert fitting.variant == made.variant
    assert fitting.kernel.requantization.bounded == (scale < 1)


@pytest.mark.parametrize(("value", "small"), [(100, True), (127, False)])
def test_sums_that_may_be_large_are_converted_on_arm(value, small):
    build = Builder("product")
    weight = build.constant(np.full((1, 1, 160, 16), value, np.int8))
    x = build.input("x", (1, 8, 8, 160), DType.I8)
    scale = build.constant(np.full(16, 0.01, np.float32))
    y = build.op("qnn.conv2d", x, weight, scale, x_scale=0.02, scale=0.1)
    (node,) = build.outputs(y=y).nodes
    constants = {i: v.constant.array for i, v in enumerate(node.operands) if v.constant is not None}
    made = gemm_int8(KernelCall.of(node), parse_target("arm:cortex-a76"))[0]
    assert made.fitting(constants).kernel.requantization.small == small  # 160 * 255 * 127 is more than 2 ** 22
