"""The instruction set: records, registers, programs, assembler and verifier (docs/tpu-isa.md)."""

from nascompiler.backends.tpu.isa.assembler import assemble
from nascompiler.backends.tpu.isa.builder import ProgramBuilder, float_bits
from nascompiler.backends.tpu.isa.disassembler import disassemble, listing
from nascompiler.backends.tpu.isa.opcodes import (
    DRAM_UNIT,
    ELEMENT_BYTES,
    EXTENSIONS,
    RECORD,
    ActFlag,
    ElementType,
    Function,
    MmcFlag,
    Opcode,
    RdwFlag,
    Records,
    Unit,
    VecFunction,
)
from nascompiler.backends.tpu.isa.program import HostTensor, Program
from nascompiler.backends.tpu.isa.registers import REGISTER_COUNT, Register

__all__ = [
    "DRAM_UNIT",
    "ELEMENT_BYTES",
    "EXTENSIONS",
    "RECORD",
    "REGISTER_COUNT",
    "ActFlag",
    "ElementType",
    "Function",
    "HostTensor",
    "MmcFlag",
    "Opcode",
    "Program",
    "ProgramBuilder",
    "RdwFlag",
    "Records",
    "Register",
    "Unit",
    "VecFunction",
    "assemble",
    "disassemble",
    "float_bits",
    "listing",
]
