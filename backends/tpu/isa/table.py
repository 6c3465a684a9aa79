"""Instructions as loops read them: a table of 64-bit integers, and the registers' numbers as constants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.opcodes import FORMS, RECORD, Opcode, Records
from nascompiler.backends.tpu.isa.registers import SIGNED_REGISTERS
from nascompiler.ir.errors import ModelError

Table = NDArray[np.int64]
"""Rows of COLUMNS numbers: opcode, flags, short, word, length, lanes, extension, count."""

OPCODE, FLAGS, SHORT, WORD, LENGTH, LANES, EXTENSION, COUNT = range(8)
COLUMNS = 8

UNIT_OF = np.full(256, -1, np.int64)
for _opcode in Opcode:
    UNIT_OF[_opcode] = FORMS[_opcode].unit
"""The unit of an opcode; -1 where there is no such opcode."""

SIGNED = np.zeros(1 << 16, np.bool_)
for _register in SIGNED_REGISTERS:
    SIGNED[_register] = True
"""Whether a register holds a signed number."""


def to_table(instructions: Records) -> Table:
    """The table of an array of records; raises ModelError when there are none."""
    if instructions.dtype != RECORD or instructions.ndim != 1:
        raise ModelError(f"instructions are {instructions.dtype}; they must be records of 16 bytes")
    if len(instructions) == 0:
        raise ModelError("the TPU program has no instructions; it must at least end in HLT")
    table = np.empty((len(instructions), COLUMNS), np.int64)
    for column, name in enumerate(RECORD.names or ()):
        table[:, column] = instructions[name]
    table[:, COUNT] = table[:, LENGTH] | table[:, LANES] << 16
    return table
