"""The four units of the literal machine, cycle by cycle."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.opcodes import DRAM_UNIT, MmcFlag, Opcode, RdwFlag
from nascompiler.backends.tpu.isa.program import Program
from nascompiler.backends.tpu.isa.registers import Register as R
from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.reference.activation import Writes, row_cycles, row_results
from nascompiler.backends.tpu.reference.instruction import Instruction, decode
from nascompiler.backends.tpu.reference.memory import Bytes, store
from nascompiler.backends.tpu.reference.systolic import Pass, SystolicArray, Tile
from nascompiler.ir.errors import ModelError

HOST, WEIGHT, MATRIX, ACTIVATION = range(4)
_READS = (Opcode.RHM, Opcode.RHM_ALT)
_ALTERNATE = (Opcode.RHM_ALT, Opcode.WHM_ALT)


@dataclass(frozen=True)
class ReferenceRun:
    """`start` and `finish` are cycles of each instruction, `cycles` what each cycle was spent on in the array."""

    cycles: int
    host: Bytes
    buffer: Bytes
    sums: NDArray[np.int32]
    start: list[int]
    finish: list[int]
    array_active: int
    weight_stall: int
    weight_shift: int
    non_matrix: int
    raw_stalls: int
    input_stalls: int


def run_reference(program: Program, machine: Machine, host: Bytes, *, cycle_limit: int = 100_000) -> ReferenceRun:
    """Run a verified program; raises ModelError when it does not end."""
    run = _Machine(program, machine, host)
    cycle = 0
    while not run.is_finished(cycle):
        if cycle > cycle_limit:
            raise ModelError(f"the program did not end within {cycle_limit} cycles")
        run.step(cycle)
        cycle += 1
    return run.result()


@dataclass
class _Arrived:
    """A tile that is reserved a place in the FIFO, from `at` on there."""

    tile: Tile
    at: int | None = None


@dataclass
class _Unit:
    instructions: list[Instruction]
    begun: int = 0
    finished: int = 0
    running: Instruction | None = None
    free: Fraction = field(default_factory=Fraction)
    ends: Fraction = field(default_factory=Fraction)

    @property
    def head(self) -> Instruction | None:
        """The next instruction to begin."""
        return self.instructions[self.begun] if self.begun < len(self.instructions) else None


class _Machine:
    def __init__(self, program: Program, machine: Machine, host: Bytes) -> None:
        self.program, self.machine = program, machine
        self.host = host.copy()
        self.buffer = np.zeros(machine.unified_buffer_bytes, np.uint8)
        self.parameters = np.zeros(machine.parameter_memory_bytes, np.uint8)
        self.sums = np.zeros((machine.accumulators, machine.array), np.int32)
        self.instructions, queues = decode(program.instructions)
        self.units = [_Unit(queues[unit]) for unit in range(4)]
        self.start = [i for i, _ in enumerate(self.instructions)]
        self.finish = list(self.start)
        self.array = SystolicArray(machine.array)
        self.entering: dict[int, Pass] = {}
        self.completing: list[tuple[int, int]] = []  # (cycle, unit) of instructions whose end is known
        self.fifo: deque[_Arrived] = deque()
        self.tiles_left = 0  # of the RDW that is being served
        self.places_opened: deque[int] = deque([0] * machine.fifo_tiles)
        self.shifting_until: int | None = None
        self.shadow_ready_at: int | None = None
        self.last_switch = 0
        self.matrix_free = 0
        self.activation_row = 0
        self.late_writes: list[tuple[int, Writes]] = []
        self.tallies = dict.fromkeys(("active", "stall", "shift", "none", "raw", "input"), 0)
        self.record: list[tuple[str, bool, bool]] = []

    def is_finished(self, cycle: int) -> bool:
        """Whether all units are done by the begin of this cycle."""
        return cycle >= len(self.instructions) and all(u.finished == len(u.instructions) for u in self.units)

    def step(self, cycle: int) -> None:
        for at, writes in [entry for entry in self.late_writes if entry[0] <= cycle]:
            for address, element_type, value in writes:
                store(self.buffer, address, element_type, value)
            self.late_writes.remove((at, writes))
        changed = True
        while changed:
            changed = self._complete(cycle)
            self._mark_ready(cycle)
            for begin in (self._host, self._weights, self._shift, self._matrix, self._activation):
                changed |= begin(cycle)
        self._work_on_activations(cycle)
        self._observe(cycle)
        if cycle in self.entering:
            self.array.enter(cycle, self.entering.pop(cycle))
        self.array.step(cycle, self.buffer, self.sums)

    def result(self) -> ReferenceRun:
        cycles = max(len(self.instructions), *self.finish)
        counted = self.record[:cycles]
        kinds = [kind for kind, _, _ in counted]
        return ReferenceRun(
            cycles=cycles,
            host=self.host,
            buffer=self.buffer,
            sums=self.sums,
            start=self.start,
            finish=self.finish,
            array_active=kinds.count("active"),
            weight_stall=kinds.count("stall"),
            weight_shift=kinds.count("shift"),
            non_matrix=kinds.count("none"),
            raw_stalls=sum(raw for _, raw, _ in counted),
            input_stalls=sum(waits for _, _, waits in counted),
        )

    def _complete(self, cycle: int) -> bool:
        due = [entry for entry in self.completing if entry[0] <= cycle]
        for entry in due:
            self.completing.remove(entry)
            self.units[entry[1]].finished += 1
        return bool(due)

    def _mark_ready(self, cycle: int) -> None:
        for unit in self.units:
            for instruction in unit.instructions[unit.begun :]:
                is_ready = instruction.index <= cycle
                is_ready &= all(self.units[other].finished >= number for other, number in instruction.needs)
                if instruction.ready_at is None and is_ready:
                    instruction.ready_at = cycle

    def _begin(self, unit: int, instruction: Instruction, start: int, finish: int) -> None:
        self.units[unit].begun += 1
        self.start[instruction.index], self.finish[instruction.index] = start, finish
        self.completing.append((finish, unit))

    def _host(self, cycle: int) -> bool:
        unit = self.units[HOST]
        head = unit.head
        # A transfer may begin in the middle of a cycle, where the one before it ended: it is known at the next.
        if head is None or head.ready_at is None or ceil(unit.free) > cycle:
            return False
        size = head.length * head.lanes if head.opcode in _ALTERNATE else head.count
        begin = max(unit.free, Fraction(head.ready_at))
        unit.free = begin + size * self.machine.host_cycles_per_byte
        self._begin(HOST, head, floor(begin), ceil(unit.free))
        rows, width = (head.length, head.lanes) if head.opcode in _ALTERNATE else (min(size, 1), size)
        for row in range(rows):
            inside, outside = head.word, head.extension * DRAM_UNIT
            if head.opcode in _ALTERNATE:
                inside += row * head.registers[R.H_BUFFER_STRIDE]
                outside += row * head.registers[R.H_HOST_STRIDE]
            if head.opcode in _READS:
                self.buffer[inside : inside + width] = self.host[outside : outside + width]
            else:
                self.host[outside : outside + width] = self.buffer[inside : inside + width]
        return True

    def _weights(self, cycle: int) -> bool:
        unit = self.units[WEIGHT]
        head = unit.head
        if head is None or head.ready_at is None or ceil(unit.free) > cycle:
            return False
        place = head.extension * DRAM_UNIT
        rate = self.machine.weight_cycles_per_byte
        if head.opcode is Opcode.RDP:
            begin = max(unit.free, Fraction(head.ready_at))
            unit.free = begin + head.count * rate
            self._begin(WEIGHT, head, floor(begin), ceil(unit.free))
            self.parameters[head.word : head.word + head.count] = self.program.weights[place : place + head.count]
            return True
        if not self.places_opened:
            return False
        is_first = self.tiles_left == 0
        if is_first:
            self.tiles_left = head.short
        begin = max(unit.free, Fraction(max(head.ready_at, self.places_opened.popleft())))
        size, tile = self._tile(head, head.short - self.tiles_left)
        unit.free = begin + size * rate
        self.fifo.append(_Arrived(tile, ceil(unit.free)))
        if is_first:
            self.start[head.index] = floor(begin)
        self.tiles_left -= 1
        if self.tiles_left == 0:
            self._begin(WEIGHT, head, self.start[head.index], ceil(unit.free))
        return True

    def _tile(self, instruction: Instruction, number: int) -> tuple[int, Tile]:
        """Bytes that are fetched, and the tile they make."""
        size = self.machine.array
        rows, columns = instruction.word & 0xFFFF, instruction.word >> 16
        width = 2 if instruction.flags & RdwFlag.WIDE else 1
        shape = (rows, columns) if instruction.flags & RdwFlag.PARTIAL else (size, size)
        count = shape[0] * shape[1] * width
        place = instruction.extension * DRAM_UNIT + number * (-(-count // DRAM_UNIT) * DRAM_UNIT)
        data = self.program.weights[place : place + count].view("<i2" if width == 2 else "i1").reshape(shape)
        weights = np.zeros((size, size), np.int64)
        weights[:rows, :columns] = data[:rows, :columns]
        return count, Tile(weights, width)

    def _shift(self, cycle: int) -> bool:
        changed = False
        if self.shifting_until is not None and self.shifting_until <= cycle:
            self.places_opened.append(self.shifting_until)
            self.shadow_ready_at, self.shifting_until = self.shifting_until, None
            changed = True
        is_idle = self.shifting_until is None and self.shadow_ready_at is None
        if is_idle and self.fifo and (self.fifo[0].at or 0) <= cycle and self._may_shift(cycle):
            tile = self.fifo.popleft().tile
            self.array.shift_in(cycle, tile)
            self.shifting_until = cycle + self.machine.array * tile.width
            changed = True
        return changed

    def _may_shift(self, cycle: int) -> bool:
        """Without overlap a tile is loaded when it is the turn of the instruction that wants it."""
        head = self.units[MATRIX].head
        if self.machine.overlap:
            return True
        is_turn = head is not None and head.ready_at is not None and self.matrix_free <= cycle
        return is_turn and head is not None and bool(head.flags & MmcFlag.NEW_TILE)

    def _matrix(self, cycle: int) -> bool:
        head = self.units[MATRIX].head
        if head is None or head.ready_at is None or self.matrix_free > cycle:
            return False
        is_new = bool(head.flags & MmcFlag.NEW_TILE)
        if is_new and self.shadow_ready_at is None:
            return False
        if is_new:
            self.shadow_ready_at = None
        at = cycle
        for row in range(head.length):
            for activation_byte in range(2 if head.flags & MmcFlag.WIDE_ACTIVATIONS else 1):
                for weight_byte in range(2 if head.flags & MmcFlag.WIDE_WEIGHTS else 1):
                    self.entering[at] = Pass(head, row, activation_byte, weight_byte, is_new and at == cycle)
                    at += 1
        drained = at + 2 * (self.machine.array - 1)
        self.matrix_free = at if self.machine.overlap else drained
        self._begin(MATRIX, head, cycle, drained)
        return True

    def _activation(self, cycle: int) -> bool:
        unit = self.units[ACTIVATION]
        head = unit.head
        if head is None or head.ready_at is None or unit.free > cycle:
            return False
        work = head.length * row_cycles(head, self.machine.array)
        unit.free = Fraction(cycle + work + self.machine.activation_latency_cycles)
        unit.running = head
        self._begin(ACTIVATION, head, cycle, int(unit.free))
        return True

    def _work_on_activations(self, cycle: int) -> None:
        running = self.units[ACTIVATION].running
        if running is None:
            return
        each = row_cycles(running, self.machine.array)
        row, rest = divmod(cycle - self.start[running.index], each)
        if row < running.length and rest == 0:
            writes = row_results(running, row, self.buffer, self.sums, self.parameters)
            self.late_writes.append((cycle + each + self.machine.activation_latency_cycles, writes))

    def _observe(self, cycle: int) -> None:
        """What the array does in this cycle, and which of the next instruction's waits are open."""
        head = self.units[MATRIX].head
        if cycle in self.entering:
            self.record.append(("active", False, False))
            return
        kind = "none"
        if head is not None and head.flags & MmcFlag.NEW_TILE:
            if self.shifting_until is not None:
                kind = "shift"
            elif self.shadow_ready_at is None and self.matrix_free <= cycle:
                has_arrived = bool(self.fifo) and (self.fifo[0].at or 0) <= cycle
                kind = "none" if has_arrived else "stall"
        if self.matrix_free > cycle:
            kind = "none"
        open_units = {unit for unit, number in head.needs if self.units[unit].finished < number} if head else set()
        is_idle = self.matrix_free <= cycle
        self.record.append((kind, is_idle and ACTIVATION in open_units, is_idle and HOST in open_units))
