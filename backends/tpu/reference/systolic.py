"""The array, multiplier by multiplier: data move one place a cycle, the activations right, weights and sums down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.opcodes import MmcFlag
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.reference.instruction import Instruction
from nascompiler.backends.tpu.reference.memory import Bytes, load, wrapped

Grid = NDArray[np.int64]


@dataclass(frozen=True)
class Pass:
    """One byte of one row of activations against one byte of the weights: what enters the array in a cycle."""

    instruction: Instruction
    row: int
    activation_byte: int
    weight_byte: int
    is_switch: bool


@dataclass(frozen=True)
class Tile:
    """Weights of the whole array, zero where unused, and their width in bytes."""

    weights: Grid
    width: int


def input_element(buffer: Bytes, instruction: Instruction, row: int, element: int, array: int) -> int:
    """Element `element` of a row of the systolic input; 0 beyond the sum."""
    r, flags = instruction.registers, instruction.flags
    k = instruction.lanes + element
    if element >= min(array, r[R.M_K] - instruction.lanes):
        return 0
    size = 2 if flags & MmcFlag.WIDE_ACTIVATIONS else 1
    kind = (0 if size == 1 else 2) + bool(flags & MmcFlag.UNSIGNED)
    if not flags & MmcFlag.CONVOLVE:
        return load(buffer, instruction.word + row * r[R.M_PIXEL_STRIDE] + k * size, kind)
    oy, ox = divmod(instruction.extension + row, r[R.M_GRID_WIDTH])
    image, oy = divmod(oy, r[R.M_GRID_HEIGHT])
    tap, channel = divmod(k, r[R.M_CHANNELS])
    ky, kx = divmod(tap, r[R.M_KERNEL_WIDTH])
    y = oy * r[R.M_STRIDE_Y] - r[R.M_PAD_TOP] + ky * r[R.M_DILATION_Y]
    x = ox * r[R.M_STRIDE_X] - r[R.M_PAD_LEFT] + kx * r[R.M_DILATION_X]
    if y not in range(r[R.M_HEIGHT]) or x not in range(r[R.M_WIDTH]):
        return r[R.M_PAD_VALUE]
    pixel = image * r[R.M_IMAGE_STRIDE] + y * r[R.M_ROW_STRIDE] + x * r[R.M_PIXEL_STRIDE]
    return load(buffer, instruction.word + pixel + channel * size, kind)


def byte_of(value: int, byte: int, width: int) -> int:
    """A byte of a number; the highest carries the sign."""
    return value >> 8 * byte if byte == width - 1 else value >> 8 * byte & 0xFF


class SystolicArray:
    """`step` is one cycle. Every place has an activation, a sum, a weight in use, a shadow weight, and a weight on its
    way down with the number of the row it is for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: dict[int, Pass] = {}
        self._activation = np.zeros((size, size), np.int64)
        self._sum = np.zeros((size, size), np.int64)
        self._weight = np.zeros((size, size), np.int64)
        self._width = np.ones((size, size), np.int64)
        self._shadow = np.zeros((size, size), np.int64)
        self._shadow_width = np.ones((size, size), np.int64)
        self._falling = np.zeros((size, size), np.int64)
        self._falling_width = np.ones((size, size), np.int64)
        self._falling_row = np.full((size, size), -1, np.int64)
        self._shifts: list[tuple[int, Tile]] = []

    def enter(self, cycle: int, entry: Pass) -> None:
        """Let a pass enter at the left edge of row 0; row k gets it k cycles later."""
        self._entries[cycle] = entry

    def shift_in(self, cycle: int, tile: Tile) -> None:
        """Begin to move a tile in from the top, its first row first; column c begins c cycles later."""
        self._shifts.append((cycle, tile))

    def step(self, cycle: int, buffer: Bytes, sums: NDArray[np.int32]) -> None:
        """One cycle of all places; sums leave at the bottom into the accumulators."""
        activation = np.roll(self._activation, 1, axis=1)
        above = np.roll(self._sum, 1, axis=0)
        above[0] = 0
        for k in range(self.size):
            entry = self._entries.get(cycle - k)
            activation[k, 0] = 0
            if entry is not None:
                wide = 2 if entry.instruction.flags & MmcFlag.WIDE_ACTIVATIONS else 1
                value = input_element(buffer, entry.instruction, entry.row, k, self.size)
                activation[k, 0] = byte_of(value, entry.activation_byte, wide)
        product = np.zeros_like(activation)
        for k in range(self.size):
            for c in range(self.size):
                entry = self._entries.get(cycle - k - c)
                if entry is None:
                    continue
                if entry.is_switch:
                    self._weight[k, c], self._width[k, c] = self._shadow[k, c], self._shadow_width[k, c]
                weight = byte_of(int(self._weight[k, c]), entry.weight_byte, int(self._width[k, c]))
                product[k, c] = int(activation[k, c]) * weight
        self._activation, self._sum = activation, above + product
        for c in range(self.size):
            leaving = self._entries.get(cycle - (self.size - 1) - c)
            if leaving is not None:
                self._accumulate(leaving, c, int(self._sum[-1, c]), sums)
        self._move_weights(cycle)
        self._entries.pop(cycle - 2 * self.size, None)

    def _accumulate(self, entry: Pass, column: int, value: int, sums: NDArray[np.int32]) -> None:
        target = entry.instruction.short + entry.row
        is_first = entry.activation_byte == entry.weight_byte == 0
        is_kept = entry.instruction.flags & MmcFlag.ACCUMULATE or not is_first
        before = int(sums[target, column]) if is_kept else 0
        sums[target, column] = wrapped(before + (value << 8 * (entry.activation_byte + entry.weight_byte)))

    def _move_weights(self, cycle: int) -> None:
        """Weights fall by one row; a place keeps the one that is for its row as its shadow."""
        self._falling = np.roll(self._falling, 1, axis=0)
        self._falling_width = np.roll(self._falling_width, 1, axis=0)
        self._falling_row = np.roll(self._falling_row, 1, axis=0)
        self._falling_row[0] = -1
        for begin, tile in self._shifts:
            for c in range(self.size):
                row, last_byte = divmod(cycle - begin - c, tile.width)
                if 0 <= row < self.size and last_byte == tile.width - 1:
                    self._falling[0, c], self._falling_row[0, c] = tile.weights[row, c], row
                    self._falling_width[0, c] = tile.width
        for k in range(self.size):
            for c in range(self.size):
                if self._falling_row[k, c] == k:
                    self._shadow[k, c] = self._falling[k, c]
                    self._shadow_width[k, c] = self._falling_width[k, c]
        self._shifts = self._shifts[-2:]
