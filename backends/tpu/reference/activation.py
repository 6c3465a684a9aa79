"""One row of the activation unit's work: what it reads now and writes later."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.opcodes import ActFlag, ElementType, Function, Opcode, VecFunction
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.reference.instruction import Instruction
from nascompiler.backends.tpu.reference.memory import Bytes, float_of, load, size_of, wrapped

Value = int | np.float32
Writes = list[tuple[int, int, Value]]
"""(address, element type, value)."""

F32 = np.float32


def row_cycles(instruction: Instruction, array: int) -> int:
    """Cycles that a row takes: as many as rows of the buffer go in or come out."""
    r, lanes = instruction.registers, instruction.lanes
    written = -(-lanes * size_of(r[R.A_OUT_TYPE]) // array)
    read = 0
    if instruction.opcode in (Opcode.POL, Opcode.DWC):
        window = r[R.A_KERNEL_HEIGHT] * r[R.A_KERNEL_WIDTH]
        read = window * -(-lanes * size_of(r[R.A_SOURCE_TYPE]) // array)
    if instruction.opcode is Opcode.VEC:
        size = lanes * size_of(r[R.A_A_TYPE])
        if instruction.short >= VecFunction.ADD and r[R.A_B_STRIDE]:
            size += (lanes if r[R.A_B_LANE_STRIDE] else 1) * size_of(r[R.A_B_TYPE])
        read = -(-size // array)
    return max(read, written)


def row_results(
    instruction: Instruction, row: int, buffer: Bytes, sums: NDArray[np.int32], parameters: Bytes
) -> Writes:
    """Everything that a row of an instruction writes, from the memories as they are now."""
    r = instruction.registers
    values: list[Value] = []
    for lane in range(instruction.lanes):
        match instruction.opcode:
            case Opcode.ACT:
                total = int(sums[instruction.short + row, lane])
                values.append(_after_sum(instruction, parameters, total, lane))
            case Opcode.DWC:
                values.append(
                    _after_sum(instruction, parameters, _depthwise(instruction, row, lane, buffer, parameters), lane)
                )
            case Opcode.POL:
                values.append(_table(instruction, parameters, _pooled(instruction, row, lane, buffer)))
            case _:
                values.append(_table(instruction, parameters, _vector(instruction, row, lane, buffer)))
    out_type = r[R.A_OUT_TYPE]
    return [
        (address + offset * size_of(out_type), out_type, values[lane])
        for lane, address, offset in _places(instruction, row)
    ]


def _places(instruction: Instruction, row: int) -> Iterator[tuple[int, int, int]]:
    """(lane, address of its pixel, element in the pixel) of the lanes that are stored."""
    r = instruction.registers
    for lane in range(instruction.lanes):
        if not (instruction.opcode is Opcode.ACT and instruction.flags & ActFlag.SCATTER):
            yield lane, instruction.word + row * r[R.A_OUT_STRIDE], lane
            continue
        image, y, x = _position(instruction, row)
        pixel, channel = divmod(lane, r[R.A_PATCH_CHANNELS])
        down, right = divmod(pixel, r[R.A_PATCH_WIDTH])
        y, x = y * r[R.A_PATCH_STRIDE_Y] + down, x * r[R.A_PATCH_STRIDE_X] + right
        if y < r[R.A_OUT_HEIGHT] and x < r[R.A_OUT_WIDTH]:
            place = image * r[R.A_OUT_IMAGE_STRIDE] + y * r[R.A_OUT_ROW_STRIDE] + x * r[R.A_OUT_STRIDE]
            yield lane, instruction.word + place, channel


def _position(instruction: Instruction, row: int) -> tuple[int, int, int]:
    r = instruction.registers
    y, x = divmod(instruction.extension + row, r[R.A_GRID_WIDTH])
    image, y = divmod(y, r[R.A_GRID_HEIGHT])
    return image, y, x


def _window(instruction: Instruction, row: int) -> Iterator[tuple[int, int | None]]:
    """(tap, address of its pixel, None outside the image)."""
    r = instruction.registers
    image, oy, ox = _position(instruction, row)
    for ky in range(r[R.A_KERNEL_HEIGHT]):
        for kx in range(r[R.A_KERNEL_WIDTH]):
            y = oy * r[R.A_STRIDE_Y] - r[R.A_PAD_TOP] + ky * r[R.A_DILATION_Y]
            x = ox * r[R.A_STRIDE_X] - r[R.A_PAD_LEFT] + kx * r[R.A_DILATION_X]
            place = image * r[R.A_SOURCE_IMAGE_STRIDE] + y * r[R.A_SOURCE_ROW_STRIDE] + x * r[R.A_SOURCE_PIXEL_STRIDE]
            is_inside = 0 <= y < r[R.A_HEIGHT] and 0 <= x < r[R.A_WIDTH]
            yield ky * r[R.A_KERNEL_WIDTH] + kx, r[R.A_SOURCE] + place if is_inside else None


def _rounded(instruction: Instruction, real: np.float32) -> int:
    r = instruction.registers
    zero_point, low, high = r[R.A_ZERO_POINT], r[R.A_LOW], r[R.A_HIGH]
    if np.isinf(real):
        return high if real > 0 else low
    return min(max(int(np.rint(real)) + zero_point, low), high)


def _table(instruction: Instruction, parameters: Bytes, value: int) -> int:
    r = instruction.registers
    if not instruction.flags & ActFlag.TABLE:
        return value
    entry = value + 128 if r[R.A_VALUE_TYPE] == ElementType.I8 else value
    return load(parameters, r[R.A_TABLE] + entry * size_of(r[R.A_OUT_TYPE]), r[R.A_OUT_TYPE])


def _after_sum(instruction: Instruction, parameters: Bytes, total: int, lane: int) -> Value:
    r = instruction.registers
    place = r[R.A_PARAMETERS] + 8 * lane
    bias = int(parameters[place : place + 4].view("<i4")[0])
    real = F32(wrapped(total + bias)) * parameters[place + 4 : place + 8].view("<f4")[0]
    is_float = r[R.A_OUT_TYPE] == ElementType.F32
    match r[R.A_FUNCTION]:
        case Function.HARD_SWISH | Function.HARD_SIGMOID as function:
            gate = min(max(F32(F32(real * F32(1 / 6)) + F32(0.5)), F32(0)), F32(1))
            real = F32(real * gate) if function == Function.HARD_SWISH else gate
            if not is_float:
                real = F32(real * float_of(r[R.A_INVERSE_SCALE]))
        case Function.RELU:
            real = max(real, F32(0))
        case Function.RELU6:
            real = min(max(real, F32(0)), F32(6))
    return F32(real) if is_float else _table(instruction, parameters, _rounded(instruction, F32(real)))


def _depthwise(instruction: Instruction, row: int, lane: int, buffer: Bytes, parameters: Bytes) -> int:
    r, total = instruction.registers, 0
    for tap, pixel in _window(instruction, row):
        weight = load(parameters, r[R.A_WEIGHTS] + tap * instruction.lanes + lane, ElementType.I8)
        value = r[R.A_SOURCE_ZERO_POINT]
        if pixel is not None:
            value = load(buffer, pixel + lane * size_of(r[R.A_SOURCE_TYPE]), r[R.A_SOURCE_TYPE])
        total += value * weight
    return wrapped(total)


def _pooled(instruction: Instruction, row: int, lane: int, buffer: Bytes) -> int:
    r, kind = instruction.registers, instruction.registers[R.A_SOURCE_TYPE]
    pixels = [pixel for _, pixel in _window(instruction, row)]
    inside = [load(buffer, pixel + lane * size_of(kind), kind) for pixel in pixels if pixel is not None]
    if not instruction.flags & ActFlag.AVERAGE:
        return max(inside, default=r[R.A_LOW])
    count = len(pixels) if instruction.flags & ActFlag.COUNT_PADDING else max(len(inside), 1)
    total = sum(value - r[R.A_SOURCE_ZERO_POINT] for value in inside)
    multiplier = F32(float_of(r[R.A_RATIO]) / F32(count))
    return _rounded(instruction, F32(F32(total) * multiplier))


def _vector(instruction: Instruction, row: int, lane: int, buffer: Bytes) -> int:
    r, function = instruction.registers, instruction.short
    kind = r[R.A_A_TYPE]
    a = load(buffer, instruction.extension + row * r[R.A_A_STRIDE] + lane * size_of(kind), kind)
    if function == VecFunction.COPY:
        return a
    a -= r[R.A_A_ZERO_POINT]
    ratio = float_of(r[R.A_A_RATIO])
    if function == VecFunction.REQUANTIZE:
        return _rounded(instruction, F32(F32(a) * ratio))
    b = load(buffer, r[R.A_B_BASE] + row * r[R.A_B_STRIDE] + lane * r[R.A_B_LANE_STRIDE], r[R.A_B_TYPE])
    b -= r[R.A_B_ZERO_POINT]
    if function == VecFunction.MULTIPLY:
        return _rounded(instruction, F32(F32(wrapped(a * b)) * ratio))
    return _rounded(instruction, F32(F32(F32(a) * ratio) + F32(F32(b) * float_of(r[R.A_B_RATIO]))))
