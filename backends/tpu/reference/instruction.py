"""An instruction on its way through the literal machine, with the registers it took along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nascompiler.backends.tpu.isa.opcodes import FORMS, MmcFlag, Opcode, Records, Unit
from nascompiler.backends.tpu.isa.registers import REGISTER_COUNT, SIGNED_REGISTERS, Register


@dataclass
class Instruction:
    """`needs` are (unit, number of its instructions) that must have finished; `ready_at` the cycle when they had."""

    index: int
    opcode: Opcode
    flags: int
    short: int
    word: int
    length: int
    lanes: int
    extension: int
    registers: Mapping[Register, int] = field(default_factory=dict)
    needs: tuple[tuple[int, int], ...] = ()
    ready_at: int | None = None

    @property
    def count(self) -> int:
        """Length and lanes as one number."""
        return self.length + (self.lanes << 16)

    @property
    def speed(self) -> int:
        """Cycles that a row takes in the array: products of bytes for each pair of bytes."""
        wide = MmcFlag.WIDE_ACTIVATIONS, MmcFlag.WIDE_WEIGHTS
        return (1 + bool(self.flags & wide[0])) * (1 + bool(self.flags & wide[1]))


def decode(records: Records) -> tuple[list[Instruction], dict[int, list[Instruction]]]:
    """All instructions, and those of each unit, with registers and waits as the issue stage attaches them."""
    values = [0] * REGISTER_COUNT
    everything: list[Instruction] = []
    queues: dict[int, list[Instruction]] = {unit: [] for unit in range(4)}
    waiting: dict[int, list[tuple[int, int]]] = {unit: [] for unit in range(4)}
    signed = {int(register) for register in SIGNED_REGISTERS}
    for index, record in enumerate(records):
        opcode, *rest = record.item()
        made = Instruction(index, Opcode(opcode), *rest)
        everything.append(made)
        if made.opcode is Opcode.CFG:
            for i, bits in enumerate((made.word, made.count, made.extension)[: made.flags]):
                number = made.short + i
                values[number] = bits - (1 << 32) if number in signed and bits >= 1 << 31 else bits
        elif made.opcode is Opcode.SYNC:
            waiting[made.short].append((made.length, len(queues[made.length]) - made.extension))
        unit = FORMS[made.opcode].unit
        if unit is not Unit.ISSUE:
            made.registers = {register: values[register] for register in Register}
            made.needs, waiting[unit] = tuple(waiting[unit]), []
            queues[unit].append(made)
    return everything, queues
