"""Depthwise convolutions of 8-bit images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.quantized_product import BYTES, offsets
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.requantization import (
    for_bounded_sums,
    requantization,
    requantization_constants,
    requantization_sizes,
)
from nascompiler.backends.kernels.depthwise_int8 import QUAD, DepthwiseInt8, has_quads, sign_shift, wide_channels
from nascompiler.backends.target import Isa, Target
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.types import Array, DType

STAGEBYTES = 16 << 10
"""What is staged at a time: it shares the nearest cache with weights and rows of the image."""

CHUNKS = 8


@implements("qnn.conv2d")
def depthwise(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Staged rows: quads of bytes where the processor sums their products, otherwise float32."""
    if not _is_depthwise(call):
        return ()
    x, weight = call.operands[:2]
    batch, height, width, channels = x.static_shape
    kernel_height, kernel_width = weight.static_shape[:2]
    _, out_height, out_width, _ = call.result.static_shape
    isa = target.isa
    bands = _Bands.of(isa, kernel_height, call["strides"][0], call["dilation"][0], out_height)
    blocks = _Blocks.of(isa, channels)
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
            "batch": batch,
            "height": height,
            "width": width,
            "channels": channels,
            "out_height": out_height,
            "out_width": out_width,
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
    is_depthwise = (per_group, features) == (1, call["groups"]) and call.result.size > 0
    types = x.dtype in BYTES and call["dtype"] in BYTES and weight.dtype is DType.I8 and not call["weight_zero_point"]
    exact = kernel_height * kernel_width * 255 * 128 < arithmetic.EXACT_IN_FLOAT32
    return is_depthwise and types and exact and call.constants == tuple(range(1, len(call.operands)))


@dataclass(frozen=True)
class _Bands:
    """Rows of the result that are computed from one stage, the groups of kernel rows, and the groups staged."""

    rows: int
    groups: int
    staged_rows: int
    kernel_height: int
    stride: int

    @classmethod
    def of(cls, isa: Isa, kernel_height: int, stride: int, dilation: int, out_height: int) -> _Bands:
        if not has_quads(isa):
            rows = min(2, out_height) if dilation == 1 else 1
            return cls(rows, kernel_height, (rows - 1) * stride + kernel_height, kernel_height, stride)
        groups = -(-kernel_height // QUAD)
        rows = (groups * QUAD - kernel_height) // stride + 1 if dilation == 1 else 1
        return cls(min(rows, out_height), groups, groups, kernel_height, stride)

    def quads(self, weight: Array) -> Array:
        """Weights [kh, kw, lanes] as quads [row of the band, group, kw, lanes, 4], shifted for each row."""
        kernel_width, lanes = weight.shape[1:]
        made = np.zeros((self.rows, self.groups * QUAD, kernel_width, lanes), np.int8)
        for row in range(self.rows):
            made[row, row * self.stride : row * self.stride + self.kernel_height] = weight
        return made.reshape(self.rows, self.groups, QUAD, kernel_width, lanes).transpose(0, 1, 3, 4, 2)


@dataclass(frozen=True)
class _Blocks:
    """The channels of every block, in the order of its lanes; -1 where there is none."""

    wide: int
    narrow: int
    channels: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, isa: Isa, channels: int) -> _Blocks:
        lanes = isa.lanes
        width = QUAD * lanes if has_quads(isa) and channels >= QUAD * lanes else 0
        wide, rest = divmod(channels, width) if width else (0, channels)
        if width and rest > lanes:
            wide, rest = wide + 1, 0
        narrow = -(-rest // lanes)
        if channels < lanes:
            return cls(0, 1, ((*range(channels), *[-1] * (lanes - channels)),))
        starts = [min(i * width, channels - width) for i in range(wide)]
        made = [tuple(start + c for c in wide_channels(lanes)) for start in starts]
        starts = [min(wide * width + i * lanes, channels - lanes) for i in range(narrow)]
        return cls(wide, narrow, (*made, *(tuple(range(start, start + lanes)) for start in starts)))

    def pick(self, array: Array) -> list[Array]:
        """The last axis of an array for each block; zero where there is no channel."""
        padded = np.concatenate([array, np.zeros((*array.shape[:-1], 1), array.dtype)], axis=-1)
        return [padded[..., list(block)] for block in self.channels]


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
    call: KernelCall, isa: Isa, blocks: _Blocks, bands: _Bands, sign: int
) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
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


def _lanes(isa: Isa, bands: _Bands, weight: Array) -> Array:
    """Weights [kh, kw, lanes] of a block as the kernel reads them."""
    if has_quads(isa):
        return np.ascontiguousarray(bands.quads(weight)).view(np.int32)
    return weight.astype(np.float32)
