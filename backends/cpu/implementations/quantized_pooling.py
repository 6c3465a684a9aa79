"""Average pooling of 8-bit images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS
from nascompiler.backends.cpu.implementations.quantized_product import BYTES
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.requantization import requantization, requantization_sizes
from nascompiler.backends.cpu.tiling import image_sizes
from nascompiler.backends.kernels.pooling_int8 import AveragePoolInt8
from nascompiler.backends.target import Target
from nascompiler.ir.dialects.qnn.pooling import mean_multiplier, window_multipliers


@implements("qnn.average_pool2d", "qnn.global_average_pool")
def average_pool(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Windows without dilation, one pixel of the result after another."""
    (x,) = call.operands
    attributes: dict[str, Any] = dict(call.attributes)
    if call.constants or x.dtype not in BYTES or call["dtype"] not in BYTES or not x.size * call.result.size:
        return ()
    if attributes.get("dilation", (1, 1)) != (1, 1):
        return ()
    batch, height, width, channels = x.static_shape
    _, out_height, _, _ = call.result.static_shape
    kernel = attributes.get("kernel", (height, width))
    stride = attributes.get("strides", (1, 1))
    padding = attributes.get("padding", (0, 0, 0, 0))
    scales = {"x_scale": call["x_scale"], "scale": call["scale"]}
    if call.op == "qnn.global_average_pool":
        factors = mean_multiplier(np.asarray(height * width), **scales)
    else:
        window = {name: attributes[name] for name in ("kernel", "strides", "padding", "dilation", "count_include_pad")}
        factors = window_multipliers(x.static_shape, **scales, **window)
    lanes = target.isa.lanes
    vectors = max(n for n in (1, 2, 4) if n == 1 or channels >= n * lanes)
    sizes = {
        **image_sizes(x, call.result),
        "kernel_y": kernel[0],
        "kernel_x": kernel[1],
        "stride_y": stride[0],
        "stride_x": stride[1],
        "padding_y": padding[0],
        "padding_x": padding[1],
        "x_zero_point": call["x_zero_point"],
        **requantization_sizes(call),
    }
    constants = {"factors": np.ascontiguousarray(factors, np.float32).reshape(-1)}
    return [
        Implementation(
            variant="int8",
            kernel=AveragePoolInt8(
                target.isa, x.dtype, requantization(call), vectors, channels if channels < lanes else 0
            ),
            operands={"x": 0},
            constants=lambda operands: constants,
            sizes=sizes,
            chunks=min(batch * out_height, CHUNKS),
        )
    ]
