"""What the activation unit computes, each step in float32 as docs/integers.md has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa import table as t
from nascompiler.backends.tpu.isa.footprints import element_bytes
from nascompiler.backends.tpu.isa.opcodes import ActFlag, ElementType, Function, VecFunction
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.kernel import kernel
from nascompiler.backends.tpu.simulator.elements import (
    Bytes,
    FloatRow,
    Row,
    load_row,
    look_up,
    round_row,
    store_floats,
    store_row,
)

Integers = NDArray[np.int64]
Sums = NDArray[np.int32]

_SCATTER, _TABLE = int(ActFlag.SCATTER), int(ActFlag.TABLE)
_AVERAGE, _COUNT_PADDING = int(ActFlag.AVERAGE), int(ActFlag.COUNT_PADDING)
_SIXTH, _HALF, _ZERO, _ONE, _SIX = np.float32(1 / 6), np.float32(0.5), np.float32(0), np.float32(1), np.float32(6)
_LOWEST = np.int32(-(1 << 31))


@kernel
def float_of(bits: int) -> Any:
    """The float32 number that a register holds."""
    scratch = np.empty(1, np.uint32)
    scratch[0] = bits
    return scratch.view(np.float32)[0]


@kernel
def load_parameters(parameters: Bytes, address: int, count: int, biases: Row, multipliers: FloatRow) -> None:
    """{i32 bias, f32 multiplier} for each lane."""
    bits = multipliers.view(np.uint32)
    for j in range(count):
        place = address + 8 * j
        bias, multiplier = np.uint32(0), np.uint32(0)
        for byte in range(4):
            bias |= np.uint32(parameters[place + byte]) << np.uint32(8 * byte)
            multiplier |= np.uint32(parameters[place + 4 + byte]) << np.uint32(8 * byte)
        biases[j] = np.int32(bias)
        bits[j] = multiplier


@kernel
def finish_sums(
    row: Integers,
    r: Integers,
    sums: Row,
    biases: Row,
    multipliers: FloatRow,
    parameters: Bytes,
    reals: FloatRow,
    values: Row,
) -> None:
    """Sums of products as results: into `values`, or into `reals` where A_OUT_TYPE is f32."""
    lanes, function, is_float = row[t.LANES], r[R.A_FUNCTION], r[R.A_OUT_TYPE] == ElementType.F32
    for j in range(lanes):
        reals[j] = np.float32(np.int32(sums[j] + biases[j])) * multipliers[j]
    if function == Function.HARD_SWISH or function == Function.HARD_SIGMOID:
        inverse = float_of(r[R.A_INVERSE_SCALE])
        for j in range(lanes):
            gate = np.float32(reals[j] * _SIXTH)
            gate = min(max(np.float32(gate + _HALF), _ZERO), _ONE)
            real = np.float32(reals[j] * gate) if function == Function.HARD_SWISH else gate
            reals[j] = real if is_float else np.float32(real * inverse)
    elif function == Function.RELU or function == Function.RELU6:
        for j in range(lanes):
            reals[j] = max(reals[j], _ZERO)
            if function == Function.RELU6:
                reals[j] = min(reals[j], _SIX)
    if not is_float:
        finish_values(row, r, parameters, reals, values)


@kernel
def finish_values(row: Integers, r: Integers, parameters: Bytes, reals: FloatRow, values: Row) -> None:
    """Round, clamp, look up."""
    round_row(reals, r[R.A_ZERO_POINT], r[R.A_LOW], r[R.A_HIGH], row[t.LANES], values)
    if row[t.FLAGS] & _TABLE:
        look_up(parameters, r[R.A_TABLE], r[R.A_OUT_TYPE], r[R.A_VALUE_TYPE], row[t.LANES], values)


@kernel
def _store(buffer: Bytes, address: int, out_type: int, first: int, count: int, reals: FloatRow, values: Row) -> None:
    if out_type == ElementType.F32:
        store_floats(buffer, address, first, count, reals)
    else:
        store_row(buffer, address, out_type, first, count, values)


@kernel
def activate(
    row: Integers,
    r: Integers,
    sums: Sums,
    parameters: Bytes,
    buffer: Bytes,
    biases: Row,
    multipliers: FloatRow,
    reals: FloatRow,
    values: Row,
) -> None:
    """ACT."""
    lanes, out_type = row[t.LANES], r[R.A_OUT_TYPE]
    load_parameters(parameters, r[R.A_PARAMETERS], lanes, biases, multipliers)
    width, height, channels = r[R.A_GRID_WIDTH], r[R.A_GRID_HEIGHT], r[R.A_PATCH_CHANNELS]
    for i in range(row[t.LENGTH]):
        finish_sums(row, r, sums[row[t.SHORT] + i], biases, multipliers, parameters, reals, values)
        if not row[t.FLAGS] & _SCATTER:
            _store(buffer, row[t.WORD] + i * r[R.A_OUT_STRIDE], out_type, 0, lanes, reals, values)
            continue
        position = row[t.EXTENSION] + i
        image = row[t.WORD] + position // (height * width) * r[R.A_OUT_IMAGE_STRIDE]
        top = position // width % height * r[R.A_PATCH_STRIDE_Y]
        left = position % width * r[R.A_PATCH_STRIDE_X]
        for first in range(0, lanes, channels):
            pixel = first // channels
            y, x = top + pixel // r[R.A_PATCH_WIDTH], left + pixel % r[R.A_PATCH_WIDTH]
            if y < r[R.A_OUT_HEIGHT] and x < r[R.A_OUT_WIDTH]:
                address = image + y * r[R.A_OUT_ROW_STRIDE] + x * r[R.A_OUT_STRIDE]
                _store(buffer, address, out_type, first, min(channels, lanes - first), reals, values)


@kernel
def pool(
    row: Integers, r: Integers, parameters: Bytes, buffer: Bytes, totals: Row, reals: FloatRow, values: Row
) -> None:
    """POL."""
    lanes, size = row[t.LANES], element_bytes(r[R.A_SOURCE_TYPE])
    is_average = (row[t.FLAGS] & _AVERAGE) != 0
    width, height = r[R.A_GRID_WIDTH], r[R.A_GRID_HEIGHT]
    zero_point, ratio = np.int32(r[R.A_SOURCE_ZERO_POINT]), float_of(r[R.A_RATIO])
    for i in range(row[t.LENGTH]):
        position = row[t.EXTENSION] + i
        image = r[R.A_SOURCE] + position // (height * width) * r[R.A_SOURCE_IMAGE_STRIDE]
        top = position // width % height * r[R.A_STRIDE_Y] - r[R.A_PAD_TOP]
        left = position % width * r[R.A_STRIDE_X] - r[R.A_PAD_LEFT]
        inside = 0
        totals[:lanes] = 0 if is_average else _LOWEST
        for ky in range(r[R.A_KERNEL_HEIGHT]):
            y = top + ky * r[R.A_DILATION_Y]
            if not 0 <= y < r[R.A_HEIGHT]:
                continue
            for kx in range(r[R.A_KERNEL_WIDTH]):
                x = left + kx * r[R.A_DILATION_X]
                if not 0 <= x < r[R.A_WIDTH]:
                    continue
                inside += 1
                address = image + y * r[R.A_SOURCE_ROW_STRIDE] + x * r[R.A_SOURCE_PIXEL_STRIDE]
                load_row(buffer, address, size, r[R.A_SOURCE_TYPE], lanes, values)
                if is_average:
                    for j in range(lanes):
                        totals[j] = np.int32(totals[j] + np.int32(values[j] - zero_point))
                else:
                    for j in range(lanes):
                        totals[j] = max(totals[j], values[j])
        if is_average:
            if row[t.FLAGS] & _COUNT_PADDING:
                inside = r[R.A_KERNEL_HEIGHT] * r[R.A_KERNEL_WIDTH]
            multiplier = np.float32(ratio / np.float32(max(inside, 1)))
            for j in range(lanes):
                reals[j] = np.float32(totals[j]) * multiplier
            finish_values(row, r, parameters, reals, values)
        else:
            for j in range(lanes):
                values[j] = totals[j] if inside else r[R.A_LOW]
            if row[t.FLAGS] & _TABLE:
                look_up(parameters, r[R.A_TABLE], r[R.A_OUT_TYPE], r[R.A_VALUE_TYPE], lanes, values)
        store_row(buffer, row[t.WORD] + i * r[R.A_OUT_STRIDE], r[R.A_OUT_TYPE], 0, lanes, values)


@kernel
def depthwise(
    row: Integers,
    r: Integers,
    parameters: Bytes,
    buffer: Bytes,
    totals: Row,
    biases: Row,
    multipliers: FloatRow,
    reals: FloatRow,
    values: Row,
) -> None:
    """DWC."""
    lanes, size = row[t.LANES], element_bytes(r[R.A_SOURCE_TYPE])
    load_parameters(parameters, r[R.A_PARAMETERS], lanes, biases, multipliers)
    width, height = r[R.A_GRID_WIDTH], r[R.A_GRID_HEIGHT]
    for i in range(row[t.LENGTH]):
        position = row[t.EXTENSION] + i
        image = r[R.A_SOURCE] + position // (height * width) * r[R.A_SOURCE_IMAGE_STRIDE]
        top = position // width % height * r[R.A_STRIDE_Y] - r[R.A_PAD_TOP]
        left = position % width * r[R.A_STRIDE_X] - r[R.A_PAD_LEFT]
        totals[:lanes] = 0
        for tap in range(r[R.A_KERNEL_HEIGHT] * r[R.A_KERNEL_WIDTH]):
            y = top + tap // r[R.A_KERNEL_WIDTH] * r[R.A_DILATION_Y]
            x = left + tap % r[R.A_KERNEL_WIDTH] * r[R.A_DILATION_X]
            if 0 <= y < r[R.A_HEIGHT] and 0 <= x < r[R.A_WIDTH]:
                address = image + y * r[R.A_SOURCE_ROW_STRIDE] + x * r[R.A_SOURCE_PIXEL_STRIDE]
                load_row(buffer, address, size, r[R.A_SOURCE_TYPE], lanes, values)
            else:
                values[:lanes] = r[R.A_SOURCE_ZERO_POINT]
            place = r[R.A_WEIGHTS] + tap * lanes
            for j in range(lanes):
                totals[j] = np.int32(totals[j] + values[j] * np.int32(np.int8(parameters[place + j])))
        finish_sums(row, r, totals, biases, multipliers, parameters, reals, values)
        _store(buffer, row[t.WORD] + i * r[R.A_OUT_STRIDE], r[R.A_OUT_TYPE], 0, lanes, reals, values)


@kernel
def vector(row: Integers, r: Integers, parameters: Bytes, buffer: Bytes, a: Row, b: Row, reals: FloatRow) -> None:
    """VEC."""
    lanes, function = row[t.LANES], row[t.SHORT]
    size = element_bytes(r[R.A_A_TYPE])
    a_zero, b_zero = np.int32(r[R.A_A_ZERO_POINT]), np.int32(r[R.A_B_ZERO_POINT])
    a_ratio, b_ratio = float_of(r[R.A_A_RATIO]), float_of(r[R.A_B_RATIO])
    for i in range(row[t.LENGTH]):
        load_row(buffer, row[t.EXTENSION] + i * r[R.A_A_STRIDE], size, r[R.A_A_TYPE], lanes, a)
        if function >= VecFunction.ADD:
            place = r[R.A_B_BASE] + i * r[R.A_B_STRIDE]
            load_row(buffer, place, r[R.A_B_LANE_STRIDE], r[R.A_B_TYPE], lanes, b)
        if function == VecFunction.ADD:
            for j in range(lanes):
                left = np.float32(np.float32(np.int32(a[j] - a_zero)) * a_ratio)
                right = np.float32(np.float32(np.int32(b[j] - b_zero)) * b_ratio)
                reals[j] = left + right
        elif function == VecFunction.MULTIPLY:
            for j in range(lanes):
                reals[j] = np.float32(np.int32(np.int32(a[j] - a_zero) * np.int32(b[j] - b_zero))) * a_ratio
        elif function == VecFunction.REQUANTIZE:
            for j in range(lanes):
                reals[j] = np.float32(np.int32(a[j] - a_zero)) * a_ratio
        if function != VecFunction.COPY:
            finish_values(row, r, parameters, reals, a)
        elif row[t.FLAGS] & _TABLE:
            look_up(parameters, r[R.A_TABLE], r[R.A_OUT_TYPE], r[R.A_VALUE_TYPE], lanes, a)
        store_row(buffer, row[t.WORD] + i * r[R.A_OUT_STRIDE], r[R.A_OUT_TYPE], 0, lanes, a)
