"""SYNCs stand where memory asks for them, and nowhere else."""

import numpy as np
import pytest

from nascompiler.backends.tpu.isa import Opcode, Program, assemble, disassemble
from nascompiler.backends.tpu.isa.hazards import insert_synchronization, needs_of
from nascompiler.backends.tpu.isa.verify import program_faults
from nascompiler.backends.tpu.machine import parse_machine
from tests.backends.tpu.random_programs import RandomProgram

TINY = parse_machine("tpu:tiny")

TWO_LAYERS = """
CFG M_K=8 M_PIXEL_STRIDE=8
CFG A_LOW=-128 A_HIGH=127
CFG A_OUT_STRIDE=8
RHM buffer=0x0 bytes=64 host=0x0
RDP parameter=0x0 bytes=64 dram=0x0
RDW tiles=2 rows=8 columns=8 dram=0x0
MMC.new_tile accumulator=0 buffer=0x0 length=8 first_element=0 position=0
ACT accumulator=0 buffer=0x1000 length=8 lanes=8 position=0
MMC.new_tile accumulator=8 buffer=0x1000 length=8 first_element=0 position=0
ACT accumulator=8 buffer=0x0 length=8 lanes=8 position=0
WHM buffer=0x0 bytes=64 host=0x0
IRQ
HLT
"""


def _program(text: str) -> Program:
    return Program(assemble(text), np.zeros(128, np.uint8), 8, (), 64)


def test_syncs_of_two_layers() -> None:
    made = disassemble(insert_synchronization(_program(TWO_LAYERS).instructions, TINY))
    lines = [line for line in made.splitlines() if not line.startswith("CFG")]
    assert lines == [
        "RHM buffer=0x0 bytes=64 host=0x0",
        "RDP parameter=0x0 bytes=64 dram=0x0",
        "RDW tiles=2 rows=8 columns=8 dram=0x0",
        "SYNC waiter=matrix producer=host lag=0",
        "MMC.new_tile accumulator=0 buffer=0x0 length=8 first_element=0 position=0",
        # Of the parameters it knows through the tile, which came after them.
        "SYNC waiter=activation producer=matrix lag=0",
        "ACT accumulator=0 buffer=0x1000 length=8 lanes=8 position=0",
        "SYNC waiter=matrix producer=activation lag=0",
        "MMC.new_tile accumulator=8 buffer=0x1000 length=8 first_element=0 position=0",
        "SYNC waiter=activation producer=matrix lag=0",
        "ACT accumulator=8 buffer=0x0 length=8 lanes=8 position=0",
        "SYNC waiter=host producer=activation lag=0",
        "WHM buffer=0x0 bytes=64 host=0x0",
        "IRQ",
        "HLT",
    ]


def test_a_missing_sync_is_named() -> None:
    (first, *_) = program_faults(_program(TWO_LAYERS), TINY)
    assert first == (
        "instruction 6 (MMC) and 3 (RHM) use the same memory and nothing orders them: "
        "a SYNC of matrix for host is missing"
    )


@pytest.mark.parametrize("seed", range(8))
def test_every_sync_is_needed_and_they_suffice(seed: int) -> None:
    program = RandomProgram(np.random.default_rng(seed), TINY).draw(40)
    assert not len(needs_of(program.instructions, TINY, trust_syncs=True))
    syncs = np.flatnonzero(program.instructions["opcode"] == Opcode.SYNC)
    assert len(syncs)
    for sync in syncs:
        without = np.delete(program.instructions, sync)
        assert len(needs_of(without, TINY, trust_syncs=True)), f"SYNC {sync} could be removed"


def test_insertion_replaces_what_was_there() -> None:
    program = RandomProgram(np.random.default_rng(3), TINY).draw(20)
    again = insert_synchronization(program.instructions, TINY)
    np.testing.assert_array_equal(again, program.instructions)


def test_a_lag_leaves_the_newest_instruction_alone() -> None:
    text = TWO_LAYERS.replace("IRQ", "MMC accumulator=0 buffer=0x2000 length=8 first_element=0 position=0\nIRQ")
    text = text.replace("WHM buffer=0x0 bytes=64 host=0x0\n", "")
    made = disassemble(insert_synchronization(_program(text).instructions, TINY)).splitlines()
    # The third MMC overwrites what the first ACT read: known since the second layer. Nothing has to wait for the last.
    assert not made[-4].startswith("SYNC")
    text = text.replace("MMC.new_tile accumulator=8 buffer=0x1000", "MMC.new_tile accumulator=8 buffer=0x3000")
    made = disassemble(insert_synchronization(_program(text).instructions, TINY)).splitlines()
    assert made[-4] == "SYNC waiter=matrix producer=activation lag=1"
