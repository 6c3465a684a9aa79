"""Records to text: to be assembled again, or to be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nascompiler.backends.tpu.isa.opcodes import FORMS, RECORD, Opcode, Records
from nascompiler.backends.tpu.isa.program import Program
from nascompiler.backends.tpu.isa.registers import REGISTER_COUNT, Register
from nascompiler.backends.tpu.isa.spelling import operand_text, register_text

_OPCODES = frozenset(int(opcode) for opcode in Opcode)
_HALVES = {"length": (0, 16), "lanes": (16, 16), "count": (0, 32)}


def disassemble(instructions: Records, tags: Sequence[str] = ()) -> str:
    """The program in assembler, one instruction a line; names of layers as comments.

    `assemble` makes the same bytes of it, also of records that are no instructions.
    """
    return "".join(f"{_commented(record, tags)}\n" for record in instructions)


def listing(program: Program) -> str:
    """The program for a reader: under the name of each layer its instructions with numbers and units."""
    lines = [f"# {len(program.instructions)} instructions, {program.array}x{program.array} tiles"]
    for number, record in enumerate(program.instructions):
        if record["opcode"] == Opcode.DBG and record["extension"] < len(program.tags):
            lines += ["", f"== {program.tags[record['extension']]}"]
        code = int(record["opcode"])
        unit = FORMS[Opcode(code)].unit.name.lower() if code in _OPCODES else "?"
        lines.append(f"{number:6d}  {unit:<10}  {instruction_text(record)}")
    return "\n".join(lines) + "\n"


def instruction_text(record: Any) -> str:
    """One instruction; as RAW bytes where the record says more than assembler can."""
    code, flags = int(record["opcode"]), int(record["flags"])
    if code not in _OPCODES:
        return _raw(record)
    opcode = Opcode(code)
    fields = {name: int(record[name]) for name in RECORD.names or ()}
    fields["count"] = fields["length"] | fields["lanes"] << 16
    if opcode is Opcode.CFG:
        return _configuration(record, fields)
    form = FORMS[opcode]
    if flags & ~form.allowed_flags or _says_more(fields, form.operands.values()):
        return _raw(record)
    flag_names = [f.name.lower() for f in form.flags if flags & f and f.name] if form.flags else []
    operands = {name: fields[field] for name, field in form.operands.items()}
    texts = [f"{name}={operand_text(opcode, name, value)}" for name, value in operands.items()]
    if opcode is Opcode.RDW:
        rows, columns = operands["used"] & 0xFFFF, operands["used"] >> 16
        texts[1] = f"rows={rows} columns={columns}"
        if operands["useful"] == rows * columns:
            del texts[2]
    return " ".join([".".join([opcode.name, *flag_names]), *texts])


def _commented(record: Any, tags: Sequence[str]) -> str:
    text = instruction_text(record)
    if record["opcode"] == Opcode.DBG and record["extension"] < len(tags):
        return f"{text}  # {tags[record['extension']]}"
    return text


def _configuration(record: Any, fields: dict[str, int]) -> str:
    many, first = fields["flags"], fields["short"]
    values = (fields["word"], fields["count"], fields["extension"])
    if not 1 <= many <= 3 or any(values[many:]) or first + many > REGISTER_COUNT:
        return _raw(record)
    known = set(Register)
    names = [Register(n).name if n in known else f"R{n}" for n in range(first, first + many)]
    texts = [register_text(first + i, values[i]) for i in range(many)]
    return " ".join(["CFG", *(f"{name}={text}" for name, text in zip(names, texts, strict=True))])


def _says_more(fields: dict[str, int], used: Any) -> bool:
    """Whether fields that the instruction does not use are other than 0."""
    bits = {"short": 0, "word": 0, "extension": 0, "count": 0}
    for field in used:
        if field in _HALVES:
            shift, width = _HALVES[field]
            bits["count"] |= ((1 << width) - 1) << shift
        else:
            bits[field] = 0xFFFFFFFF
    return any(fields[name] & ~mask for name, mask in bits.items())


def _raw(record: Any) -> str:
    return f"RAW {record.tobytes().hex()}"
