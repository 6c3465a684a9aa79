"""Rows of elements in the Unified Buffer, as 32-bit integers, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.kernel import kernel

Bytes = NDArray[np.uint8]
Row = NDArray[np.int32]
FloatRow = NDArray[np.float32]

# Element types, as registers spell them.
_I8, _U8, _I16, _U16 = 0, 1, 2, 3


@kernel
def load_row(buffer: Bytes, address: int, stride: int, element_type: int, count: int, row: Row) -> None:
    """The first `count` elements of a row from `address` on, `stride` bytes apart (0: the same one)."""
    if element_type == _I8:
        for j in range(count):
            row[j] = np.int8(buffer[address + j * stride])
    elif element_type == _U8:
        for j in range(count):
            row[j] = buffer[address + j * stride]
    else:
        for j in range(count):
            place = address + j * stride
            value = np.int32(buffer[place]) | np.int32(buffer[place + 1]) << 8
            row[j] = np.int16(value) if element_type == _I16 else value


@kernel
def store_row(buffer: Bytes, address: int, element_type: int, first: int, count: int, row: Row) -> None:
    """Elements `first ... first + count - 1` of a row, side by side from `address` on."""
    if element_type <= _U8:
        for j in range(count):
            buffer[address + j] = np.uint8(row[first + j])
    else:
        for j in range(count):
            buffer[address + 2 * j] = np.uint8(row[first + j])
            buffer[address + 2 * j + 1] = np.uint8(row[first + j] >> 8)


@kernel
def store_floats(buffer: Bytes, address: int, first: int, count: int, row: FloatRow) -> None:
    """The same for float32 numbers, by their bits."""
    bits = row.view(np.uint32)
    for j in range(count):
        for byte in range(4):
            buffer[address + 4 * j + byte] = np.uint8(bits[first + j] >> (8 * byte))


@kernel
def look_up(parameters: Bytes, address: int, out_type: int, value_type: int, count: int, row: Row) -> None:
    """Replace 8-bit values by entries of the table at `address`."""
    lowest = -128 if value_type == _I8 else 0
    for j in range(count):
        entry = row[j] - lowest
        if out_type == _I8:
            row[j] = np.int8(parameters[address + entry])
        elif out_type == _U8:
            row[j] = parameters[address + entry]
        else:
            place = address + 2 * entry
            value = np.int32(parameters[place]) | np.int32(parameters[place + 1]) << 8
            row[j] = np.int16(value) if out_type == _I16 else value


@kernel
def round_row(values: FloatRow, zero_point: int, low: int, high: int, count: int, row: Row) -> None:
    """clamp(rint(f) + zero_point, low, high); the clamp first, which is the same and cannot overflow."""
    least, greatest = np.float32(low - zero_point), np.float32(high - zero_point)
    shift = np.int32(zero_point)
    for j in range(count):
        row[j] = np.int32(np.rint(min(max(values[j], least), greatest))) + shift
