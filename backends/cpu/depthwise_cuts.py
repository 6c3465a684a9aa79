"""How depthwise convolutions of 8-bit images are cut: rows into bands, channels into blocks, weights into quads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nascompiler.backends.kernels.depthwise_int8 import QUAD, has_quads, wide_channels
from nascompiler.backends.target import Isa
from nascompiler.ir.types import Array


@dataclass(frozen=True)
class Bands:
    """Rows of the result that are computed from one stage, the groups of kernel rows, and the groups staged."""

    rows: int
    groups: int
    staged_rows: int
    kernel_height: int
    stride: int

    @classmethod
    def of(cls, isa: Isa, kernel_height: int, stride: int, dilation: int, out_height: int) -> Bands:
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
class Blocks:
    """The channels of every block, in the order of its lanes; -1 where there is none."""

    wide: int
    narrow: int
    channels: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, isa: Isa, channels: int) -> Blocks:
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

    @classmethod
    def overlapping(cls, channels: int, width: int) -> Blocks:
        """Wide blocks only, the last of which overlaps; `width` channels at least."""
        starts = [min(start, channels - width) for start in range(0, channels, width)]
        made = tuple(tuple(start + c for c in wide_channels(width // QUAD)) for start in starts)
        return cls(len(starts), 0, made)

    def pick(self, array: Array) -> list[Array]:
        """The last axis of an array for each block; zero where there is no channel."""
        padded = np.concatenate([array, np.zeros((*array.shape[:-1], 1), array.dtype)], axis=-1)
        return [padded[..., list(block)] for block in self.channels]
