"""How operands are written: numbers, addresses, names of units, functions and element types, floats of registers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np

from nascompiler.backends.tpu.isa.builder import float_bits
from nascompiler.backends.tpu.isa.opcodes import DRAM_UNIT, ElementType, Function, Opcode, Unit, VecFunction
from nascompiler.backends.tpu.isa.registers import FLOAT_REGISTERS, SIGNED_REGISTERS, Register

_TYPES = frozenset(
    {
        Register.A_VALUE_TYPE,
        Register.A_OUT_TYPE,
        Register.A_SOURCE_TYPE,
        Register.A_A_TYPE,
        Register.A_B_TYPE,
    }
)
_ADDRESSES = frozenset({"buffer", "source", "parameter"})
_SCALED = frozenset({"dram", "host"})
_WORD = 1 << 32


def _names(opcode: Opcode, operand: str) -> type[IntEnum] | None:
    if operand in ("waiter", "producer"):
        return Unit
    return VecFunction if (opcode, operand) == (Opcode.VEC, "function") else None


def _register_names(register: int) -> type[IntEnum] | None:
    if register in _TYPES:
        return ElementType
    return Function if register == Register.A_FUNCTION else None


def operand_text(opcode: Opcode, operand: str, value: int) -> str:
    """An operand's value as assembler has it."""
    names = _names(opcode, operand)
    if names is not None and value in set(names):
        return names(value).name.lower()
    if operand in _SCALED:
        return hex(value * DRAM_UNIT)
    return hex(value) if operand in _ADDRESSES else str(value)


def operand_value(opcode: Opcode, operand: str, text: str) -> int:
    """What `operand_text` was made of; raises ValueError with the reason."""
    names = _names(opcode, operand)
    if names is not None and text.upper() in names.__members__:
        return int(names[text.upper()])
    value = _integer(text)
    if operand in _SCALED:
        if value % DRAM_UNIT:
            raise ValueError(f"{operand}={text} is not a multiple of {DRAM_UNIT}")
        return value // DRAM_UNIT
    return value


def register_text(register: int, bits: int) -> str:
    """The value of a register as assembler has it; bits of numbers that are none in hexadecimal."""
    names = _register_names(register)
    if names is not None and bits in set(names):
        return names(bits).name.lower()
    if register in FLOAT_REGISTERS:
        number = np.array([bits], np.uint32).view(np.float32)[0]
        return str(number) if np.isfinite(number) else hex(bits)
    if register in SIGNED_REGISTERS and bits >= _WORD // 2:
        return str(bits - _WORD)
    return str(bits)


def register_bits(register: int, text: str) -> int:
    """The bits that a text stands for; raises ValueError with the reason."""
    names = _register_names(register)
    if names is not None and text.upper() in names.__members__:
        return int(names[text.upper()])
    if register in FLOAT_REGISTERS and not text.startswith("0x"):
        try:
            return float_bits(float(text))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{text!r} is no float32 number") from error
    value = _integer(text)
    if not -_WORD // 2 <= value < _WORD:
        raise ValueError(f"{text} does not fit in 32 bits")
    return value % _WORD


def _integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


FIELD_LIMITS: Mapping[str, int] = {
    "short": 1 << 16,
    "word": _WORD,
    "length": 1 << 16,
    "lanes": 1 << 16,
    "extension": _WORD,
    "count": _WORD,
}
"""Values that a field can hold are below these."""
