"""Depthwise convolutions in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.kernels.depthwise import Depthwise, Row
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array, DType

CHUNKS = 8
"""Parts that threads share; few enough that a part is worth the hand-over."""

HALVED_FROM = 8
"""Rows from which threads share the halves of an image first, as they share the rows of the products around: what one
has written the other need not fetch, which took longer than a convolution of 14 x 14 pixels.
"""

MOST_COLUMNS, FEW_COLUMNS = 14, 8
"""Columns of a tile of one row, and of two: more only lengthen the code."""

ENOUGH_SUMS = 7
"""With fewer, multiply-adds wait for those before them."""

BAND, BLOCK = 8, 8
"""Rows and vectors of channels that are computed together, so that pixels are read again while they are near."""


@implements("cpu.depthwise_conv2d", "cpu.depthwise_conv2d_pooled", "cpu.rectified_depthwise_conv2d")
def depthwise(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Two shapes of tiles, each in three orders: rows outside first where an image leaves the second-level cache."""
    x, weight, _, *residual = call.operands
    window = Window.of_convolution(x, weight, call.results[0], dict(call.attributes))
    pooled = call.op == "cpu.depthwise_conv2d_pooled"
    lanes = min(target.isa.lanes, 1 << (window.channels.bit_length() - 1))
    vectors, height = -(-window.channels // lanes), window.output[0]
    streams = x.bytes // window.batch > target.host.l2_bytes * 6 // 10
    found = []
    for rows, row in _tiles(window, target, lanes):
        kernel = Depthwise(
            isa=target.isa,
            row=row,
            activation=(call["activation"], call["activation_parameters"]),
            residual=bool(residual),
            pooled=pooled,
            rectified=call.op == "cpu.rectified_depthwise_conv2d",
            rows=rows,
        )
        orders = {"blocks": (BAND, BLOCK), "channels outside": (height + height % rows, 1)}
        if not pooled:
            orders["rows outside"] = (rows, vectors)
        for order, (band, block) in reversed(orders.items()) if streams else orders.items():
            halves = 1 if pooled or height < HALVED_FROM else 2
            channel_parts = 1 if order == "rows outside" else min(-(-vectors // block), CHUNKS // halves)
            touched = order == "rows outside" and streams and _pays_to_touch(window, target, rows, row)
            row_parts = 1 if pooled else min(-(-CHUNKS // (channel_parts * window.batch)), height // rows)
            found.append(
                Implementation(
                    variant=f"tile {rows}x{row.columns}x{lanes}, {order}",
                    kernel=replace(kernel, touched=touched),
                    operands={"x": 0, **({"residual": 3} if residual else {})},
                    constants=_constants(row),
                    sizes={
                        "images": window.batch,
                        "height": window.size[0],
                        "width": window.size[1],
                        "channels": window.channels,
                        "result_height": height,
                        "result_width": window.output[1],
                        "padding_top": window.padding[0],
                        "row_parts": row_parts,
                        "channel_parts": channel_parts,
                        "band": band,
                        "block": block,
                    },
                    chunks=min(window.batch * row_parts * channel_parts, CHUNKS),
                    workspace=window.batch * vectors * lanes if pooled else 0,
                )
            )
    return found


def _tiles(window: Window, target: Target, lanes: int) -> list[tuple[int, Row]]:
    """Rows of a tile and the cut of rows into its columns: two rows and one, the better first.

    Two rows pay where they meet the same lines, and where hardly any row is computed twice.
    """
    height, (step, dilation) = window.output[0], (window.strides[0], window.dilation[0])
    found = [(1, _cut(window, target, lanes, 1))]
    if height > 1 and step < window.kernel[0] and dilation == 1:
        found.append((2, _cut(window, target, lanes, 2)))
        if height % 2 == 0 or height > BAND:
            found.reverse()
    return [(rows, row) for rows, row in found if row is not None]


def _pays_to_touch(window: Window, target: Target, rows: int, row: Row) -> bool:
    """Whether what a tile reads stays in the nearest cache between being touched and being read.

    All channels of neighbouring pixels are one piece of memory, but are read as many short ones. Processors of the host
    foresee that; the model of a core on ARM does not.
    """
    if target.isa.architecture != "aarch64":
        return False
    height = window.kernel[0] + (rows - 1) * window.strides[0]
    width = row.place(row.columns - 1, window.kernel[1] - 1) + 1
    return height * width * window.channels * DType.F32.bytes <= target.host.l1_data_bytes * 6 // 10


def _cut(window: Window, target: Target, lanes: int, rows: int) -> Row | None:
    """The best cut of rows, judged by the tiles they take and the columns they compute twice; None where none is."""
    outputs = window.output[1]
    most = min((target.isa.accumulators - (window.kernel[1] - 3)) // rows, MOST_COLUMNS if rows == 1 else FEW_COLUMNS)
    widths = range(1, max(1, min(most, outputs)) + 1)
    cuts = [row for columns in widths if (row := Row.of(window, columns, lanes)) is not None]
    if not cuts:
        return None
    return min(
        cuts, key=lambda row: (-(-outputs // row.columns) * (max(row.columns, ENOUGH_SUMS // rows) + 1), -row.columns)
    )


def _constants(row: Row) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    return lambda operands: {"weight": row.pack(operands[1], operands[2])}
