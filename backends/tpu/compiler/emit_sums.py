"""Instructions for sums: weight tiles, products, and the activation of what they add up to."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.compiler.constants import (
    ELEMENT_TYPES,
    Finish,
    bias_of,
    finish_of,
    multipliers_of,
    weights_of,
)
from nascompiler.backends.tpu.compiler.emission import MOST_ROWS, Emitter, Slice, lane_blocks, table_bytes, table_image
from nascompiler.backends.tpu.compiler.mapping import (
    PARAMETER_BYTES,
    Block,
    Mapping,
    Shape,
    Tiling,
    block_matrix,
    tiling,
    useful_weights,
)
from nascompiler.backends.tpu.compiler.memory import Bytes, aligned
from nascompiler.backends.tpu.compiler.work import SumWork, Window
from nascompiler.backends.tpu.isa import ActFlag, MmcFlag, RdwFlag
from nascompiler.backends.tpu.isa.opcodes import PARTIAL_TILES

PIECE = 512
"""Accumulator rows that one instruction fills: what is drained behind it is free again that soon."""


class SumConstants:
    """The constants of a step, worked out when a value of them is wanted."""

    def __init__(self, work: SumWork, mapping: Mapping, side: int) -> None:
        self.work, self.mapping, self.side = work, mapping, side
        self.shape = Shape.of(work)
        self._weights: NDArray[np.int8] | None = None

    @property
    def weights(self) -> NDArray[np.int8]:
        if self._weights is None:
            self._weights = weights_of(self.work)
        return self._weights

    def lanes(self) -> Bytes:
        """Bias and multiplier of every lane, block after block."""
        features = np.zeros(self.work.write.geometry.channels, np.dtype([("bias", "<i4"), ("multiplier", "<f4")]))
        features["bias"] = bias_of(self.work, self.weights)
        features["multiplier"] = multipliers_of(self.work)
        if not self.mapping.vector:
            patch = self.mapping.patch[0] * self.mapping.patch[1]
            if patch > 1:
                blocks = tiling(self.shape, self.mapping).blocks
                parts = [np.tile(features[b.first_feature : b.first_feature + b.features], patch) for b in blocks]
                features = np.concatenate(parts)
        return features.view(np.uint8).reshape(-1)

    def parameters(self) -> Bytes:
        """All that goes into parameter memory: lanes, the weights of the vector unit, the table."""
        parts = [self.lanes()]
        if self.mapping.vector:
            taps = self.weights.reshape(self.shape.window.taps, -1).view(np.uint8)
            blocks = lane_blocks(taps.shape[1], self.side)
            parts += [np.ascontiguousarray(taps[:, first : first + lanes]).reshape(-1) for first, lanes in blocks]
        if self.work.lookup is not None:
            parts = [_padded(np.concatenate(parts)), table_image(self.work.lookup)]
        return np.concatenate(parts)

    def tile(self, block: Block, first: int, rows: int, *, packed: bool) -> Bytes:
        """A weight tile: `rows` of a block's rows from `first` on."""
        part = block_matrix(self.shape, self.mapping, block, self.weights)[first : first + rows]
        if packed:
            return np.ascontiguousarray(part).view(np.uint8).reshape(-1)
        whole = np.zeros((self.side, self.side), np.int8)
        whole[:rows, : part.shape[1]] = part
        return whole.view(np.uint8).reshape(-1)


def _padded(piece: Bytes) -> Bytes:
    return np.concatenate([piece, np.zeros(aligned(piece.size) - piece.size, np.uint8)])


def emit_sum(emitter: Emitter, work: SumWork, mapping: Mapping, part: Slice) -> None:
    """A convolution or a matrix product, by the mapping given."""
    constants = SumConstants(work, mapping, emitter.machine.array)
    shape = constants.shape
    made = None if mapping.vector else tiling(shape, mapping)
    lanes = work.write.geometry.channels if made is None else sum(made.columns(block) for block in made.blocks)
    front = lanes * PARAMETER_BYTES + (shape.window.taps * lanes if mapping.vector else 0)
    table = aligned(front)
    size = table + table_bytes(work.lookup) if work.lookup is not None else front
    dram = emitter.weights.place((work, mapping, "parameters"), size, constants.parameters)
    address = emitter.load_parameters(dram, size, work.label)
    finish = finish_of(work.node, work.lookup)
    emitter.configure_finish(finish)
    emitter.builder.configure(A_TABLE=address + table if work.lookup is not None else 0)
    if made is None:
        _emit_vector(emitter, work, address, lanes, part)
    else:
        _Sum(emitter, work, mapping, made, constants, address, finish, part).emit()


