"""When each instruction runs: four units with queues of their own, in whole cycles.

The rules are in docs/tpu.md. Each start is a maximum of sums of what came before, so no transfer that becomes faster
and no queue that becomes deeper can make a program slower.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa import table as t
from nascompiler.backends.tpu.isa.footprints import BUFFER, MAXIMUM_INTERVALS, configure, element_bytes, footprint
from nascompiler.backends.tpu.isa.opcodes import MmcFlag, Opcode, RdwFlag, VecFunction
from nascompiler.backends.tpu.isa.registers import REGISTER_COUNT
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.isa.table import SIGNED, UNIT_OF, Table
from nascompiler.backends.tpu.kernel import kernel
from nascompiler.backends.tpu.machine import Machine

Integers = NDArray[np.int64]

_NEW_TILE = int(MmcFlag.NEW_TILE)
_WIDE_ACTIVATIONS, _WIDE_WEIGHTS = int(MmcFlag.WIDE_ACTIVATIONS), int(MmcFlag.WIDE_WEIGHTS)
_PARTIAL, _WIDE = int(RdwFlag.PARTIAL), int(RdwFlag.WIDE)


class Count(IntEnum):
    """What is counted for each layer. Cycles but for MACs, bytes and instructions."""

    ARRAY_ACTIVE = 0
    WEIGHT_STALL = 1
    WEIGHT_SHIFT = 2
    NON_MATRIX = 3
    RAW_STALLS = 4
    INPUT_STALLS = 5
    USEFUL_MACS = 6
    DRAM_BYTES = 7
    HOST_READ_BYTES = 8
    HOST_WRITE_BYTES = 9
    HOST_BUSY = 10
    WEIGHT_BUSY = 11
    ACTIVATION_BUSY = 12
    INSTRUCTIONS = 13


COUNTS = len(Count)


@kernel
def _work(row: Integers, r: Integers, array: int) -> int:
    """Cycles that the matrix or activation unit is busy with an instruction."""
    opcode, rows = row[t.OPCODE], row[t.LENGTH]
    if opcode == Opcode.MMC:
        speed = 2 if row[t.FLAGS] & _WIDE_ACTIVATIONS else 1
        return int(rows * speed * (2 if row[t.FLAGS] & _WIDE_WEIGHTS else 1))
    stored = row[t.LANES] * element_bytes(r[R.A_OUT_TYPE])
    read, taps = 0, 1
    if opcode == Opcode.POL or opcode == Opcode.DWC:
        read = row[t.LANES] * element_bytes(r[R.A_SOURCE_TYPE])
        taps = r[R.A_KERNEL_HEIGHT] * r[R.A_KERNEL_WIDTH]
    if opcode == Opcode.VEC:
        read = row[t.LANES] * element_bytes(r[R.A_A_TYPE])
        if row[t.SHORT] >= VecFunction.ADD and r[R.A_B_STRIDE] != 0:
            read += (row[t.LANES] if r[R.A_B_LANE_STRIDE] else 1) * element_bytes(r[R.A_B_TYPE])
    # The buffer's paths are one row of the array wide, one in and one out.
    return int(rows * max(taps * ((read + array - 1) // array), (stored + array - 1) // array))


@kernel
def simulate_time(
    table: Table,
    unit_of: Integers,
    signed: NDArray[np.bool_],
    array: int,
    fifo: int,
    weight_rate: Integers,
    host_rate: Integers,
    latency: int,
    overlap: bool,
    cycle_limit: int,
    counts: Integers,
    start: Integers,
    finish: Integers,
) -> tuple[int, int, int]:
    """Fill `counts` [layers, COUNTS], and the first and last cycle of each instruction.

    Rates are (numerator, denominator) of cycles a byte. Returns cycles, the end of the highest bytes used in the
    Unified Buffer, and the number of instructions that could not run: 0, or those that wait for each other; -1 when the
    cycle limit was passed.
    """
    count = len(table)
    registers = np.zeros(REGISTER_COUNT, np.int64)
    intervals = np.zeros((MAXIMUM_INTERVALS, 4), np.int64)
    queue = np.zeros((4, count + 1), np.int64)
    issued = np.zeros(4, np.int64)
    waits = np.zeros((count, 4), np.int64)
    pending = np.zeros((4, 4), np.int64)
    work = np.zeros(count, np.int64)
    tag_of = np.zeros(count, np.int64)
    tag, tiles, high_water = 0, 0, 0
    for i in range(count):
        if table[i, t.OPCODE] == Opcode.RDW:
            tiles += table[i, t.SHORT]
    tile_useful = np.zeros(tiles, np.int64)
    tile_shift = np.zeros(tiles, np.int64)
    arrival = np.zeros(tiles, np.int64)
    released = np.zeros(tiles, np.int64)
    tiles = 0
    for i in range(count):
        row = table[i]
        opcode = row[t.OPCODE]
        start[i] = finish[i] = i
        if opcode == Opcode.CFG:
            configure(row, registers, signed)
        elif opcode == Opcode.DBG:
            tag = row[t.EXTENSION]
        elif opcode == Opcode.SYNC:
            waiter, producer = row[t.SHORT], row[t.LENGTH]
            pending[waiter, producer] = max(pending[waiter, producer], issued[producer] - row[t.EXTENSION])
        tag_of[i] = tag
        counts[tag, Count.INSTRUCTIONS] += 1
        unit = unit_of[opcode]
        if unit > 3:
            continue
        queue[unit, issued[unit]] = i
        issued[unit] += 1
        waits[i] = pending[unit]
        pending[unit] = 0
        if opcode == Opcode.RDW:
            size = array * array
            if row[t.FLAGS] & _PARTIAL:
                size = (row[t.WORD] & 0xFFFF) * (row[t.WORD] >> 16)
            work[i] = size * (2 if row[t.FLAGS] & _WIDE else 1)
            for _ in range(row[t.SHORT]):
                tile_useful[tiles] = row[t.COUNT]
                tile_shift[tiles] = array * (2 if row[t.FLAGS] & _WIDE else 1)
                tiles += 1
        elif opcode == Opcode.RHM_ALT or opcode == Opcode.WHM_ALT:
            work[i] = row[t.LENGTH] * row[t.LANES]
        elif unit == 0 or unit == 1:
            work[i] = row[t.COUNT]
        else:
            work[i] = _work(row, registers, array)
        for interval in range(footprint(row, registers, array, intervals)):
            if intervals[interval, 0] == BUFFER:
                high_water = max(high_water, intervals[interval, 3])

    done = np.zeros((4, count + 1), np.int64)  # when the first so many instructions of a unit have finished
    place = np.zeros(4, np.int64)
    host_free, weight_free = 0, 0  # in cycles times the rates' denominators
    matrix_free, last_switch, activation_free = 0, 0, 0
    tiles_fetched, tiles_of_this, tiles_used, tile = 0, 0, 0, -1
    moved = True
    while moved:
        moved = False
        for unit in range(4):
            while place[unit] < issued[unit]:
                i = queue[unit, place[unit]]
                ready, is_open = i, True
                for other in range(4):
                    if waits[i, other] > place[other]:
                        is_open = False
                    elif waits[i, other]:
                        ready = max(ready, done[other, waits[i, other]])
                if not is_open:
                    break
                row, layer = table[i], tag_of[i]
                opcode = row[t.OPCODE]
                if unit == 0:
                    begin = max(host_free, ready * host_rate[1])
                    host_free = begin + work[i] * host_rate[0]
                    start[i] = begin // host_rate[1]
                    finish[i] = (host_free + host_rate[1] - 1) // host_rate[1]
                    counts[layer, Count.HOST_BUSY] += finish[i] - start[i]
                    is_read = opcode == Opcode.RHM or opcode == Opcode.RHM_ALT
                    counts[layer, Count.HOST_READ_BYTES if is_read else Count.HOST_WRITE_BYTES] += work[i]
                elif unit == 1:
                    wanted = row[t.SHORT] if opcode == Opcode.RDW else 1
                    while tiles_of_this < wanted:
                        slot = 0
                        if opcode == Opcode.RDW and tiles_fetched >= fifo:
                            leaving = tiles_fetched - fifo
                            if leaving > tiles_used or (leaving == tiles_used and not overlap):
                                is_open = False
                                break
                            slot = released[leaving]
                            if leaving == tiles_used:  # moves into the shadow before anyone asks for it
                                slot = max(arrival[leaving], last_switch) + tile_shift[leaving]
                        begin = max(weight_free, max(ready, slot) * weight_rate[1])
                        weight_free = begin + work[i] * weight_rate[0]
                        if tiles_of_this == 0:
                            start[i] = begin // weight_rate[1]
                        finish[i] = (weight_free + weight_rate[1] - 1) // weight_rate[1]
                        counts[layer, Count.WEIGHT_BUSY] += finish[i] - begin // weight_rate[1]
                        counts[layer, Count.DRAM_BYTES] += work[i]
                        if opcode == Opcode.RDW:
                            arrival[tiles_fetched] = finish[i]
                            tiles_fetched += 1
                        tiles_of_this += 1
                        moved = True
                    if not is_open:
                        break
                    tiles_of_this = 0
                elif unit == 2:
                    begin = max(matrix_free, ready)
                    if row[t.FLAGS] & _NEW_TILE:
                        if tiles_used >= tiles_fetched:
                            break
                        tile = tiles_used
                        shift = max(arrival[tile], last_switch)
                        if not overlap:
                            shift = max(shift, begin)
                        released[tile] = shift + tile_shift[tile]
                        tiles_used += 1
                        begin = max(begin, released[tile])
                        # Time without work: for as long as the tile was on its way, then being shifted in, then else.
                        stall = max(min(arrival[tile], begin) - matrix_free, 0)
                        shifting = max(min(released[tile], begin) - max(shift, matrix_free), 0)
                        counts[layer, Count.WEIGHT_STALL] += stall
                        counts[layer, Count.WEIGHT_SHIFT] += shifting
                        counts[layer, Count.NON_MATRIX] += begin - matrix_free - stall - shifting
                        last_switch = begin
                    else:
                        counts[layer, Count.NON_MATRIX] += begin - matrix_free
                    if waits[i, 3]:
                        wait = min(done[3, waits[i, 3]], begin) - matrix_free
                        counts[layer, Count.RAW_STALLS] += max(wait, 0)
                    if waits[i, 0]:
                        wait = min(done[0, waits[i, 0]], begin) - matrix_free
                        counts[layer, Count.INPUT_STALLS] += max(wait, 0)
                    counts[layer, Count.ARRAY_ACTIVE] += work[i]
                    counts[layer, Count.USEFUL_MACS] += row[t.LENGTH] * tile_useful[tile]
                    start[i] = begin
                    finish[i] = begin + work[i] + 2 * array - 2
                    matrix_free = begin + work[i] if overlap else finish[i]
                    if not overlap:
                        counts[layer, Count.NON_MATRIX] += 2 * array - 2
                else:
                    start[i] = max(activation_free, ready)
                    finish[i] = activation_free = start[i] + work[i] + latency
                    counts[layer, Count.ACTIVATION_BUSY] += work[i]
                done[unit, place[unit] + 1] = max(done[unit, place[unit]], finish[i])
                place[unit] += 1
                moved = True
                if finish[i] > cycle_limit:
                    return finish[i], high_water, -1
    cycles, last = count, count - 1
    for i in range(count):
        if finish[i] > cycles:
            cycles, last = finish[i], i
    counts[tag_of[last], Count.NON_MATRIX] += cycles - matrix_free
    stuck = 0
    for unit in range(4):
        stuck += issued[unit] - place[unit]
    return cycles, high_water, stuck


def run_timing(
    table: Table, machine: Machine, layers: int, cycle_limit: int
) -> tuple[int, int, int, Integers, Integers, Integers]:
    """Cycles, high-water mark, instructions that are stuck, counts [layers, COUNTS], first and last cycles."""
    counts = np.zeros((max(layers, 1), COUNTS), np.int64)
    start, finish = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    weight_rate, host_rate = machine.weight_cycles_per_byte, machine.host_cycles_per_byte
    cycles, high_water, stuck = simulate_time(
        table,
        UNIT_OF,
        SIGNED,
        machine.array,
        machine.fifo_tiles,
        np.array((weight_rate.numerator, weight_rate.denominator)),
        np.array((host_rate.numerator, host_rate.denominator)),
        machine.activation_latency_cycles,
        machine.overlap,
        cycle_limit,
        counts,
        start,
        finish,
    )
    return cycles, high_water, stuck, counts, start, finish
