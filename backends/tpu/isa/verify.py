"""The verifier of programs: every fault at once, with the instruction it is in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.faults import ALLOWED_FLAGS, MAXIMUM_FAULTS, USED_FIELDS, FaultKind, find_faults
from nascompiler.backends.tpu.isa.hazards import needs_of
from nascompiler.backends.tpu.isa.opcodes import (
    DEPTHWISE,
    ELEMENTWISE,
    EXTENSIONS,
    PARTIAL_TILES,
    RECORD,
    Opcode,
    Unit,
)
from nascompiler.backends.tpu.isa.program import Program
from nascompiler.backends.tpu.isa.registers import Register
from nascompiler.backends.tpu.isa.table import SIGNED, UNIT_OF, Table, to_table
from nascompiler.backends.tpu.machine import Machine
from nascompiler.ir.errors import ModelError

_SHOWN = 20
_MEMORIES = ("the Unified Buffer", "the accumulators", "parameter memory", "the weights", "host memory")


class ProgramError(ModelError):
    """A program that a machine cannot run, or not always to the same end. `faults` lists why."""

    def __init__(self, faults: list[str], machine: Machine) -> None:
        more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        listed = "\n  ".join(faults[:_SHOWN])
        super().__init__(f"the program cannot run on {machine}:\n  {listed}{more}")
        self.faults = faults


def verify_program(program: Program, machine: Machine, *, hazards: bool = True) -> None:
    """Raise ProgramError, listing every fault (up to 200), for a program that the machine cannot run.

    `hazards` asks in addition whether SYNCs order all that two units do to the same memory. That needs valid
    addresses, so it is looked at only when nothing else is wrong.
    """
    found = program_faults(program, machine, hazards=hazards)
    if found:
        raise ProgramError(found, machine)


def program_faults(program: Program, machine: Machine, *, hazards: bool = True) -> list[str]:
    """What `verify_program` would say, one text a fault; nothing where the program may run."""
    if program.array != machine.array:
        return [f"its tiles were cut for an array of {program.array}x{program.array}; recompile it for this machine"]
    table = to_table(program.instructions)
    faults = np.zeros((MAXIMUM_FAULTS, 4), np.int64)
    total = find_faults(
        table,
        UNIT_OF,
        SIGNED,
        USED_FIELDS,
        ALLOWED_FLAGS,
        machine.array,
        _limits(program, machine),
        ELEMENTWISE in machine.extensions,
        PARTIAL_TILES in machine.extensions,
        DEPTHWISE in machine.extensions,
        max(len(program.tags), 1),
        faults,
    )
    texts = [_text(table, fault, machine) for fault in faults[:total]]
    if program.weights.size > machine.weight_memory_bytes:
        texts.append(f"weights of {program.weights.size} bytes; weight memory has {machine.weight_memory_bytes}")
    if texts or not hazards:
        return texts
    return [_race(table, need) for need in needs_of(program.instructions, machine, trust_syncs=True)]


def _limits(program: Program, machine: Machine) -> NDArray[np.int64]:
    sizes = (machine.unified_buffer_bytes, machine.accumulators, machine.parameter_memory_bytes)
    return np.array([*sizes, program.weights.size, program.host_bytes], np.int64)


def _name(table: Table, index: int) -> str:
    code = int(table[index, 0])
    return Opcode(code).name if code in list(Opcode) else f"opcode {code}"


def _text(table: Table, fault: NDArray[np.int64], machine: Machine) -> str:
    index, kind, first, second = (int(n) for n in fault)
    where = f"instruction {index} ({_name(table, index)})"
    match FaultKind(kind):
        case FaultKind.UNKNOWN_OPCODE:
            return f"instruction {index}: unknown opcode {first}"
        case FaultKind.FLAGS:
            return f"{where}: flags {first:#x}; it has {second:#x} only"
        case FaultKind.UNUSED_FIELD:
            return f"{where}: field {(RECORD.names or ())[first]} is {second}; it is not used and must be 0"
        case FaultKind.AFTER_HALT:
            return f"{where}: {first} instructions follow it"
        case FaultKind.NO_HALT:
            return f"the program does not end in HLT: instruction {index} ({_name(table, index)}) is the last"
        case FaultKind.SYNC_UNITS:
            return f"{where}: waiter {first}, producer {second}; accepted: two different units of 0 to 3"
        case FaultKind.SYNC_LAG:
            return f"{where}: lag {first}, but only {second} instructions were issued to the producer so far"
        case FaultKind.REGISTER:
            return f"{where}: {second} values from register {first} on; accepted: 1 to 3, registers to 79"
        case FaultKind.EMPTY:
            return f"{where}: a length of 0"
        case FaultKind.LANES:
            return f"{where}: {first} lanes; accepted: 1 to {second}"
        case FaultKind.TILE:
            return f"{where}: a tile of {first}x{second}; the array has {machine.array}x{machine.array}"
        case FaultKind.NO_TILE:
            return f"{where}: no weight tile is left: RDW brought {first} so far"
        case FaultKind.TILE_WIDTH:
            return f"{where}: the tile in the array has {16 if first else 8}-bit weights, the flag says otherwise"
        case FaultKind.LEFT_TILES:
            return f"{first} weight tiles are fetched and never used"
        case FaultKind.FIRST_ELEMENT:
            return f"{where}: first element {first}, but the sum has M_K = {second}"
        case FaultKind.ZERO_REGISTER:
            return f"{where}: register {Register(first).name} is 0"
        case FaultKind.ADDRESS:
            limit = _MEMORIES[first]
            return f"{where}: addresses up to {second} in {limit}, which ends earlier"
        case FaultKind.ELEMENT_TYPE:
            return f"{where}: element types {first} and {second} do not go together"
        case FaultKind.TABLE_TYPE:
            return f"{where}: a table for values of type {first}; it takes 8 bits"
        case FaultKind.LIMITS:
            return f"{where}: limits A_LOW = {first}, A_HIGH = {second} are not in order or not of the type"
        case FaultKind.FUNCTION:
            return f"{where}: function {first} does not exist here"
        case FaultKind.EXTENSION:
            return f"{where}: needs the extension {EXTENSIONS[first]}, which {machine} does not have"
        case FaultKind.TAG:
            return f"{where}: layer {first}; the program names {second}"
        case FaultKind.USEFUL:
            return f"{where}: {first} useful weights in a tile of {second}"


def _race(table: Table, need: NDArray[np.int64]) -> str:
    index, other, place, _ = (int(n) for n in need)
    of_other = np.flatnonzero(UNIT_OF[table[:, 0]] == other)
    earlier = int(of_other[place - 1])
    unit = Unit(int(UNIT_OF[table[index, 0]])).name.lower()
    return (
        f"instruction {index} ({_name(table, index)}) and {earlier} ({_name(table, earlier)}) use the same memory and "
        f"nothing orders them: a SYNC of {unit} for {Unit(other).name.lower()} is missing"
    )