def _emit_vector(emitter: Emitter, work: SumWork, parameters: int, lanes: int, part: Slice) -> None:
    """A depthwise convolution on the activation unit."""
    x, write = work.reads[0], work.write
    emitter.configure_source(x, work.window)
    emitter.builder.configure(
        A_SOURCE_TYPE=ELEMENT_TYPES[x.dtype],
        A_SOURCE_ZERO_POINT=work.node["x_zero_point"],
        A_OUT_STRIDE=write.even_stride,
        A_GRID_WIDTH=write.geometry.width,
        A_GRID_HEIGHT=write.geometry.height,
    )
    flags = ActFlag.TABLE if work.lookup is not None else 0
    total = emitter.images(write, part) * write.geometry.pixels
    weights = parameters + lanes * PARAMETER_BYTES
    for channel, count in lane_blocks(lanes, emitter.machine.array):
        emitter.builder.configure(
            A_PARAMETERS=parameters + channel * PARAMETER_BYTES,
            A_WEIGHTS=weights + channel * work.window.taps,
            A_SOURCE=emitter.base(x, part) + channel * x.element,
        )
        place = emitter.base(write, part) + channel * write.element
        for first in range(0, total, MOST_ROWS):
            rows = min(MOST_ROWS, total - first)
            emitter.builder.depthwise(place + first * write.even_stride, rows, count, flags=flags, position=first)


