"""Programs that a machine cannot run are refused, every fault at once."""

from dataclasses import replace

import numpy as np
import pytest

from nascompiler.backends.tpu.isa import HostTensor, Program, assemble
from nascompiler.backends.tpu.isa.hazards import insert_synchronization
from nascompiler.backends.tpu.isa.verify import ProgramError, program_faults, verify_program
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.ir.errors import ModelError
from tests.backends.tpu.isa.test_hazards import TWO_LAYERS

TINY = parse_machine("tpu:tiny")
STRICT = parse_machine("tpu:tiny{extensions=none}")


def _faults(text: str, machine: Machine = TINY) -> list[str]:
    return program_faults(Program(assemble(text), np.zeros(128, np.uint8), 8, (), 64), machine, hazards=False)


def test_a_good_program_passes() -> None:
    good = insert_synchronization(assemble(TWO_LAYERS), TINY)
    verify_program(Program(good, np.zeros(128, np.uint8), 8, (), 64), TINY)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RAW 63000000000000000000000000000000", "unknown opcode 99"),
        ("RAW 01000100000000000000000000000000", "field short is 1; it is not used"),
        ("RAW 08ff0000000000000400000000000000", "flags 0xff"),
        ("RHM buffer=0x10000 bytes=1 host=0", "addresses up to 65537 in the Unified Buffer"),
        ("RHM buffer=0 bytes=65 host=0", "host memory"),
        ("RHM buffer=0 bytes=0 host=0", "a length of 0"),
        ("RDP parameter=0 bytes=65 dram=64", "addresses up to 129 in the weights"),
        ("RDP parameter=0x4000 bytes=1 dram=0", "parameter memory"),
        ("RDW rows=9 columns=1 dram=0", "a tile of 9x1"),
        ("RDW rows=8 columns=8 dram=0", "1 weight tiles are fetched and never used"),
        ("RDW rows=2 columns=2 useful=5 dram=0", "5 useful weights in a tile of 4"),
        ("MMC.new_tile length=1", "no weight tile is left"),
        ("MMC length=1 first_element=8", "first element 8, but the sum has M_K = 8"),
        ("MMC.convolve length=1", "register M_CHANNELS is 0"),
        ("MMC.wide_weights length=1", "8-bit weights, the flag says otherwise"),
        ("MMC length=65 accumulator=0", "addresses up to 65 in the accumulators"),
        ("ACT length=1 lanes=9", "9 lanes; accepted: 1 to 8"),
        ("ACT.scatter length=1 lanes=1", "register A_GRID_WIDTH is 0"),
        ("POL length=1 lanes=1", "register A_GRID_WIDTH is 0"),
        ("CFG A_LOW=5 A_HIGH=4\nACT length=1 lanes=1", "A_LOW = 5, A_HIGH = 4 are not in order"),
        ("CFG A_VALUE_TYPE=i16 A_OUT_TYPE=i8\nACT length=1 lanes=1", "element types 2 and 0"),
        ("CFG A_VALUE_TYPE=i16 A_OUT_TYPE=i8\nACT.table length=1 lanes=1", "a table for values of type 2"),
        ("CFG A_FUNCTION=relu\nACT length=1 lanes=1", "function 3 does not exist here"),
        ("VEC function=7 length=1 lanes=1", "function 7 does not exist"),
        ("SYNC waiter=9 producer=0", "waiter 9, producer 0"),
        ("SYNC waiter=matrix producer=activation lag=2", "lag 2, but only 2 instructions"),
        ("RAW 07044f00000000000000000000000000", "4 values from register 79"),
        ("DBG tag=4", "layer 4; the program names 1"),
        ("HLT", "2 instructions follow it"),
    ],
)
def test_faults(line: str, message: str) -> None:
    text = TWO_LAYERS.replace("IRQ", line + "\nIRQ")
    assert any(message in fault for fault in _faults(text)), _faults(text)


def test_all_faults_are_listed() -> None:
    text = TWO_LAYERS.replace("IRQ\nHLT", "DWC length=0 lanes=0\nVEC function=add length=1 lanes=1")
    program = Program(assemble(text), np.zeros(128, np.uint8), 8, (), 64)
    with pytest.raises(ProgramError) as caught:
        verify_program(program, STRICT)
    faults = caught.value.faults
    assert any("a length of 0" in fault for fault in faults)
    assert any("needs the extension depthwise, which tpu:tiny{extensions=none} does not have" in f for f in faults)
    assert any("needs the extension elementwise" in fault for fault in faults)
    assert any("does not end in HLT" in fault for fault in faults)


def test_partial_tiles_are_an_extension() -> None:
    text = TWO_LAYERS.replace("RDW", "RDW.partial")
    assert not _faults(text)
    assert any("needs the extension partial-tiles" in fault for fault in _faults(text, STRICT))


def test_other_tiles_are_refused() -> None:
    program = Program(assemble(TWO_LAYERS), np.zeros(128, np.uint8), 16, (), 64)
    assert program_faults(program, TINY) == ["its tiles were cut for an array of 16x16; recompile it for this machine"]
    assert program_faults(replace(program, array=8), parse_machine("tpu:tiny{weight-memory=64}"), hazards=False) == [
        "weights of 128 bytes; weight memory has 64"
    ]


@pytest.mark.parametrize("cut", [3, 20, 60, -1])
def test_truncated_files_are_refused(cut: int) -> None:
    data = Program(assemble(TWO_LAYERS), np.zeros(128, np.uint8), 8, ("a",), 64).to_bytes()
    with pytest.raises(ModelError, match=r"truncated|NTPU"):
        Program.from_bytes(data[:cut])


def test_files_round_trip() -> None:
    program = Program(assemble(TWO_LAYERS), np.zeros(128, np.uint8), 8, ("conv1", "fc"), 64)
    again = Program.from_bytes(program.to_bytes(), program.weights)
    np.testing.assert_array_equal(again.instructions, program.instructions)
    assert (again.array, again.tags, again.host_bytes) == (8, ("conv1", "fc"), 64)


def test_no_instructions_at_all() -> None:
    with pytest.raises(ModelError, match="no instructions"):
        _faults("# nothing")


def test_many_tensors_keep_their_order() -> None:
    records = assemble(TWO_LAYERS)
    inputs = {f"x{i}": HostTensor(64 * i, (1, i + 1), "int8") for i in range(12)}
    program = Program(records, np.zeros(128, np.uint8), 8, ("a",), 2048, inputs, {"y0": HostTensor(1024, (4,), "int8")})
    again = Program.from_bytes(program.to_bytes(), program.weights)
    assert list(again.inputs.items()) == list(inputs.items())
