"""Depthwise convolutions in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.kernels.depthwise import Depthwise, Row
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array

CHUNKS = 8
"""Parts that threads share; few enough that a part is worth the hand-over."""

HALVED_FROM = 8
"""Rows from which threads share the halves of an image first, as they share the rows of the products around: what one
has written the other need not fetch, which took longer than a convolution of 14 x 14 pixels.
"""

MOST_COLUMNS, FEW_COLUMNS = 14, 8
"""Columns of a tile: more only lengthen the code; when a large image streams past, few wait less for memory."""

ENOUGH_COLUMNS = 7
"""With fewer, multiply-adds wait for those before them."""

BAND, BLOCK = 7, 4
"""Rows and vectors of channels that are computed together, so that pixels are read again while they are near."""

_DEFAULT_L2_BYTES = 1 << 20


@implements("cpu.depthwise_conv2d", "cpu.depthwise_conv2d_pooled", "cpu.rectified_depthwise_conv2d")
def depthwise(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Two widths of tiles, each in three orders: rows outside first where an image leaves the second-level cache."""
    x, weight, _, *residual = call.operands
    window = Window.of_convolution(x, weight, call.results[0], dict(call.attributes))
    pooled = call.op == "cpu.depthwise_conv2d_pooled"
    lanes = min(target.isa.lanes, 1 << (window.channels.bit_length() - 1))
    vectors, height = -(-window.channels // lanes), window.output[0]
    orders = {"blocks": (BAND, BLOCK), "channels outside": (height, 1), "rows outside": (1, vectors)}
    streams = x.bytes // window.batch > (target.host.l2_bytes or _DEFAULT_L2_BYTES) * 6 // 10
    if pooled:
        del orders["rows outside"]
    elif streams:
        orders = dict(reversed(orders.items()))
    found = []
    for row in _rows(window, target, lanes, FEW_COLUMNS if streams else MOST_COLUMNS):
        kernel = Depthwise(
            isa=target.isa,
            row=row,
            activation=(call["activation"], call["activation_parameters"]),
            residual=bool(residual),
            pooled=pooled,
            rectified=call.op == "cpu.rectified_depthwise_conv2d",
        )
        for order, (band, block) in orders.items():
            halves = 1 if pooled or height < HALVED_FROM else 2
            channel_parts = 1 if order == "rows outside" else min(-(-vectors // block), CHUNKS // halves)
            row_parts = 1 if pooled else min(-(-CHUNKS // (channel_parts * window.batch)), height)
            found.append(
                Implementation(
                    variant=f"tile {row.columns}x{lanes}, {order}",
                    kernel=kernel,
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


def _rows(window: Window, target: Target, lanes: int, most: int) -> list[Row]:
    """The two best cuts of rows, judged by the tiles they take and the columns they compute twice."""
    outputs = window.output[1]
    registers = target.isa.accumulators - (window.kernel[1] - 3)
    widths = range(1, max(1, min(most, registers, outputs)) + 1)
    rows = [row for columns in widths if (row := Row.of(window, columns, lanes)) is not None]
    return sorted(rows, key=lambda row: -(-outputs // row.columns) * (max(row.columns, ENOUGH_COLUMNS) + 1))[:2]


def _constants(row: Row) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    return lambda operands: {"weight": row.pack(operands[1], operands[2])}
