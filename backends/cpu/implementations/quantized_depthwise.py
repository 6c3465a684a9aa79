"""Depthwise convolutions of 8-bit images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nascompiler.backends.cpu.depthwise_cuts import Bands, Blocks
from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.quantized_product import BYTES, offsets
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.requantization import (
    for_bounded_sums,
    requantization,
    requantization_constants,
    requantization_sizes,
)
from nascompiler.backends.cpu.tiling import image_sizes
from nascompiler.backends.kernels.depthwise_int8 import QUAD, DepthwiseInt8, has_quads, sign_shift
from nascompiler.backends.kernels.depthwise_quads import DepthwiseQuads
from nascompiler.backends.target import Isa, Target
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.types import Array, DType

STAGEBYTES = 16 << 10
"""What is staged at a time: it shares the nearest cache with weights and rows of the image."""

CHUNKS = 8

MOST_COLUMNS = 4
"""Columns of a window whose quads stay in registers."""

MOST_PIXELS = 8
"""More columns in a tile of them only lengthen the code."""


@implements("qnn.conv2d")
def depthwise_quads(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Quads of four rows, woven and summed in registers."""
    isa = target.isa
    if "dotprod" not in isa.dots or not _is_depthwise(call) or call["dtype"].bytes != 1:
        return ()
    x, weight = call.operands[:2]
    batch, _, _, channels = x.static_shape
    kernel_height, kernel_width = weight.static_shape[:2]
    _, out_height, out_width, _ = call.result.static_shape
    block = QUAD * isa.lanes
    fits = kernel_height <= QUAD and kernel_width <= MOST_COLUMNS and channels >= block
    if not fits or call["dilation"] != (1, 1):
        return ()
    stride_y, stride_x = call["strides"]
    bands = Bands.of(isa, kernel_height, stride_y, 1, out_height)
    blocks = Blocks.overlapping(channels, block)
    sign = sign_shift(isa, x.dtype)
    pixels = _pixels_of_quads(out_width, bands.rows, kernel_width, stride_x)
    pack = _constants(call, isa, blocks, bands, sign)
    made = Implementation(
        variant=f"quads, {bands.rows}x{pixels} pixels",
        kernel=DepthwiseQuads(
            isa=isa,
            x_dtype=x.dtype,
            requantization=requantization(call),
            pixels=pixels,
            band=bands.rows,
            rows=(bands.rows - 1) * stride_y + kernel_height,
            kernel_width=kernel_width,
            stride_x=stride_x,
        ),
        operands={"x": 0},
        constants=lambda operands: {
            "padding": np.full(block, call["x_zero_point"], x.dtype.numpy),
            **pack(operands),
        },
        sizes={
            **image_sizes(x, call.result),
            "stride_y": stride_y,
            "padding_y": call["padding"][0],
            "padding_x": call["padding"][1],
            "blocks": blocks.wide,
            **requantization_sizes(call),
        },
        chunks=min(batch * -(-out_height // bands.rows), CHUNKS),
    )
    return [for_bounded_sums(made, call)]


@implements("qnn.conv2d")
def depthwise(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Staged rows: quads of bytes where the processor sums their products, otherwise float32."""
    if not _is_depthwise(call):
        return ()
    x, weight = call.operands[:2]
    batch, _, _, channels = x.static_shape
    kernel_height, kernel_width = weight.static_shape[:2]
    _, out_height, out_width, _ = call.result.static_shape
    isa = target.isa
    bands = Bands.of(isa, kernel_height, call["strides"][0], call["dilation"][0], out_height)
    blocks = Blocks.of(isa, channels)
    pixels = _pixels(out_width, isa)
    element = (QUAD if blocks.wide else 1) * isa.lanes * 4
    tile = _tile(out_width, call["strides"][1], kernel_width, call["dilation"][1], element * bands.staged_rows, pixels)
    staged_width = (tile - 1) * call["strides"][1] + (kernel_width - 1) * call["dilation"][1] + 1
    share = staged_width * bands.staged_rows * element // 4
    count = -(-out_height // bands.rows)
    sign = sign_shift(isa, x.dtype)
    kernel = DepthwiseInt8(
        isa=isa,
        x_dtype=x.dtype,
        requantization=requantization(call),
        pixels=pixels,
        few=channels if channels < isa.lanes else 0,
    )
    found = []
    for run, order in ((1, "rows"), (max(count // CHUNKS, 2), "channels")):
        chunks = min(batch * -(-count // run), CHUNKS)
        sizes = {
            **image_sizes(x, call.result),
            "kernel_width": kernel_width,
            "stride_y": call["strides"][0],
            "stride_x": call["strides"][1],
            "padding_y": call["padding"][0],
            "padding_x": call["padding"][1],
            "dilation_y": call["dilation"][0],
            "dilation_x": call["dilation"][1],
            "groups": bands.groups,
            "staged_rows": bands.staged_rows,
            "band": bands.rows,
            "tile": tile,
            "run": run,
            "wide": blocks.wide,
            "narrow": blocks.narrow,
            "share": share,
            "fill": (call["x_zero_point"] + sign) % 256 * 0x01010101,
            **requantization_sizes(call),
        }
        made = Implementation(
            variant=f"bands of {bands.rows} rows, {order} outside",
            kernel=kernel,
            operands={"x": 0},
            constants=_constants(call, isa, blocks, bands, sign),
            sizes=sizes,
            chunks=chunks,
            workspace=share * chunks,
        )
        found.append(for_bounded_sums(made, call) if has_quads(isa) else made)
    return found


def _is_depthwise(call: KernelCall) -> bool:
    """Whether each channel of bytes is convolved by itself, by constant symmetric weights."""
    x, weight = call.operands[:2]
    kernel_height, kernel_width, per_group, features = weight.static_shape
    by_channel = (per_group, features) == (1, call["groups"]) and call.result.size > 0
    types = x.dtype in BYTES and call["dtype"] in BYTES and weight.dtype is DType.I8 and not call["weight_zero_point"]
    exact = kernel_height * kernel_width * 255 * 128 < arithmetic.EXACT_IN_FLOAT32
    return by_channel and types and exact and call.constants == tuple(range(1, len(call.operands)))


def _pixels_of_quads(out_width: int, band: int, kernel_width: int, stride: int) -> int:
    """Columns of a tile with the least work for a row: a column takes 8 instructions, a pixel its sums and 18 more."""

    def work(pixels: int) -> int:
        columns = (pixels - 1) * stride + kernel_width
        return -(-out_width // pixels) * (8 * columns + pixels * band * (QUAD * kernel_width + 18))

    return min(range(min(out_width, MOST_PIXELS), 0, -1), key=work)


def _pixels(out_width: int, isa: Isa) -> int:
    """Columns of a register tile; results of four are stored together where there are quads."""
    if has_quads(isa) and out_width >= QUAD:
        return QUAD if out_width < 2 * QUAD else 2 * QUAD
    return min(out_width, 7)


def _tile(out_width: int, stride: int, kernel_width: int, dilation: int, bytes: int, pixels: int) -> int:
    """How many columns are staged together, if one takes so many bytes."""
    most = (STAGEBYTES // bytes - (kernel_width - 1) * dilation - 1) // stride + 1
    count = -(-out_width // max(most, pixels))
    return max(-(-out_width // count), pixels)


def _constants(
    call: KernelCall, isa: Isa, blocks: Blocks, bands: Bands, sign: int
) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    """What packs the operands of a call, for blocks of channels and bands of rows."""

    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        weight = np.asarray(operands[1])[:, :, 0, :]
        bias = operands.get(3, np.zeros(weight.shape[-1], np.int32))
        offset = offsets(weight.reshape(-1, weight.shape[-1]), bias, call["x_zero_point"] + sign)
        made = requantization_constants(call, call["x_scale"], operands[2])
        packed = [_lanes(isa, bands, block) for block in blocks.pick(weight)]
        return {
            **made,
            "weight": np.concatenate([block.reshape(-1) for block in packed]),
            "offset": np.concatenate(blocks.pick(offset)),
            "scale": np.concatenate(blocks.pick(made["scale"])),
        }

    return pack


def _lanes(isa: Isa, bands: Bands, weight: Array) -> Array:
    """Weights [kh, kw, lanes] of a block as the kernel reads them."""
    if has_quads(isa):
        return np.ascontiguousarray(bands.quads(weight)).view(np.int32)
    return weight.astype(np.float32)
