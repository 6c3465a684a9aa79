"""What the matrix unit computes: rows of the systolic input gathered, multiplied by the tile, added up.

Sums of up to 512 products of bytes are exact in float32, in any order, so BLAS makes them; 16-bit ones in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa import table as t
from nascompiler.backends.tpu.isa.opcodes import MmcFlag, RdwFlag
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.kernel import kernel
from nascompiler.backends.tpu.simulator.elements import Bytes

Reals = NDArray[Any]
Integers = NDArray[np.int64]

CHUNK_ROWS = 512
"""Rows multiplied at a time: input, tile and sums then stay in a processor's second-level cache."""

_ACCUMULATE, _CONVOLVE = int(MmcFlag.ACCUMULATE), int(MmcFlag.CONVOLVE)
_UNSIGNED, _WIDE_ACTIVATIONS = int(MmcFlag.UNSIGNED), int(MmcFlag.WIDE_ACTIVATIONS)
_PARTIAL, _WIDE = int(RdwFlag.PARTIAL), int(RdwFlag.WIDE)


@kernel
def load_tile(weights: Bytes, tile: Integers, array: int, out: Reals) -> None:
    """A tile (address, rows, columns, flags) as numbers, its used part packed into `out`."""
    address, rows, columns = tile[0], tile[1], tile[2]
    pitch = columns if tile[3] & _PARTIAL else array
    for k in range(rows):
        for m in range(columns):
            place = address + k * pitch + m
            if tile[3] & _WIDE:
                place += k * pitch + m
                out[k * columns + m] = np.int16(np.int32(weights[place]) | np.int32(weights[place + 1]) << 8)
            else:
                out[k * columns + m] = np.int8(weights[place])


@kernel
def _copy(buffer: Bytes, address: int, count: int, flags: int, out: Reals, place: int) -> None:
    if flags & _WIDE_ACTIVATIONS:
        for c in range(count):
            value = np.int32(buffer[address + 2 * c]) | np.int32(buffer[address + 2 * c + 1]) << 8
            out[place + c] = value if flags & _UNSIGNED else np.int16(value)
    elif flags & _UNSIGNED:
        for c in range(count):
            out[place + c] = buffer[address + c]
    else:
        for c in range(count):
            out[place + c] = np.int8(buffer[address + c])


@kernel
def gather(row: Integers, r: Integers, first_row: int, rows: int, elements: int, buffer: Bytes, out: Reals) -> None:
    """Rows `first_row ... first_row + rows - 1` of the systolic input of an MMC, `elements` long, packed into `out`."""
    flags, first = row[t.FLAGS], row[t.LANES]
    size = 2 if flags & _WIDE_ACTIVATIONS else 1
    if not flags & _CONVOLVE:
        for i in range(rows):
            address = row[t.WORD] + (first_row + i) * r[R.M_PIXEL_STRIDE] + first * size
            _copy(buffer, address, elements, flags, out, i * elements)
        return
    width, height, channels = r[R.M_GRID_WIDTH], r[R.M_GRID_HEIGHT], r[R.M_CHANNELS]
    for i in range(rows):
        position = row[t.EXTENSION] + first_row + i
        image = row[t.WORD] + position // (height * width) * r[R.M_IMAGE_STRIDE]
        top = position // width % height * r[R.M_STRIDE_Y] - r[R.M_PAD_TOP]
        left = position % width * r[R.M_STRIDE_X] - r[R.M_PAD_LEFT]
        k = 0
        while k < elements:
            tap, c = (first + k) // channels, (first + k) % channels
            run = min(channels - c, elements - k)
            y = top + tap // r[R.M_KERNEL_WIDTH] * r[R.M_DILATION_Y]
            x = left + tap % r[R.M_KERNEL_WIDTH] * r[R.M_DILATION_X]
            place = i * elements + k
            if 0 <= y < r[R.M_HEIGHT] and 0 <= x < r[R.M_WIDTH]:
                address = image + y * r[R.M_ROW_STRIDE] + x * r[R.M_PIXEL_STRIDE] + c * size
                _copy(buffer, address, run, flags, out, place)
            else:
                for j in range(run):
                    out[place + j] = r[R.M_PAD_VALUE]
            k += run


@kernel
def multiply(
    row: Integers,
    r: Integers,
    array: int,
    tile: Integers,
    weights: Reals,
    buffer: Bytes,
    sums: NDArray[np.int32],
    inputs: Reals,
    products: Reals,
) -> None:
    """MMC with the numbers of a tile in `weights`; `inputs` and `products` have room for CHUNK_ROWS rows."""
    elements = min(array, r[R.M_K] - row[t.LANES])
    elements, columns = min(elements, tile[1]), tile[2]
    base = row[t.SHORT]
    matrix = weights[: elements * columns].reshape(elements, columns)
    for first in range(0, row[t.LENGTH], CHUNK_ROWS):
        rows = min(CHUNK_ROWS, row[t.LENGTH] - first)
        gather(row, r, first, rows, elements, buffer, inputs)
        out = products[: rows * columns].reshape(rows, columns)
        np.dot(inputs[: rows * elements].reshape(rows, elements), matrix, out)
        for i in range(rows):
            target = sums[base + first + i]
            if row[t.FLAGS] & _ACCUMULATE:
                for m in range(columns):
                    target[m] = np.int32(target[m] + np.int64(out[i, m]))
            else:
                for m in range(columns):
                    target[m] = np.int32(np.int64(out[i, m]))
                target[columns:] = 0
