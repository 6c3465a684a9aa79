"""Which memory an instruction touches: intervals, as the verifier and the insertion of SYNCs see them.

An interval runs from the first to the last byte (or accumulator row) of a strided access, what lies between included:
an order is asked for now and then where none is needed, and never forgotten.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa import table as t
from nascompiler.backends.tpu.isa.opcodes import ActFlag, MmcFlag, Opcode, RdwFlag, VecFunction
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.kernel import kernel

Intervals = NDArray[np.int64]
"""Rows of (memory, written, low, high), the high end excluded."""

BUFFER, ACCUMULATOR, PARAMETER, DRAM, HOST_MEMORY = range(5)
"""The memories: bytes but for the accumulators' rows. Only the first three are shared between units."""
MAXIMUM_INTERVALS = 6

_SCATTER, _TABLE = int(ActFlag.SCATTER), int(ActFlag.TABLE)
_CONVOLVE, _WIDE_ACTIVATIONS = int(MmcFlag.CONVOLVE), int(MmcFlag.WIDE_ACTIVATIONS)
_PARTIAL, _WIDE = int(RdwFlag.PARTIAL), int(RdwFlag.WIDE)


@kernel
def configure(row: NDArray[np.int64], registers: NDArray[np.int64], signed: NDArray[np.bool_]) -> None:
    """Apply a CFG to the registers."""
    for i in range(row[t.FLAGS]):
        value = row[t.WORD] if i == 0 else (row[t.COUNT] if i == 1 else row[t.EXTENSION])
        number = row[t.SHORT] + i
        registers[number] = value - (1 << 32) if signed[number] and value >= 1 << 31 else value


@kernel
def element_bytes(element_type: int) -> int:
    """Bytes of an element type."""
    return 4 if element_type == 4 else (2 if element_type >= 2 else 1)


@kernel
def _window_rows(
    position: int, length: int, grid_height: int, grid_width: int, stride: int, pad: int, reach: int, height: int
) -> tuple[int, int, int, int]:
    """First and last image, and first and last of its rows, that windows at positions touch."""
    last = position + length - 1
    area = grid_height * grid_width
    first_image, last_image = position // area, last // area
    if first_image != last_image:
        return first_image, last_image, 0, height - 1
    low = position // grid_width % grid_height * stride - pad
    high = last // grid_width % grid_height * stride - pad + reach
    return first_image, last_image, max(low, 0), min(high, height - 1)


@kernel
def _add(found: Intervals, count: int, memory: int, written: int, low: int, high: int) -> int:
    found[count, 0] = memory
    found[count, 1] = written
    found[count, 2] = low
    found[count, 3] = high
    return count + 1


@kernel
def _matrix(row: NDArray[np.int64], r: NDArray[np.int64], array: int, found: Intervals) -> int:
    size = 2 if row[t.FLAGS] & _WIDE_ACTIVATIONS else 1
    first = row[t.LANES]
    elements = min(array, r[R.M_K] - first)
    n = _add(found, 0, ACCUMULATOR, 1, row[t.SHORT], row[t.SHORT] + row[t.LENGTH])
    if not row[t.FLAGS] & _CONVOLVE:
        low = row[t.WORD] + first * size
        return _add(found, n, BUFFER, 0, low, low + (row[t.LENGTH] - 1) * r[R.M_PIXEL_STRIDE] + elements * size)
    first_tap, last_tap = first // r[R.M_CHANNELS], (first + elements - 1) // r[R.M_CHANNELS]
    low_channel, high_channel = 0, r[R.M_CHANNELS]
    if first_tap == last_tap:
        low_channel = first % r[R.M_CHANNELS]
        high_channel = low_channel + elements
    low_y, high_y = first_tap // r[R.M_KERNEL_WIDTH], last_tap // r[R.M_KERNEL_WIDTH]
    image, last_image, top, bottom = _window_rows(
        row[t.EXTENSION],
        row[t.LENGTH],
        r[R.M_GRID_HEIGHT],
        r[R.M_GRID_WIDTH],
        r[R.M_STRIDE_Y],
        r[R.M_PAD_TOP] - low_y * r[R.M_DILATION_Y],
        (high_y - low_y) * r[R.M_DILATION_Y],
        r[R.M_HEIGHT],
    )
    if top > bottom:
        return n
    low = row[t.WORD] + image * r[R.M_IMAGE_STRIDE] + top * r[R.M_ROW_STRIDE] + low_channel * size
    high = row[t.WORD] + last_image * r[R.M_IMAGE_STRIDE] + bottom * r[R.M_ROW_STRIDE]
    high += (r[R.M_WIDTH] - 1) * r[R.M_PIXEL_STRIDE] + high_channel * size
    return _add(found, n, BUFFER, 0, low, high)


