"""Pooling in float32, and the maximum of bytes."""

from __future__ import annotations

from collections.abc import Sequence

from nascompiler.backends.cpu.implementation import Implementation, as_they_are, implements
from nascompiler.backends.cpu.implementations.fully_connected import CHUNK_BYTES
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.pooling import VECTORS, GlobalAverage, Pool, vector_lanes
from nascompiler.backends.target import Target
from nascompiler.ir.types import DType

MOST_VECTORS = 4
"""Vectors of channels that hide the latency of an addition; more only lengthen the code."""

MOST_COLUMNS = 11
"""Columns of a window are unrolled; a wider one would make endless code."""


@implements("cpu.global_average_pool")
def global_average_pool(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """One way: one group of vectors of channels after the other."""
    (x,) = call.operands
    batch, height, width, channels = x.static_shape
    lanes = vector_lanes(channels, target.isa.lanes)
    return [
        Implementation(
            variant="global average",
            kernel=GlobalAverage(isa=target.isa, lanes=lanes),
            operands={"x": 0},
            constants=as_they_are({}),
            sizes={"images": batch, "pixels": height * width, "channels": channels},
            chunks=max(1, min(x.bytes // CHUNK_BYTES, -(-channels // (lanes * VECTORS)), CHUNKS)),
        )
    ]


@implements("cpu.average_pool2d", "cpu.max_pool2d")
def pool(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """By how many vectors of channels are computed side by side, the fewest rounds first; none for wide windows."""
    if call["kernel"][1] > MOST_COLUMNS:
        return ()
    (x,) = call.operands
    batch, height, width, channels = x.static_shape
    _, result_height, result_width, _ = call.result.static_shape
    maximum = call.op == "cpu.max_pool2d"
    lanes = vector_lanes(channels, target.isa.lanes * DType.F32.bytes // x.dtype.bytes)
    total = -(-channels // lanes)
    return [
        Implementation(
            variant=f"pool {vectors}x{lanes}",
            kernel=Pool(
                isa=target.isa,
                kernel=call["kernel"],
                strides=call["strides"],
                maximum=maximum,
                counts_padding=not maximum and call["count_include_pad"],
                lanes=lanes,
                vectors=vectors,
                dtype=x.dtype,
            ),
            operands={"x": 0},
            constants=as_they_are({}),
            sizes={
                "images": batch,
                "height": height,
                "width": width,
                "channels": channels,
                "result_height": result_height,
                "result_width": result_width,
                "padding_top": call["padding"][0],
                "padding_left": call["padding"][1],
            },
            chunks=min(batch * result_height, CHUNKS),
        )
        for vectors in sorted(range(1, min(total, MOST_VECTORS) + 1), key=lambda v: -(-total // v) * (v + 1))
    ]
