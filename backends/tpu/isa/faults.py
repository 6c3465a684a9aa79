"""Finding what is wrong with single instructions: one pass that follows registers and tiles, compiled.

Every fault is a row (instruction, kind, first, second); `verify` has the words.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa import table as t
from nascompiler.backends.tpu.isa.footprints import MAXIMUM_INTERVALS, configure, element_bytes, footprint
from nascompiler.backends.tpu.isa.opcodes import FORMS, ActFlag, Function, MmcFlag, Opcode, RdwFlag, VecFunction
from nascompiler.backends.tpu.isa.registers import REGISTER_COUNT
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.isa.table import Table
from nascompiler.backends.tpu.kernel import kernel

MAXIMUM_FAULTS = 200

_NEW_TILE, _CONVOLVE, _WIDE_WEIGHTS = int(MmcFlag.NEW_TILE), int(MmcFlag.CONVOLVE), int(MmcFlag.WIDE_WEIGHTS)
_SCATTER, _TABLE, _AVERAGE = int(ActFlag.SCATTER), int(ActFlag.TABLE), int(ActFlag.AVERAGE)
_PARTIAL, _WIDE = int(RdwFlag.PARTIAL), int(RdwFlag.WIDE)
_OF_CONVOLUTION = np.array(
    [R.M_CHANNELS, R.M_KERNEL_WIDTH, R.M_GRID_WIDTH, R.M_GRID_HEIGHT, R.M_HEIGHT, R.M_WIDTH], np.int64
)
_OF_SCATTER = np.array(
    [R.A_GRID_WIDTH, R.A_GRID_HEIGHT, R.A_PATCH_CHANNELS, R.A_PATCH_WIDTH, R.A_OUT_HEIGHT, R.A_OUT_WIDTH], np.int64
)
_OF_WINDOW = np.array(
    [R.A_GRID_WIDTH, R.A_GRID_HEIGHT, R.A_KERNEL_HEIGHT, R.A_KERNEL_WIDTH, R.A_HEIGHT, R.A_WIDTH], np.int64
)
_TYPE_LOW = np.array([-128, 0, -(1 << 15), 0], np.int64)
_TYPE_HIGH = np.array([127, 255, (1 << 15) - 1, (1 << 16) - 1], np.int64)


class FaultKind(IntEnum):
    """What may be wrong with an instruction."""

    UNKNOWN_OPCODE = 1
    FLAGS = 2
    UNUSED_FIELD = 3
    AFTER_HALT = 4
    NO_HALT = 5
    SYNC_UNITS = 6
    SYNC_LAG = 7
    REGISTER = 8
    EMPTY = 9
    LANES = 10
    TILE = 11
    NO_TILE = 12
    TILE_WIDTH = 13
    LEFT_TILES = 14
    FIRST_ELEMENT = 15
    ZERO_REGISTER = 16
    ADDRESS = 17
    ELEMENT_TYPE = 18
    TABLE_TYPE = 19
    LIMITS = 20
    FUNCTION = 21
    EXTENSION = 22
    TAG = 23
    USEFUL = 24


def _used_fields() -> NDArray[np.bool_]:
    columns = {
        "short": (t.SHORT,),
        "word": (t.WORD,),
        "length": (t.LENGTH,),
        "lanes": (t.LANES,),
        "extension": (t.EXTENSION,),
        "count": (t.LENGTH, t.LANES),
    }
    used = np.zeros((256, t.COLUMNS), np.bool_)
    used[:, (t.OPCODE, t.FLAGS, t.COUNT)] = True
    for opcode, form in FORMS.items():
        for field in form.operands.values():
            used[opcode, columns[field]] = True
    return used


USED_FIELDS = _used_fields()
ALLOWED_FLAGS = np.array([FORMS[Opcode(o)].allowed_flags if o in list(Opcode) else 0 for o in range(256)], np.int64)


@kernel
def _report(found: NDArray[np.int64], total: int, index: int, kind: int, first: int, second: int) -> int:
    if total < len(found):
        found[total, 0] = index
        found[total, 1] = kind
        found[total, 2] = first
        found[total, 3] = second
        return total + 1
    return total


@kernel
def _first_zero(registers: NDArray[np.int64], wanted: NDArray[np.int64]) -> int:
    for register in wanted:
        if registers[register] == 0:
            return int(register)
    return -1


@kernel
def _zero_register(row: NDArray[np.int64], registers: NDArray[np.int64]) -> int:
    """A register that is 0 and must not be, or -1."""
    opcode = row[t.OPCODE]
    if opcode == Opcode.MMC and row[t.FLAGS] & _CONVOLVE:
        return int(_first_zero(registers, _OF_CONVOLUTION))
    if opcode == Opcode.ACT and row[t.FLAGS] & _SCATTER:
        return int(_first_zero(registers, _OF_SCATTER))
    if opcode == Opcode.POL or opcode == Opcode.DWC:
        return int(_first_zero(registers, _OF_WINDOW))
    return -1


@kernel
def _activation(row: NDArray[np.int64], r: NDArray[np.int64], index: int, found: NDArray[np.int64], total: int) -> int:
    """Types, functions and limits of ACT, POL, VEC and DWC."""
    opcode = row[t.OPCODE]
    value, out = r[R.A_VALUE_TYPE], r[R.A_OUT_TYPE]
    has_table = (row[t.FLAGS] & _TABLE) != 0
    is_sum = opcode == Opcode.ACT or opcode == Opcode.DWC
    if value > 3 or out > 4 or (out == 4 and (not is_sum or has_table)):
        return _report(found, total, index, FaultKind.ELEMENT_TYPE, value, out)
    if opcode == Opcode.VEC:
        if r[R.A_A_TYPE] > 3 or (row[t.SHORT] >= VecFunction.ADD and r[R.A_B_TYPE] > 3):
            return _report(found, total, index, FaultKind.ELEMENT_TYPE, r[R.A_A_TYPE], r[R.A_B_TYPE])
        if row[t.SHORT] == VecFunction.COPY and r[R.A_A_TYPE] != value:
            return _report(found, total, index, FaultKind.ELEMENT_TYPE, r[R.A_A_TYPE], value)
    if opcode == Opcode.POL or opcode == Opcode.DWC:
        source = r[R.A_SOURCE_TYPE]
        is_maximum = opcode == Opcode.POL and not row[t.FLAGS] & _AVERAGE
        if source > 3 or (is_maximum and source != value):
            return _report(found, total, index, FaultKind.ELEMENT_TYPE, source, value)
    if has_table:
        if element_bytes(value) != 1:
            return _report(found, total, index, FaultKind.TABLE_TYPE, value, out)
    elif out != 4 and out != value:
        return _report(found, total, index, FaultKind.ELEMENT_TYPE, value, out)
    if is_sum:
        function = r[R.A_FUNCTION]
        if function > Function.RELU6 or (out != 4 and function > Function.HARD_SIGMOID):
            return _report(found, total, index, FaultKind.FUNCTION, function, out)
    is_copy = opcode == Opcode.VEC and row[t.SHORT] == VecFunction.COPY
    has_limits = out != 4 and not is_copy and not (opcode == Opcode.POL and not row[t.FLAGS] & _AVERAGE)
    if has_limits and not _TYPE_LOW[value] <= r[R.A_LOW] <= r[R.A_HIGH] <= _TYPE_HIGH[value]:
        return _report(found, total, index, FaultKind.LIMITS, r[R.A_LOW], r[R.A_HIGH])
    return total


@kernel
def find_faults(
    table: Table,
    unit_of: NDArray[np.int64],
    signed: NDArray[np.bool_],
    used: NDArray[np.bool_],
    allowed: NDArray[np.int64],
    array: int,
    limits: NDArray[np.int64],
    has_elementwise: bool,
    has_partial: bool,
    has_depthwise: bool,
    tags: int,
    found: NDArray[np.int64],
) -> int:
    """Write faults into `found`, as many as fit; returns how many. `limits` are the sizes of the five memories."""
    registers = np.zeros(REGISTER_COUNT, np.int64)
    intervals = np.zeros((MAXIMUM_INTERVALS, 4), np.int64)
    issued = np.zeros(5, np.int64)
    tiles_read, tiles_used, total = 0, 0, 0
    count = len(table)
    capacity = 0
    for i in range(count):
        if table[i, t.OPCODE] == Opcode.RDW:
            capacity += table[i, t.SHORT]
    wide_tiles = np.zeros(capacity + 1, np.bool_)
    wide_in_array = False
    for i in range(count):
        row = table[i]
        opcode = row[t.OPCODE]
        unit = unit_of[opcode]
        if unit < 0:
            total = _report(found, total, i, FaultKind.UNKNOWN_OPCODE, opcode, 0)
            continue
        before = total
        for column in range(t.SHORT, t.EXTENSION + 1):
            if row[column] and not used[opcode, column]:
                total = _report(found, total, i, FaultKind.UNUSED_FIELD, column, row[column])
        if opcode == Opcode.CFG:
            end = row[t.SHORT] + row[t.FLAGS]
            if not 1 <= row[t.FLAGS] <= 3 or end > REGISTER_COUNT:
                total = _report(found, total, i, FaultKind.REGISTER, row[t.SHORT], row[t.FLAGS])
            else:
                configure(row, registers, signed)
            continue
        if row[t.FLAGS] & ~allowed[opcode]:
            total = _report(found, total, i, FaultKind.FLAGS, row[t.FLAGS], allowed[opcode])
        if opcode == Opcode.HLT and i != count - 1:
            total = _report(found, total, i, FaultKind.AFTER_HALT, count - 1 - i, 0)
        if opcode == Opcode.DBG and row[t.EXTENSION] >= tags:
            total = _report(found, total, i, FaultKind.TAG, row[t.EXTENSION], tags)
        if opcode == Opcode.SYNC:
            if row[t.SHORT] > 3 or row[t.LENGTH] > 3 or row[t.SHORT] == row[t.LENGTH]:
                total = _report(found, total, i, FaultKind.SYNC_UNITS, row[t.SHORT], row[t.LENGTH])
            elif row[t.EXTENSION] >= issued[row[t.LENGTH]]:
                total = _report(found, total, i, FaultKind.SYNC_LAG, row[t.EXTENSION], issued[row[t.LENGTH]])
        issued[unit] += 1
        if unit > 3 or opcode == Opcode.SYNC_HOST or opcode == Opcode.IRQ:
            continue
        is_bulk = opcode == Opcode.RHM or opcode == Opcode.WHM or opcode == Opcode.RDP
        is_rows = opcode == Opcode.RHM_ALT or opcode == Opcode.WHM_ALT
        if is_bulk and row[t.COUNT] == 0:
            total = _report(found, total, i, FaultKind.EMPTY, 0, 0)
        if is_rows and (row[t.LENGTH] == 0 or row[t.LANES] == 0):
            total = _report(found, total, i, FaultKind.EMPTY, 0, 0)
        if opcode == Opcode.RDW:
            rows, columns = row[t.WORD] & 0xFFFF, row[t.WORD] >> 16
            if row[t.SHORT] == 0:
                total = _report(found, total, i, FaultKind.EMPTY, 0, 0)
            if not 1 <= rows <= array or not 1 <= columns <= array:
                total = _report(found, total, i, FaultKind.TILE, rows, columns)
            elif row[t.COUNT] > rows * columns:
                total = _report(found, total, i, FaultKind.USEFUL, row[t.COUNT], rows * columns)
            if row[t.FLAGS] & _PARTIAL and not has_partial:
                total = _report(found, total, i, FaultKind.EXTENSION, 1, 0)
            for tile in range(tiles_read, tiles_read + row[t.SHORT]):
                wide_tiles[tile] = (row[t.FLAGS] & _WIDE) != 0
            tiles_read += row[t.SHORT]
        if unit >= 2 and row[t.LENGTH] == 0:
            total = _report(found, total, i, FaultKind.EMPTY, 0, 0)
        if unit == 3 and not 1 <= row[t.LANES] <= array:
            total = _report(found, total, i, FaultKind.LANES, row[t.LANES], array)
        if opcode == Opcode.MMC:
            if row[t.FLAGS] & _NEW_TILE:
                if tiles_used == tiles_read:
                    total = _report(found, total, i, FaultKind.NO_TILE, tiles_read, 0)
                else:
                    wide_in_array = wide_tiles[tiles_used]
                    tiles_used += 1
            elif tiles_used == 0:
                total = _report(found, total, i, FaultKind.NO_TILE, tiles_read, 0)
            if tiles_used and wide_in_array != ((row[t.FLAGS] & _WIDE_WEIGHTS) != 0):
                total = _report(found, total, i, FaultKind.TILE_WIDTH, int(wide_in_array), 0)
            if row[t.LANES] >= registers[R.M_K]:
                total = _report(found, total, i, FaultKind.FIRST_ELEMENT, row[t.LANES], registers[R.M_K])
        zero = _zero_register(row, registers)
        if zero >= 0:
            total = _report(found, total, i, FaultKind.ZERO_REGISTER, zero, 0)
        if opcode == Opcode.DWC and not has_depthwise:
            total = _report(found, total, i, FaultKind.EXTENSION, 2, 0)
        if opcode == Opcode.VEC:
            if row[t.SHORT] > VecFunction.MULTIPLY:
                total = _report(found, total, i, FaultKind.FUNCTION, row[t.SHORT], 0)
            elif row[t.SHORT] >= VecFunction.ADD and not has_elementwise:
                total = _report(found, total, i, FaultKind.EXTENSION, 0, 0)
        if unit == 3:
            total = _activation(row, registers, i, found, total)
        if total != before:
            continue
        for interval in range(footprint(row, registers, array, intervals)):
            memory, low, high = intervals[interval, 0], intervals[interval, 2], intervals[interval, 3]
            if low < 0 or high > limits[memory]:
                total = _report(found, total, i, FaultKind.ADDRESS, memory, high)
    if table[count - 1, t.OPCODE] != Opcode.HLT:
        total = _report(found, total, count - 1, FaultKind.NO_HALT, table[count - 1, t.OPCODE], 0)
    if tiles_used < tiles_read:
        total = _report(found, total, count - 1, FaultKind.LEFT_TILES, tiles_read - tiles_used, 0)
    return total
