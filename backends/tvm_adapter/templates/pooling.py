"""Pooling: windows of NHWC images, and whole images."""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as T

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.tiling import lane_pieces
from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.templates import emit
from nascompiler.backends.tvm_adapter.templates.emit import Buffer, Expr

GROUP = 4
"""Vectors of channels that a global pool sums side by side: enough to hide the latency of an addition."""


def generate_window(symbol: str, call: KernelCall, target: Target) -> Any:
    """Maximum or mean over windows: the PrimFunc (x, result). Kernel rows and columns are bounded at run time."""
    (x_type,) = call.operands
    batch, height, width, channels = x_type.static_shape
    _, out_height, out_width, _ = call.result.static_shape
    kernel, strides, padding = call["kernel"], call["strides"], call["padding"]
    is_maximum = call.op == "cpu.max_pool2d"
    counts_padding = not is_maximum and call["count_include_pad"]

    def body(x: Buffer, result: Buffer) -> None:
        with T.parallel(0, batch * out_height) as row:
            image, line = row // out_height, row % out_height
            with T.serial(0, out_width) as column:
                top = emit.bind(line * strides[0] - padding[0])
                left = emit.bind(column * strides[1] - padding[1])
                rows = emit.bind(emit.lower_bound(top, 1)), emit.bind(emit.upper_bound(top, 1, height, kernel[0]))
                places = emit.bind(emit.lower_bound(left, 1)), emit.bind(emit.upper_bound(left, 1, width, kernel[1]))

                def vector(channel: Expr, lanes: int) -> None:
                    start = float("-inf") if is_maximum else 0.0
                    accumulator = emit.Accumulator(lanes, emit.splat(start, lanes))
                    with T.serial(*rows) as y, T.serial(*places) as k:
                        at = ((image * height + top + y) * width + left + k) * channels + channel
                        value = emit.load(x, at, lanes)
                        old = accumulator.value
                        accumulator.value = emit.maximum(old, value) if is_maximum else old + value
                    value = accumulator.value
                    if not is_maximum:
                        seen = (rows[1] - rows[0]) * (places[1] - places[0])
                        count = kernel[0] * kernel[1] if counts_padding else seen
                        value = value / emit.splat(emit.to_float(count), lanes)
                    emit.store(result, value, (row * out_width + column) * channels + channel, lanes)

                emit.over_channels(channels, target.isa.lanes, vector)

    return emit.prim_func(symbol, [x_type, call.result], body)


def generate_global_average(symbol: str, call: KernelCall, target: Target) -> Any:
    """Mean over height and width: the PrimFunc (x, result)."""
    (x_type,) = call.operands
    batch = x_type.static_shape[0]

    def body(x: Buffer, result: Buffer) -> None:
        emit.serial(batch, lambda image: mean(x, result, x_type.static_shape, image, target.isa.lanes))

    return emit.prim_func(symbol, [x_type, call.result], body)


def mean(
    x: Buffer, result: Buffer, shape: tuple[int, ...], image: Expr, lanes: int, *, result_image: Expr = None
) -> None:
    """Write the mean over height and width of one image of x [N, H, W, C] to result [N, C], channels in parallel.

    `result_image` is the row of `result`, the number of the image unless given.
    """
    _, height, width, channels = shape
    row = image if result_image is None else result_image

    def block(channel: Expr, pieces: tuple[int, ...]) -> None:
        offsets = [sum(pieces[:i]) for i in range(len(pieces))]
        sums = [emit.Accumulator(n, emit.splat(0.0, n)) for n in pieces]
        with T.serial(0, height) as y:
            # row by row: one long sum of all pixels would lose digits
            row_sums = [emit.Accumulator(n, emit.splat(0.0, n)) for n in pieces]
            with T.serial(0, width) as k:
                at = ((image * height + y) * width + k) * channels + channel
                for total, offset in zip(row_sums, offsets, strict=True):
                    total.value = total.value + emit.load(x, at + offset, total.lanes)
            for total, part in zip(sums, row_sums, strict=True):
                total.value = total.value + part.value
        for total, offset in zip(sums, offsets, strict=True):
            value = total.value * emit.splat(1.0 / (height * width), total.lanes)
            emit.store(result, value, row * channels + channel + offset, total.lanes)

    block_width = GROUP * lanes
    if channels >= block_width:
        emit.over_blocks(channels, block_width, lambda channel: block(channel, (lanes,) * GROUP), parallel=True)
    else:
        block(0, lane_pieces(channels, lanes))