@kernel
def _store(row: NDArray[np.int64], r: NDArray[np.int64], found: Intervals, n: int) -> int:
    size = element_bytes(r[R.A_OUT_TYPE])
    if not (row[t.OPCODE] == Opcode.ACT and row[t.FLAGS] & _SCATTER):
        high = row[t.WORD] + (row[t.LENGTH] - 1) * r[R.A_OUT_STRIDE] + row[t.LANES] * size
        return _add(found, n, BUFFER, 1, row[t.WORD], high)
    patch_rows = ((row[t.LANES] - 1) // r[R.A_PATCH_CHANNELS]) // r[R.A_PATCH_WIDTH]
    image, last_image, top, bottom = _window_rows(
        row[t.EXTENSION],
        row[t.LENGTH],
        r[R.A_GRID_HEIGHT],
        r[R.A_GRID_WIDTH],
        r[R.A_PATCH_STRIDE_Y],
        0,
        patch_rows,
        r[R.A_OUT_HEIGHT],
    )
    if top > bottom:
        return n
    low = row[t.WORD] + image * r[R.A_OUT_IMAGE_STRIDE] + top * r[R.A_OUT_ROW_STRIDE]
    high = row[t.WORD] + last_image * r[R.A_OUT_IMAGE_STRIDE] + bottom * r[R.A_OUT_ROW_STRIDE]
    high += (r[R.A_OUT_WIDTH] - 1) * r[R.A_OUT_STRIDE] + min(r[R.A_PATCH_CHANNELS], row[t.LANES]) * size
    return _add(found, n, BUFFER, 1, low, high)


@kernel
def _source_window(row: NDArray[np.int64], r: NDArray[np.int64], found: Intervals, n: int) -> int:
    image, last_image, top, bottom = _window_rows(
        row[t.EXTENSION],
        row[t.LENGTH],
        r[R.A_GRID_HEIGHT],
        r[R.A_GRID_WIDTH],
        r[R.A_STRIDE_Y],
        r[R.A_PAD_TOP],
        (r[R.A_KERNEL_HEIGHT] - 1) * r[R.A_DILATION_Y],
        r[R.A_HEIGHT],
    )
    if top > bottom:
        return n
    low = r[R.A_SOURCE] + image * r[R.A_SOURCE_IMAGE_STRIDE] + top * r[R.A_SOURCE_ROW_STRIDE]
    high = r[R.A_SOURCE] + last_image * r[R.A_SOURCE_IMAGE_STRIDE] + bottom * r[R.A_SOURCE_ROW_STRIDE]
    high += (r[R.A_WIDTH] - 1) * r[R.A_SOURCE_PIXEL_STRIDE] + row[t.LANES] * element_bytes(r[R.A_SOURCE_TYPE])
    return _add(found, n, BUFFER, 0, low, high)


@kernel
def footprint(row: NDArray[np.int64], r: NDArray[np.int64], array: int, found: Intervals) -> int:
    """Write the intervals that an instruction touches into `found`; returns how many.

    Registers must hold what the instruction needs: grids and windows without a size are the verifier's to refuse.
    """
    opcode = row[t.OPCODE]
    if opcode == Opcode.MMC:
        return _matrix(row, r, array, found)
    if opcode == Opcode.RHM or opcode == Opcode.WHM:
        n = _add(found, 0, BUFFER, int(opcode == Opcode.RHM), row[t.WORD], row[t.WORD] + row[t.COUNT])
        low = row[t.EXTENSION] * 64
        return _add(found, n, HOST_MEMORY, int(opcode == Opcode.WHM), low, low + row[t.COUNT])
    if opcode == Opcode.RHM_ALT or opcode == Opcode.WHM_ALT:
        span = (row[t.LENGTH] - 1) * r[R.H_BUFFER_STRIDE] + row[t.LANES]
        n = _add(found, 0, BUFFER, int(opcode == Opcode.RHM_ALT), row[t.WORD], row[t.WORD] + span)
        low = row[t.EXTENSION] * 64
        span = (row[t.LENGTH] - 1) * r[R.H_HOST_STRIDE] + row[t.LANES]
        return _add(found, n, HOST_MEMORY, int(opcode == Opcode.WHM_ALT), low, low + span)
    if opcode == Opcode.RDW:
        rows, columns = row[t.WORD] & 0xFFFF, row[t.WORD] >> 16
        size = (rows * columns if row[t.FLAGS] & _PARTIAL else array * array) * (2 if row[t.FLAGS] & _WIDE else 1)
        low = row[t.EXTENSION] * 64
        return _add(found, 0, DRAM, 0, low, low + (row[t.SHORT] - 1) * ((size + 63) // 64 * 64) + size)
    if opcode == Opcode.RDP:
        n = _add(found, 0, PARAMETER, 1, row[t.WORD], row[t.WORD] + row[t.COUNT])
        low = row[t.EXTENSION] * 64
        return _add(found, n, DRAM, 0, low, low + row[t.COUNT])
    n = 0
    if opcode == Opcode.ACT or opcode == Opcode.DWC:
        n = _add(found, n, PARAMETER, 0, r[R.A_PARAMETERS], r[R.A_PARAMETERS] + 8 * row[t.LANES])
    if opcode == Opcode.ACT:
        n = _add(found, n, ACCUMULATOR, 0, row[t.SHORT], row[t.SHORT] + row[t.LENGTH])
    if opcode == Opcode.POL or opcode == Opcode.DWC:
        n = _source_window(row, r, found, n)
    if opcode == Opcode.DWC:
        taps = r[R.A_KERNEL_HEIGHT] * r[R.A_KERNEL_WIDTH]
        n = _add(found, n, PARAMETER, 0, r[R.A_WEIGHTS], r[R.A_WEIGHTS] + taps * row[t.LANES])
    if opcode == Opcode.VEC:
        high = row[t.EXTENSION] + (row[t.LENGTH] - 1) * r[R.A_A_STRIDE] + row[t.LANES] * element_bytes(r[R.A_A_TYPE])
        n = _add(found, n, BUFFER, 0, row[t.EXTENSION], high)
        if row[t.SHORT] >= VecFunction.ADD:
            high = r[R.A_B_BASE] + (row[t.LENGTH] - 1) * r[R.A_B_STRIDE] + element_bytes(r[R.A_B_TYPE])
            n = _add(found, n, BUFFER, 0, r[R.A_B_BASE], high + (row[t.LANES] - 1) * r[R.A_B_LANE_STRIDE])
    if opcode == Opcode.ACT or opcode == Opcode.POL or opcode == Opcode.DWC or opcode == Opcode.VEC:
        if row[t.FLAGS] & _TABLE:
            n = _add(found, n, PARAMETER, 0, r[R.A_TABLE], r[R.A_TABLE] + 256 * element_bytes(r[R.A_OUT_TYPE]))
        n = _store(row, r, found, n)
    return n
