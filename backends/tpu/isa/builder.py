"""Writing programs: a builder that appends records and leaves out configuration that changes nothing."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.opcodes import RECORD, Opcode, Records, Unit
from nascompiler.backends.tpu.isa.registers import FLOAT_REGISTERS, REGISTER_COUNT

_WORD = 0xFFFFFFFF


def float_bits(value: float) -> int:
    """The bits of a float32 number, as a register holds them."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


class ProgramBuilder:
    """Instructions in the order they are issued. Operands are trusted here: the verifier looks at them later."""

    def __init__(self) -> None:
        self._records: list[tuple[int, int, int, int, int, int, int]] = []
        self._parts: list[NDArray[np.int64]] = []
        """What came before `_records`, as rows of the same seven numbers."""
        self._registers: list[int] = [0] * REGISTER_COUNT
        self._tags: list[str] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts)) + len(self._records)

    @property
    def tags(self) -> list[str]:
        """Names of the layers, by the number that DBG carries."""
        return self._tags

    def configure(self, **values: float) -> None:
        """Set registers, given by name (`M_K=9`, `A_RATIO=0.5`); those that hold the value already are left out."""
        changed: list[tuple[int, int]] = []
        for name, value in values.items():
            number = REGISTER_NUMBERS[name]
            bits = float_bits(value) if number in _FLOATS else int(value) & _WORD
            if self._registers[number] != bits:
                self._registers[number] = bits
                changed.append((number, bits))
        if len(changed) > 1:
            changed.sort()
        place = 0
        while place < len(changed):
            run = 1
            while run < 3 and place + run < len(changed) and changed[place + run][0] == changed[place][0] + run:
                run += 1
            first, second, third = ([bits for _, bits in changed[place : place + run]] + [0, 0])[:3]
            self._records.append((Opcode.CFG, run, changed[place][0], first, second & 0xFFFF, second >> 16, third))
            place += run

    def registers(self, numbers: Sequence[int]) -> list[int]:
        """The bits that registers hold at this point."""
        return [self._registers[number] for number in numbers]

    def extend(self, rows: NDArray[np.int64], registers: Mapping[int, int]) -> None:
        """Append many records, each as the seven numbers of `RECORD`, after which registers hold what is said."""
        self._flush()
        self._parts.append(rows)
        for number, bits in registers.items():
            self._registers[number] = bits

    def _flush(self) -> None:
        if self._records:
            self._parts.append(np.array(self._records, np.int64))
            self._records = []

    def append(
        self,
        opcode: Opcode,
        *,
        flags: int = 0,
        short: int = 0,
        word: int = 0,
        length: int = 0,
        lanes: int = 0,
        extension: int = 0,
    ) -> None:
        """Append one record, its fields as in `RECORD`."""
        self._records.append((opcode, flags, short, word, length, lanes, extension))

    def tag(self, name: str) -> None:
        """Instructions from here on belong to the layer of this name."""
        self._records.append((Opcode.DBG, 0, 0, 0, 0, 0, len(self._tags)))
        self._tags.append(name)

    def read_host(self, buffer: int, host: int, size: int) -> None:
        """Bytes from host memory (address a multiple of 64) to the Unified Buffer."""
        self._records.append((Opcode.RHM, 0, 0, buffer, size & 0xFFFF, size >> 16, host // 64))

    def write_host(self, buffer: int, host: int, size: int) -> None:
        """Bytes from the Unified Buffer to host memory."""
        self._records.append((Opcode.WHM, 0, 0, buffer, size & 0xFFFF, size >> 16, host // 64))

    def read_weights(
        self, dram: int, *, rows: int, columns: int, useful: int | None = None, tiles: int = 1, flags: int = 0
    ) -> None:
        """Tiles from weight memory (byte address, a multiple of 64) into the FIFO."""
        count = rows * columns if useful is None else useful
        self._records.append((Opcode.RDW, flags, tiles, rows | columns << 16, count & 0xFFFF, count >> 16, dram // 64))

    def read_parameters(self, parameter: int, dram: int, size: int) -> None:
        """Bytes from weight memory to parameter memory."""
        self._records.append((Opcode.RDP, 0, 0, parameter, size & 0xFFFF, size >> 16, dram // 64))

    def multiply(
        self, accumulator: int, buffer: int, length: int, *, flags: int = 0, first_element: int = 0, position: int = 0
    ) -> None:
        """MMC: `length` rows through the array."""
        self._records.append((Opcode.MMC, flags, accumulator, buffer, length, first_element, position))

    def activate(
        self, accumulator: int, buffer: int, length: int, lanes: int, *, flags: int = 0, position: int = 0
    ) -> None:
        """ACT: accumulator rows to the Unified Buffer."""
        self._records.append((Opcode.ACT, flags, accumulator, buffer, length, lanes, position))

    def pool(self, buffer: int, length: int, lanes: int, *, flags: int = 0, position: int = 0) -> None:
        """POL: windows of a tensor in the Unified Buffer."""
        self._records.append((Opcode.POL, flags, 0, buffer, length, lanes, position))

    def vector(self, function: int, buffer: int, source: int, length: int, lanes: int, *, flags: int = 0) -> None:
        """VEC: element by element."""
        self._records.append((Opcode.VEC, flags, function, buffer, length, lanes, source))

    def depthwise(self, buffer: int, length: int, lanes: int, *, flags: int = 0, position: int = 0) -> None:
        """DWC: a depthwise convolution on the activation unit."""
        self._records.append((Opcode.DWC, flags, 0, buffer, length, lanes, position))

    def synchronize(self, waiter: Unit, producer: Unit, lag: int = 0) -> None:
        """SYNC; programs that go through `insert_synchronisation` need none of their own."""
        self._records.append((Opcode.SYNC, 0, waiter, 0, producer, 0, lag))

    def finish(self) -> Records:
        """The records, ended by IRQ and HLT."""
        self._flush()
        end = np.array([(Opcode.IRQ, 0, 0, 0, 0, 0, 0), (Opcode.HLT, 0, 0, 0, 0, 0, 0)], np.int64)
        rows = np.concatenate([*self._parts, end])
        made = np.empty(len(rows), RECORD)
        for column, name in enumerate(RECORD.names or ()):
            made[name] = rows[:, column]
        return made


def _numbers() -> dict[str, int]:
    from nascompiler.backends.tpu.isa.registers import Register

    return {register.name: int(register) for register in Register}


REGISTER_NUMBERS = _numbers()
_FLOATS = frozenset(int(register) for register in FLOAT_REGISTERS)
