"""Instructions for sums: weight tiles, products, and the activation of what they add up to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.compiler.constants import (
    ELEMENT_TYPES,
    Finish,
    Weights,
    bias_of,
    finish_of,
    multipliers_of,
    weights_of,
)
from nascompiler.backends.tpu.compiler.emission import MOST_ROWS, Emitter, Slice, lane_blocks, table_bytes, table_image
from nascompiler.backends.tpu.compiler.mapping import PARAMETER_BYTES, Mapping, Shape, Tiling, block_matrix, tiling
from nascompiler.backends.tpu.compiler.memory import Bytes, aligned
from nascompiler.backends.tpu.compiler.sum_records import PIECE, STATE, TileTable, tile_table, write_sum
from nascompiler.backends.tpu.compiler.tensors import View
from nascompiler.backends.tpu.compiler.work import SumWork, Window
from nascompiler.backends.tpu.isa import ActFlag, MmcFlag, RdwFlag
from nascompiler.backends.tpu.isa.opcodes import PARTIAL_TILES


class SumConstants:
    """The constants of a step, worked out when a value of them is wanted."""

    def __init__(self, work: SumWork, mapping: Mapping, side: int) -> None:
        self.work, self.mapping, self.side = work, mapping, side
        self.shape = Shape.of(work)
        self._weights: Weights | None = None

    @property
    def weights(self) -> Weights:
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

    def tiles(self, table: TileTable, *, packed: bool) -> Bytes:
        """All weight tiles as they stand in weight memory."""
        image = np.zeros(table.bytes, np.uint8)
        number = 0
        for block in tiling(self.shape, self.mapping).blocks:
            matrix = block_matrix(self.shape, self.mapping, block, self.weights)
            for first in range(0, len(matrix), self.mapping.side):
                _, rows, offset = table.tiles[number]
                part = matrix[first : first + rows]
                if not packed:
                    whole = np.zeros((self.side, self.side), part.dtype)
                    whole[:rows, : part.shape[1]] = part
                    part = whole
                tile = np.ascontiguousarray(part).view(np.uint8).reshape(-1)
                image[offset : offset + tile.size] = tile
                number += 1
        return image


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
        image = (self.x.geometry.height, self.x.geometry.width)  # less than the grid where it is padded at its end
        plain = made.window == Window() and made.grid == image and self.x.is_even
        self.convolve = not plain
        self.positions = emitter.images(self.write, part) * made.grid[0] * made.grid[1]
        self.flags = self._flags()
        self.packed = PARTIAL_TILES in emitter.machine.extensions

    def emit(self) -> None:
        self._configure()
        machine, shape, emitter = self.emitter.machine, self.constants.shape, self.emitter
        wide = shape.weight_element
        table = tile_table(shape, self.mapping, 0 if self.packed else machine.tile_bytes * wide)
        dram = emitter.weights.place(
            (self.work, self.mapping, "tiles"), table.bytes, lambda: self.constants.tiles(table, packed=self.packed)
        )
        fetch_flags = (RdwFlag.PARTIAL if self.packed else 0) | (RdwFlag.WIDE if wide == 2 else 0)
        act_flags = (ActFlag.TABLE if self.finish.table is not None else 0) | (ActFlag.SCATTER if self.scatter else 0)
        most = emitter.accumulators
        chunk = self.positions if table.resident else min(self.positions, most)
        pieces = chunk // PIECE + chunk // most + 3
        records = len(table.blocks) * (2 + 3 * pieces) + len(table.tiles) * (1 + pieces)
        rows = np.empty((records * -(-self.positions // chunk), 7), np.int64)
        state = np.array([*self.builder.registers(STATE), emitter.accumulator], np.int64)
        count = write_sum(
            table.blocks,
            table.tiles,
            state,
            np.empty((pieces, 3), np.int64),
            rows,
            self.mapping.side,
            self.positions,
            most,
            int(fetch_flags),
            dram,
            self.flags,
            self._place(self.x),
            int(act_flags),
            self._place(self.write),
            self.parameters,
        )
        *registers, emitter.accumulator = state.tolist()
        self.builder.extend(rows[:count], dict(zip(STATE, registers, strict=True)))

    def _place(self, view: View) -> NDArray[np.int64]:
        """Address, bytes between pixels where all are equally far apart, and bytes of an element."""
        stride = view.even_stride if view.is_even else 0
        return np.array([self.emitter.base(view, self.part), stride, view.element], np.int64)

    def _flags(self) -> int:
        flags = 0 if self.x.dtype.is_signed else int(MmcFlag.UNSIGNED)
        flags |= int(MmcFlag.WIDE_ACTIVATIONS) if self.x.element == 2 else 0
        flags |= int(MmcFlag.WIDE_WEIGHTS) if self.constants.shape.weight_element == 2 else 0
        return flags | (int(MmcFlag.CONVOLVE) if self.convolve else 0)

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