class _Sum:
    """Emits one layer on the array."""

    def __init__(
        self,
        emitter: Emitter,
        work: SumWork,
        mapping: Mapping,
        made: Tiling,
        constants: SumConstants,
        parameters: int,
        finish: Finish,
        part: Slice,
    ) -> None:
        self.emitter, self.builder = emitter, emitter.builder
        self.work, self.mapping, self.made, self.constants = work, mapping, made, constants
        self.parameters, self.finish, self.part = parameters, finish, part
        self.x, self.write = work.reads[0], work.write
        self.scatter = mapping.patch != (1, 1)
        plain = made.window == Window() and self.x.is_even
        self.convolve = not plain
        self.positions = emitter.images(self.write, part) * made.grid[0] * made.grid[1]
        self.flags = self._flags()
        computed = made.grid[0] * made.grid[1] * mapping.patch[0] * mapping.patch[1]
        self.inside = Fraction(self.write.geometry.pixels, computed)
        """The part of the patches' pixels that belongs to the image; the rest is computed and thrown away."""
        self.packed = PARTIAL_TILES in emitter.machine.extensions

    def emit(self) -> None:
        self._configure()
        side = self.mapping.side
        if all(self.made.rows(block) <= side for block in self.made.blocks):
            self._emit_resident()
        else:
            self._emit_refetched()

    def _flags(self) -> int:
        flags = 0 if self.x.dtype.is_signed else int(MmcFlag.UNSIGNED)
        flags |= MmcFlag.WIDE_ACTIVATIONS if self.x.element == 2 else 0
        return flags | (MmcFlag.CONVOLVE if self.convolve else 0)

    def _configure(self) -> None:
        x, window, g = self.x, self.made.window, self.x.geometry
        if self.convolve:
            self.builder.configure(
                M_PIXEL_STRIDE=x.pixel_stride,
                M_CHANNELS=self.made.blocks[0].channels,
                M_KERNEL_WIDTH=window.kernel[1],
                M_GRID_WIDTH=self.made.grid[1],
                M_GRID_HEIGHT=self.made.grid[0],
                M_STRIDE_Y=window.strides[0],
                M_STRIDE_X=window.strides[1],
                M_PAD_TOP=window.top,
                M_PAD_LEFT=window.left,
                M_DILATION_Y=window.dilation[0],
                M_DILATION_X=window.dilation[1],
                M_HEIGHT=g.height,
                M_WIDTH=g.width,
                M_ROW_STRIDE=x.row_stride,
                M_IMAGE_STRIDE=x.image_stride,
                M_PAD_VALUE=self.work.node["x_zero_point"],
            )
        else:
            self.builder.configure(M_PIXEL_STRIDE=x.even_stride)
        out = self.write
        if self.scatter:
            self.builder.configure(
                A_OUT_STRIDE=out.pixel_stride,
                A_GRID_WIDTH=self.made.grid[1],
                A_GRID_HEIGHT=self.made.grid[0],
                A_PATCH_WIDTH=self.mapping.patch[1],
                A_PATCH_STRIDE_Y=self.mapping.patch[0],
                A_PATCH_STRIDE_X=self.mapping.patch[1],
                A_OUT_HEIGHT=out.geometry.height,
                A_OUT_WIDTH=out.geometry.width,
                A_OUT_ROW_STRIDE=out.row_stride,
                A_OUT_IMAGE_STRIDE=out.image_stride,
            )
        else:
            self.builder.configure(A_OUT_STRIDE=out.even_stride)

    def _emit_resident(self) -> None:
        """Every block has one tile, which stays in the array for all positions."""
        lane = 0
        for block in self.made.blocks:
            self._begin(block)
            self._fetch(block, 0)
            for number, (first, rows, place) in enumerate(self._pieces(0, self.positions)):
                self._multiply(block, 0, first, rows, place, new=number == 0, accumulate=False)
                self._activate(block, lane, first, rows, place)
            lane += self.made.columns(block)

    def _emit_refetched(self) -> None:
        """Tiles come one after the other for as many positions as there are accumulators, then again for the next."""
        most = self.emitter.accumulators
        chunks = -(-self.positions // most)
        size = -(-self.positions // chunks)
        for start in range(0, self.positions, size):
            end = min(start + size, self.positions)
            lane = 0
            for block in self.made.blocks:
                self._begin(block)
                pieces = self._pieces(start, end)
                tiles = range(0, self.made.rows(block), self.mapping.side)
                for number, first_row in enumerate(tiles):
                    self._fetch(block, first_row)
                    for index, (first, rows, place) in enumerate(pieces):
                        self._multiply(block, first_row, first, rows, place, new=index == 0, accumulate=number > 0)
                for first, rows, place in pieces:
                    self._activate(block, lane, first, rows, place)
                lane += self.made.columns(block)

    def _begin(self, block: Block) -> None:
        self.builder.configure(M_K=self.made.rows(block))
        if self.convolve:
            self.builder.configure(M_CHANNELS=block.channels)

    def _pieces(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """First position, rows and accumulator row of each piece; rows that come round again begin a piece."""
        most = self.emitter.accumulators
        found = []
        while start < end:
            place = self.emitter.accumulator
            rows = min(PIECE, end - start, most - place)
            found.append((start, rows, place))
            self.emitter.accumulator = (place + rows) % most
            start += rows
        return found

    def _fetch(self, block: Block, first_row: int) -> None:
        rows = min(self.mapping.side, self.made.rows(block) - first_row)
        columns = self.made.columns(block)
        size = rows * columns if self.packed else self.emitter.machine.tile_bytes
        key = (self.work, self.mapping, block, first_row)
        make = partial(self.constants.tile, block, first_row, rows, packed=self.packed)
        dram = self.emitter.weights.place(key, size, make)
        useful = useful_weights(self.constants.shape, self.mapping, block, first_row, rows) * self.inside
        flags = RdwFlag.PARTIAL if self.packed else 0
        self.builder.read_weights(dram, rows=rows, columns=columns, useful=round(useful), flags=flags)

    def _multiply(
        self, block: Block, first_row: int, first: int, rows: int, place: int, *, new: bool, accumulate: bool
    ) -> None:
        flags = self.flags | (MmcFlag.NEW_TILE if new else 0) | (MmcFlag.ACCUMULATE if accumulate else 0)
        base = self.emitter.base(self.x, self.part) + block.first_channel * self.x.element
        if self.convolve:
            self.builder.multiply(place, base, rows, flags=flags, first_element=first_row, position=first)
        else:
            base += first * self.x.even_stride
            self.builder.multiply(place, base, rows, flags=flags, first_element=first_row)

    def _activate(self, block: Block, lane: int, first: int, rows: int, place: int) -> None:
        self.builder.configure(A_PARAMETERS=self.parameters + lane * PARAMETER_BYTES)
        flags = ActFlag.TABLE if self.finish.table is not None else 0
        base = self.emitter.base(self.write, self.part) + block.first_feature * self.write.element
        if self.scatter:
            self.builder.configure(A_PATCH_CHANNELS=block.features)
            flags |= ActFlag.SCATTER
            self.builder.activate(place, base, rows, self.made.columns(block), flags=flags, position=first)
        else:
            base += first * self.write.even_stride
            self.builder.activate(place, base, rows, self.made.columns(block), flags=flags)
