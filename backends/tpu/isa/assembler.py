"""Text to records."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nascompiler.backends.tpu.isa.opcodes import FORMS, RECORD, Opcode, Records
from nascompiler.backends.tpu.isa.registers import Register
from nascompiler.backends.tpu.isa.spelling import FIELD_LIMITS, operand_value, register_bits
from nascompiler.ir.errors import ParseError, choices_text

_RAW = "RAW"


def assemble(text: str, *, file: str = "<text>") -> Records:
    """The records of a program in assembler, one instruction a line (docs/tpu-isa.md).

    Raises ParseError, with the line, at the first line that cannot be read.
    """
    records: list[tuple[int, ...]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if words:
            try:
                records.append(_record(words))
            except ValueError as error:
                raise ParseError(str(error), file=file, line=number) from error
    return np.array(records, dtype=RECORD)


def _record(words: list[str]) -> tuple[int, ...]:
    mnemonic, *flag_names = words[0].split(".")
    if mnemonic == _RAW:
        return _raw(words[1:])
    if mnemonic not in Opcode.__members__:
        raise ValueError(f"unknown instruction {mnemonic!r}; accepted: {', '.join([*Opcode.__members__, _RAW])}")
    opcode = Opcode[mnemonic]
    if opcode is Opcode.CFG:
        return _configuration(words[1:])
    form = FORMS[opcode]
    flags = 0
    for name in flag_names:
        members = form.flags.__members__ if form.flags else {}
        flag = members.get(name.upper(), 0)
        if not flag or not flag & form.allowed_flags:
            accepted = [n.lower() for n, f in members.items() if f & form.allowed_flags]
            raise ValueError(f"{mnemonic} has no flag {name!r}; accepted: {', '.join(accepted) or 'none'}")
        flags |= flag
    values = dict(_assignments(words[1:]))
    if opcode is Opcode.RDW:
        _pack_used(values)
    fields = dict.fromkeys(FIELD_LIMITS, 0)
    for name, text in values.items():
        if name not in form.operands:
            raise ValueError(f"{mnemonic} has no operand {name!r}; accepted: {choices_text(form.operands)}")
        field = form.operands[name]
        value = operand_value(opcode, name, text)
        if not 0 <= value < FIELD_LIMITS[field]:
            raise ValueError(f"{name}={text} is out of range: below {FIELD_LIMITS[field]}")
        fields[field] = value
    return _fields(opcode, flags, fields)


def _fields(opcode: int, flags: int, fields: dict[str, int]) -> tuple[int, ...]:
    length = fields["length"] | fields["count"] & 0xFFFF
    lanes = fields["lanes"] | fields["count"] >> 16
    return opcode, flags, fields["short"], fields["word"], length, lanes, fields["extension"]


def _pack_used(values: dict[str, str]) -> None:
    """RDW's rows and columns share a field, and all weights of a tile are useful unless told otherwise."""
    try:
        rows, columns = int(values.pop("rows", "0"), 0), int(values.pop("columns", "0"), 0)
    except ValueError:
        raise ValueError("rows and columns must be whole numbers") from None
    if not 0 <= rows < 1 << 16 or not 0 <= columns < 1 << 16:
        raise ValueError("rows and columns must be below 65536")
    values["used"] = str(rows | columns << 16)
    values.setdefault("useful", str(rows * columns))
    values.setdefault("tiles", "1")


def _configuration(words: list[str]) -> tuple[int, ...]:
    pairs = list(_assignments(words))
    if not 1 <= len(pairs) <= 3:
        raise ValueError(f"CFG sets one to three registers, not {len(pairs)}")
    numbers = []
    for name, _ in pairs:
        if name in Register.__members__:
            numbers.append(int(Register[name]))
        elif name.startswith("R") and name[1:].isdecimal():
            numbers.append(int(name[1:]))
        else:
            raise ValueError(f"unknown register {name!r}; docs/tpu-isa.md lists them")
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise ValueError(f"the registers of one CFG must follow each other; these are numbers {numbers}")
    bits = [register_bits(number, text) for number, (_, text) in zip(numbers, pairs, strict=True)]
    first, second, third = (*bits, 0, 0)[:3]
    return Opcode.CFG, len(bits), numbers[0], first, second & 0xFFFF, second >> 16, third


def _raw(words: list[str]) -> tuple[int, ...]:
    try:
        data = bytes.fromhex("".join(words))
    except ValueError:
        data = b""
    if len(data) != RECORD.itemsize:
        raise ValueError(f"RAW takes {RECORD.itemsize} bytes in hexadecimal")
    return tuple(np.frombuffer(data, RECORD)[0].item())


def _assignments(words: list[str]) -> Iterator[tuple[str, str]]:
    seen = set()
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not text:
            raise ValueError(f"cannot read {word!r}; accepted: NAME=VALUE")
        if name in seen:
            raise ValueError(f"{name} is given twice")
        seen.add(name)
        yield name, text
