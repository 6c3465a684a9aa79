"""Text and bytes of programs say the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascompiler.backends.tpu.isa import RECORD, Opcode, Program, ProgramBuilder, Unit, assemble, disassemble, listing
from nascompiler.ir.errors import ParseError

EXAMPLE = """
DBG tag=0                                   # conv1
CFG M_K=27 M_PIXEL_STRIDE=3
CFG A_LOW=-128 A_HIGH=127 A_FUNCTION=hard_swish
CFG A_RATIO=0.1
RHM buffer=0x0 bytes=100000 host=0x40
RDW.partial tiles=2 rows=27 columns=32 dram=0x80
MMC.new_tile.convolve accumulator=0 buffer=0x0 length=256 first_element=0 position=7
SYNC waiter=activation producer=matrix lag=0
ACT.table accumulator=0 buffer=0x4000 length=256 lanes=32 position=0
VEC function=add buffer=0x0 length=4 lanes=8 source=0x100
HLT
"""


@given(st.binary(min_size=16, max_size=64 * 16).map(lambda data: data[: len(data) // 16 * 16]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_survive_the_text(data: bytes) -> None:
    records = np.frombuffer(data, RECORD)
    assert assemble(disassemble(records)).tobytes() == data


@given(st.lists(st.tuples(st.sampled_from(list(Opcode)), st.binary(min_size=15, max_size=15)), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_fields_of_real_opcodes_survive_the_text(drawn: list[tuple[Opcode, bytes]]) -> None:
    data = b"".join(bytes([opcode]) + rest for opcode, rest in drawn)
    assert assemble(disassemble(np.frombuffer(data, RECORD))).tobytes() == data


def test_text_survives_the_bytes() -> None:
    records = assemble(EXAMPLE)
    lines = [line.split("#")[0].split() for line in EXAMPLE.strip().splitlines()]
    assert [line.split() for line in disassemble(records).splitlines()] == lines
    assert records.dtype.itemsize == 16
    assert records[-3]["length"] == 256
    assert records[-3]["lanes"] == 32


def test_layout_is_little_endian() -> None:
    data = assemble("MMC.new_tile accumulator=258 buffer=0x01020304 length=1 first_element=2 position=3").tobytes()
    assert data == bytes([14, 1, 2, 1, 4, 3, 2, 1, 1, 0, 2, 0, 3, 0, 0, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FOO a=1", "unknown instruction 'FOO'"),
        ("MMC.fast length=1", "no flag 'fast'"),
        ("MMC size=1", "no operand 'size'"),
        ("HLT\nMMC length=70000", "out of range"),
        ("RHM host=3", "multiple of 64"),
        ("CFG M_K=1 M_CHANNELS=2", "must follow each other"),
        ("CFG M_Q=1", "unknown register"),
        ("CFG M_K=4294967296", "does not fit"),
        ("CFG A_RATIO=x", "no float32 number"),
        ("RAW 00ff", "16 bytes"),
        ("ACT length", "NAME=VALUE"),
        ("ACT length=1 length=2", "twice"),
    ],
)
def test_bad_text_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        assemble(text)
    assert f":{text.count(chr(10)) + 1}" in str(caught.value)


def test_listing_shows_layers_units_and_numbers() -> None:
    builder = ProgramBuilder()
    builder.tag("stem")
    builder.synchronize(Unit.MATRIX, Unit.HOST)
    program = Program(builder.finish(), np.zeros(0, np.uint8), 8, tuple(builder.tags))
    lines = listing(program).splitlines()
    assert "== stem" in lines
    assert any("issue" in line and "SYNC waiter=matrix producer=host lag=0" in line for line in lines)
    assert lines[-1].split() == ["3", "issue", "HLT"]
