"""What a program computes, instruction by instruction in program order.

The order of a program without races is one of the orders the units may take, and all of them give the same; the
verifier has shown that before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa import table as t
from nascompiler.backends.tpu.isa.footprints import configure
from nascompiler.backends.tpu.isa.opcodes import MmcFlag, Opcode, RdwFlag
from nascompiler.backends.tpu.isa.registers import REGISTER_COUNT
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.isa.table import SIGNED, Table
from nascompiler.backends.tpu.kernel import kernel
from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.simulator.activation import activate, depthwise, pool, vector
from nascompiler.backends.tpu.simulator.elements import Bytes
from nascompiler.backends.tpu.simulator.matrix import CHUNK_ROWS, load_tile, multiply

_NEW_TILE = int(MmcFlag.NEW_TILE)
_WIDE_MULTIPLY = int(MmcFlag.WIDE_ACTIVATIONS | MmcFlag.WIDE_WEIGHTS)
_PARTIAL, _WIDE = int(RdwFlag.PARTIAL), int(RdwFlag.WIDE)


@kernel
def _tiles(table: Table, array: int) -> NDArray[np.int64]:
    """(address, rows, columns, flags) of every tile that is fetched."""
    total = 0
    for i in range(len(table)):
        if table[i, t.OPCODE] == Opcode.RDW:
            total += table[i, t.SHORT]
    tiles = np.zeros((total, 4), np.int64)
    total = 0
    for i in range(len(table)):
        row = table[i]
        if row[t.OPCODE] == Opcode.RDW:
            rows, columns = row[t.WORD] & 0xFFFF, row[t.WORD] >> 16
            size = rows * columns if row[t.FLAGS] & _PARTIAL else array * array
            pitch = (size * (2 if row[t.FLAGS] & _WIDE else 1) + 63) // 64 * 64
            for j in range(row[t.SHORT]):
                tiles[total, 0] = row[t.EXTENSION] * 64 + j * pitch
                tiles[total, 1] = rows
                tiles[total, 2] = columns
                tiles[total, 3] = row[t.FLAGS]
                total += 1
    return tiles


@kernel
def simulate_values(
    table: Table,
    signed: NDArray[np.bool_],
    array: int,
    buffer: Bytes,
    sums: NDArray[np.int32],
    parameters: Bytes,
    weights: Bytes,
    host: Bytes,
    chunk: int,
) -> None:
    """Run the program on memories that the verifier found large enough; `host` is read and written."""
    registers = np.zeros(REGISTER_COUNT, np.int64)
    tiles = _tiles(table, array)
    has_wide = False
    for i in range(len(table)):
        if table[i, t.OPCODE] == Opcode.MMC and table[i, t.FLAGS] & _WIDE_MULTIPLY:
            has_wide = True
    room = chunk * array
    inputs, products = np.zeros(room, np.float32), np.zeros(room, np.float32)
    numbers = np.zeros(array * array, np.float32)
    wide_room = room if has_wide else 0
    wide_inputs, wide_products = np.zeros(wide_room, np.float64), np.zeros(wide_room, np.float64)
    wide_numbers = np.zeros(array * array if has_wide else 0, np.float64)
    first, second, biases = np.zeros(array, np.int32), np.zeros(array, np.int32), np.zeros(array, np.int32)
    reals, multipliers = np.zeros(array, np.float32), np.zeros(array, np.float32)
    tile, loaded, wide_loaded = -1, -1, -1
    for i in range(len(table)):
        row = table[i]
        opcode = row[t.OPCODE]
        if opcode == Opcode.CFG:
            configure(row, registers, signed)
        elif opcode == Opcode.RHM:
            source = row[t.EXTENSION] * 64
            buffer[row[t.WORD] : row[t.WORD] + row[t.COUNT]] = host[source : source + row[t.COUNT]]
        elif opcode == Opcode.WHM:
            target = row[t.EXTENSION] * 64
            host[target : target + row[t.COUNT]] = buffer[row[t.WORD] : row[t.WORD] + row[t.COUNT]]
        elif opcode == Opcode.RHM_ALT or opcode == Opcode.WHM_ALT:
            for line in range(row[t.LENGTH]):
                place = row[t.WORD] + line * registers[R.H_BUFFER_STRIDE]
                outside = row[t.EXTENSION] * 64 + line * registers[R.H_HOST_STRIDE]
                if opcode == Opcode.RHM_ALT:
                    buffer[place : place + row[t.LANES]] = host[outside : outside + row[t.LANES]]
                else:
                    host[outside : outside + row[t.LANES]] = buffer[place : place + row[t.LANES]]
        elif opcode == Opcode.RDP:
            source = row[t.EXTENSION] * 64
            parameters[row[t.WORD] : row[t.WORD] + row[t.COUNT]] = weights[source : source + row[t.COUNT]]
        elif opcode == Opcode.MMC:
            if row[t.FLAGS] & _NEW_TILE:
                tile += 1
            if row[t.FLAGS] & _WIDE_MULTIPLY:
                if wide_loaded != tile:
                    load_tile(weights, tiles[tile], array, wide_numbers)
                    wide_loaded = tile
                multiply(row, registers, array, tiles[tile], wide_numbers, buffer, sums, wide_inputs, wide_products)
            else:
                if loaded != tile:
                    load_tile(weights, tiles[tile], array, numbers)
                    loaded = tile
                multiply(row, registers, array, tiles[tile], numbers, buffer, sums, inputs, products)
        elif opcode == Opcode.ACT:
            activate(row, registers, sums, parameters, buffer, biases, multipliers, reals, first)
        elif opcode == Opcode.POL:
            pool(row, registers, parameters, buffer, second, reals, first)
        elif opcode == Opcode.DWC:
            depthwise(row, registers, parameters, buffer, second, biases, multipliers, reals, first)
        elif opcode == Opcode.VEC:
            vector(row, registers, parameters, buffer, first, second, reals)


def run_values(table: Table, machine: Machine, weights: Bytes, host: Bytes) -> None:
    """Run a verified program; `host` is host memory, read and written."""
    simulate_values(
        table,
        SIGNED,
        machine.array,
        np.zeros(machine.unified_buffer_bytes, np.uint8),
        np.zeros((machine.accumulators, machine.array), np.int32),
        np.zeros(machine.parameter_memory_bytes, np.uint8),
        weights,
        host,
        CHUNK_ROWS,
    )
