"""Convolutions of 8-bit images in which every feature sums all channels: stems, strided pointwise ones, the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, is_pointwise
from nascompiler.backends.cpu.implementations.quantized_product import BYTES, offsets, symmetric_zero_point
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.requantization import (
    for_bounded_sums,
    requantization,
    requantization_constants,
    requantization_sizes,
)
from nascompiler.backends.cpu.tiling import image_sizes
from nascompiler.backends.kernels.convolution_int8 import SLACK, ConvolutionInt8
from nascompiler.backends.kernels.dots import SMALL_GROUPS, Dots
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.gemm_int8 import PACKED
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array

MOST_PIXELS = 14
"""More pixels in a tile need more addresses than there are registers."""

_REGISTERS = 32
"""Vector registers of processors that multiply by a lane."""

MOST_GROUPS = 12
"""Groups of terms in a window that are all written out on ARM, where products are of one with lanes of another."""

STAGE_BYTES = 16 << 10
"""Rows staged together share the nearest cache with the weights of a panel."""


@implements("qnn.conv2d")
def convolution_int8(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Rows staged for a band of the result, then register tiles of pixels by panels of features."""
    if not _is_dense(call) or is_pointwise(call):
        return ()
    x, weight = call.operands[:2]
    batch, _, width, channels = x.static_shape
    _, out_height, out_width, features = call.result.static_shape
    isa = target.isa
    dots = Dots.of(isa)
    runs = _Runs.of(call, dots)
    groups = dots.groups(runs.length)
    small = groups <= SMALL_GROUPS and runs.count == 1
    padded = width + call["padding"][1] + call["padding"][3]
    row_elements = -(-padded * channels // SLACK) * SLACK + SLACK
    kernel_height = weight.static_shape[0]
    stride, dilation = call["strides"], call["dilation"]
    rows = 1
    if dilation[0] == 1 and kernel_height > stride[0]:
        most = STAGE_BYTES // (row_elements * dots.x.bytes)
        rows = min(max((most - kernel_height) // stride[0] + 1, 1), out_height, 4)
    staged_rows = (rows - 1) * stride[0] + kernel_height
    chunks = min(batch * -(-out_height // rows), CHUNKS)
    found = []
    on_arm = isa.architecture == "aarch64"
    whole = on_arm and features % (PACKED * isa.lanes) == 0  # bytes of whole vectors are stored
    for vectors in dict.fromkeys((*([PACKED] if whole else []), min(-(-features // isa.lanes), 3), 2, 1)):
        panels = Panels.of(features, isa.lanes, vectors)
        if panels is None or vectors > -(-features // isa.lanes):
            continue
        pixels = min(isa.accumulators // vectors, MOST_PIXELS, out_width)
        if on_arm:  # pixels are loaded as vectors, whose lanes are multiplied
            pixels = min(pixels, (_REGISTERS - vectors) // (vectors + 1))
        kernel = ConvolutionInt8(
            isa=isa,
            pixels=pixels,
            vectors=vectors,
            x_dtype=x.dtype,
            requantization=requantization(call),
            columns=features if features < isa.lanes else 0,
            pixel_step=stride[1] * channels if small else 0,
            run_groups=groups if small else 0,
            kernel_rows=kernel_height if on_arm and small and kernel_height * groups <= MOST_GROUPS else 0,
            whole=on_arm and features % (vectors * isa.lanes) == 0,
        )
        sizes = {
            **image_sizes(x, call.result),
            "features": features,
            "kernel_height": kernel_height,
            "stride_y": stride[0],
            "stride_x": stride[1],
            "padding_y": call["padding"][0],
            "padding_x": call["padding"][1],
            "dilation_y": dilation[0],
            "runs": runs.count,
            "groups": groups,
            "run_step": runs.step,
            "band": rows,
            "staged_rows": staged_rows,
            "row_elements": row_elements,
            "zero": _splat(call["x_zero_point"] + dots.shift(x.dtype), dots),
            "wide": panels.wide,
            "narrow": panels.narrow,
            **requantization_sizes(call),
        }
        made = Implementation(
            variant=f"int8 convolution {pixels}x{vectors * isa.lanes}",
            kernel=kernel,
            operands={"x": 0},
            constants=_constants(call, panels, dots, runs),
            sizes=sizes,
            chunks=chunks,
            workspace=chunks * staged_rows * row_elements,
        )
        found.append(for_bounded_sums(made, call))
    return found


def _is_dense(call: KernelCall) -> bool:
    x, weight = call.operands[:2]
    constant = call.constants == tuple(range(1, len(call.operands)))
    types = x.dtype in BYTES and weight.dtype in BYTES
    symmetric = types and call["weight_zero_point"] == symmetric_zero_point(weight.dtype)
    return constant and symmetric and call["groups"] == 1 and call.result.size * weight.size > 0


@dataclass(frozen=True)
class _Runs:
    """A kernel row as runs of neighbouring elements: how many, of what length, how far apart."""

    count: int
    length: int
    step: int

    @classmethod
    def of(cls, call: KernelCall, dots: Dots) -> _Runs:
        _, kernel_width, channels, _ = call.operands[1].static_shape
        if call["dilation"][1] == 1:
            return cls(1, kernel_width * channels, 0)
        return cls(kernel_width, channels, call["dilation"][1] * channels)


def _splat(number: int, dots: Dots) -> int:
    """A staged number, repeated to fill 32 bits."""
    bits = 8 * dots.x.bytes
    return sum((number % (1 << bits)) << shift for shift in range(0, 32, bits))


def _constants(
    call: KernelCall, panels: Panels, dots: Dots, runs: _Runs
) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        weight = np.asarray(operands[1]).astype(np.int64) - symmetric_zero_point(call.operands[1].dtype)
        features = weight.shape[-1]
        matrix = weight.reshape(-1, runs.length, features)
        padded = np.pad(matrix, ((0, 0), (0, -runs.length % dots.group), (0, 0))).reshape(-1, features)
        bias = operands.get(3, np.zeros(features, np.int32))
        zero_point = call["x_zero_point"] + dots.shift(call.operands[0].dtype)
        made = {"offset": offsets(matrix.reshape(-1, features), bias, zero_point)}
        made |= requantization_constants(call, call["x_scale"], operands[2])
        missing = max(panels.lanes - panels.columns, 0)
        made |= {name: np.pad(made[name], (0, missing)) for name in ("offset", "scale")}
        return {"weight": panels.pack(dots.pack(padded)).view(dots.weight.numpy), **made}

    return pack
