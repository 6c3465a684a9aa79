"""The order that SYNCs make between the units, and where memory asks for one.

Each unit runs its instructions in their order. `known[u][v]` is the number of instructions of unit v that are sure to
have finished when the next one of unit u starts: SYNCs raise it, by what the producer itself knew as well, and a tile
that passes the FIFO raises what the matrix unit knows of the weight unit. An instruction may touch memory that another
unit's instruction wrote, or write what another touched, only when that one is among the known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa import table as t
from nascompiler.backends.tpu.isa.footprints import MAXIMUM_INTERVALS, PARAMETER, configure, footprint
from nascompiler.backends.tpu.isa.opcodes import RECORD, MmcFlag, Opcode, Records
from nascompiler.backends.tpu.isa.registers import REGISTER_COUNT
from nascompiler.backends.tpu.isa.table import SIGNED, UNIT_OF, Table, to_table
from nascompiler.backends.tpu.kernel import kernel
from nascompiler.backends.tpu.machine import Machine

UNITS = 4
_NEW_TILE = int(MmcFlag.NEW_TILE)
_PARAMETER_GRANULE = 8
_SMALLEST_BUFFER_GRANULE = 64


def granules(machine: Machine) -> NDArray[np.int64]:
    """Units of memory that are told apart: bytes or rows of a granule, number of them, and how many belong to the
    memories before, for the shared memories."""
    row = max(machine.array, _SMALLEST_BUFFER_GRANULE)
    sizes = [row, 1, _PARAMETER_GRANULE]
    counts = [
        -(-machine.unified_buffer_bytes // row),
        machine.accumulators,
        -(-machine.parameter_memory_bytes // _PARAMETER_GRANULE),
    ]
    return np.array(list(zip(sizes, counts, (0, counts[0], counts[0] + counts[1]), strict=True)), np.int64)


@kernel
def _span(interval: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[int, int]:
    """The granules of an interval, counted over all memories."""
    granule, limit, first = sizes[interval[0], 0], sizes[interval[0], 1], sizes[interval[0], 2]
    low, high = max(interval[2] // granule, 0), min((interval[3] + granule - 1) // granule, limit)
    return first + low, first + high


@kernel
def _latest(
    last: NDArray[np.int32], unit: int, low: int, high: int, needed: NDArray[np.int64], users: NDArray[np.bool_]
) -> None:
    for other in range(4):
        if other != unit and users[other]:
            latest = needed[other]
            for granule in range(low, high):
                latest = max(latest, last[other, granule])
            needed[other] = latest


@kernel
def find_needs(
    table: Table,
    unit_of: NDArray[np.int64],
    signed: NDArray[np.bool_],
    array: int,
    sizes: NDArray[np.int64],
    registers: NDArray[np.int64],
    writes: NDArray[np.int32],
    reads: NDArray[np.int32],
    trust: bool,
) -> tuple[NDArray[np.int64], int]:
    """What each instruction must wait for: rows of (instruction, other unit, its instructions, lag).

    With `trust` the SYNCs in the table count, and only what they leave open is found; without it each need found is
    taken as met from there on, and of needs at one instruction those that another implies are left out. `writes` and
    `reads` are zeros for each unit and granule, and will hold the last instruction that did so.
    """
    has_written = np.zeros((3, 4), np.bool_)
    has_read = np.zeros((3, 4), np.bool_)
    count = len(table)
    issued = np.zeros(4, np.int64)
    known = np.zeros((4, 4), np.int64)
    clocks = np.zeros((4, count + 1, 4), np.int64)
    tiles_fetched_by = np.zeros(count + 1, np.int64)  # tiles that the first so many weight instructions bring
    tiles_used, fetches = 0, 0
    found = np.zeros((MAXIMUM_INTERVALS, 4), np.int64)
    needs = np.zeros((3 * count, 4), np.int64)
    total = 0
    needed = np.zeros(4, np.int64)
    for i in range(count):
        row = table[i]
        opcode = row[t.OPCODE]
        if opcode == Opcode.CFG:
            configure(row, registers, signed)
            continue
        if opcode == Opcode.SYNC:
            waiter, producer = row[t.SHORT], row[t.LENGTH]
            if waiter > 3 or producer > 3:
                continue
            finished = issued[producer] - row[t.EXTENSION]
            if trust and finished > known[waiter, producer]:
                known[waiter, producer] = finished
                for other in range(4):
                    known[waiter, other] = max(known[waiter, other], clocks[producer, finished, other])
            continue
        unit = unit_of[opcode]
        if unit < 0 or unit > 3:
            continue
        if opcode == Opcode.MMC and row[t.FLAGS] & _NEW_TILE:
            tiles_used += 1
            while fetches < issued[1] and tiles_fetched_by[fetches] < tiles_used:
                fetches += 1
            if fetches > known[unit, 1]:
                known[unit, 1] = fetches
                for other in range(4):
                    known[unit, other] = max(known[unit, other], clocks[1, fetches, other])
        needed[:] = 0
        intervals = footprint(row, registers, array, found)
        for interval in range(intervals):
            memory = found[interval, 0]
            if memory > PARAMETER:
                continue
            low, high = _span(found[interval], sizes)
            _latest(writes, unit, low, high, needed, has_written[memory])
            if found[interval, 1]:
                _latest(reads, unit, low, high, needed, has_read[memory])
        for other in range(4):
            if needed[other] <= known[unit, other]:
                needed[other] = 0
        if not trust:
            for other in range(4):
                for implied in range(4):
                    both = other != implied and needed[other] and needed[implied]
                    if both and clocks[other, needed[other], implied] >= needed[implied]:
                        needed[implied] = 0
        for other in range(4):
            if needed[other]:
                needs[total, 0] = i
                needs[total, 1] = other
                needs[total, 2] = needed[other]
                needs[total, 3] = issued[other] - needed[other]
                total += 1
        for other in range(4):
            if needed[other]:
                known[unit, other] = max(known[unit, other], needed[other])
                for further in range(4):
                    known[unit, further] = max(known[unit, further], clocks[other, needed[other], further])
        issued[unit] += 1
        known[unit, unit] = issued[unit] - 1
        clocks[unit, issued[unit]] = known[unit]
        if unit == 1:
            brought = row[t.SHORT] if opcode == Opcode.RDW else 0
            tiles_fetched_by[issued[1]] = tiles_fetched_by[issued[1] - 1] + brought
        for interval in range(intervals):
            memory = found[interval, 0]
            if memory > PARAMETER:
                continue
            low, high = _span(found[interval], sizes)
            if found[interval, 1]:
                has_written[memory, unit] = True
                writes[unit, low:high] = issued[unit]
            else:
                has_read[memory, unit] = True
                reads[unit, low:high] = issued[unit]
    return needs[:total], total


def needs_of(instructions: Records, machine: Machine, *, trust_syncs: bool) -> NDArray[np.int64]:
    """Rows of (instruction, other unit, its instructions to wait for, how many after those are issued by then)."""
    sizes = granules(machine)
    total = int(sizes[:, 1].sum())
    needs, _ = find_needs(
        to_table(instructions),
        UNIT_OF,
        SIGNED,
        machine.array,
        sizes,
        np.zeros(REGISTER_COUNT, np.int64),
        np.zeros((UNITS, total), np.int32),  # made here: memory that nobody touches costs nothing then
        np.zeros((UNITS, total), np.int32),
        trust_syncs,
    )
    return needs


def insert_synchronization(instructions: Records, machine: Machine) -> Records:
    """The instructions with exactly the SYNCs that memory asks for; SYNCs they have already are replaced.

    No SYNC that this puts in can be taken out: the two instructions it orders would be in a race. Addresses must be
    valid: `verify_program` with `hazards=False` says so.
    """
    plain = instructions[instructions["opcode"] != Opcode.SYNC]
    needs = needs_of(plain, machine, trust_syncs=False)
    syncs = np.zeros(len(needs), RECORD)
    syncs["opcode"] = Opcode.SYNC
    units = UNIT_OF[plain["opcode"][needs[:, 0]].astype(np.int64)]
    syncs["short"] = units
    syncs["length"] = needs[:, 1]
    syncs["extension"] = needs[:, 3]
    return np.insert(plain, needs[:, 0], syncs)
