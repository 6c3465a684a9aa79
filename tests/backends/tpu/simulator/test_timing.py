"""Closed forms of time, its monotony, and what the counters add up to."""

from math import ceil

import numpy as np
import pytest

from nascompiler.backends.tpu.isa import MmcFlag, Opcode, Program, ProgramBuilder, Unit, assemble
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.backends.tpu.simulator import Simulation, simulate
from nascompiler.ir.errors import ModelError
from tests.backends.tpu.random_programs import RandomProgram

NEW = int(MmcFlag.NEW_TILE)


def _tiles(machine: Machine, tiles: int, rows: int, flags: int = 0) -> Simulation:
    """A tile after the other, `rows` rows through each."""
    builder = ProgramBuilder()
    builder.configure(M_K=machine.array, M_PIXEL_STRIDE=machine.array)
    builder.read_weights(0, rows=machine.array, columns=machine.array, tiles=tiles, flags=2 if flags & 32 else 0)
    for _ in range(tiles):
        builder.multiply(0, 0, rows, flags=NEW | flags)
    weights = np.zeros(2 * tiles * machine.tile_bytes, np.uint8)
    return simulate(Program(builder.finish(), weights, machine.array), machine)


def test_a_tile_takes_its_bytes_over_the_bandwidth() -> None:
    run = _tiles(parse_machine("tpu:v1"), 100, 1)
    fetch = int(run.finish[1] - run.start[1])
    assert fetch == ceil(100 * 65536 * 7 / 340)  # 1349.27 cycles each
    # Bound by memory: after each arrival its shift, one row, and the way out of the array.
    assert run.cycles == run.finish[1] + 256 + 1 + 2 * 256 - 2


def test_a_shift_takes_as_many_cycles_as_the_array_has_rows() -> None:
    run = _tiles(parse_machine("tpu:v1"), 1, 10)
    assert run.start[2] - run.finish[1] == 256
    assert run.total.weight_shift_cycles == 256
    assert run.total.weight_stall_cycles == run.finish[1]


@pytest.mark.parametrize(("flags", "cycles_per_row"), [(0, 1), (16, 2), (32, 2), (48, 4)])
@pytest.mark.parametrize("rows", [100, 256, 700])
def test_rows_follow_each_other_without_a_gap(rows: int, flags: int, cycles_per_row: int) -> None:
    run = _tiles(parse_machine("tpu:v1{weight-bandwidth=unlimited}"), 6, rows, flags)
    starts = run.start[2:8]
    shift = 512 if flags & 32 else 256
    assert set(np.diff(starts)) == {max(rows * cycles_per_row, shift)}
    assert run.total.array_active_cycles == 6 * rows * cycles_per_row


@pytest.mark.parametrize(("array", "folds", "rows"), [(256, 2, 784), (8, 5, 3), (16, 4, 100)])
def test_without_overlap_folds_take_what_scale_sim_says(array: int, folds: int, rows: int) -> None:
    machine = parse_machine(f"tpu:v1{{array={array},overlap=false,weight-bandwidth=unlimited}}")
    run = _tiles(machine, folds, rows)
    first = 2  # the first MMC is the third instruction
    assert run.cycles - first == folds * (2 * array + array + rows - 2)


@pytest.mark.parametrize("seed", range(4))
def test_counters_add_up(seed: int) -> None:
    machine = parse_machine("tpu:tiny")
    run = simulate(RandomProgram(np.random.default_rng(seed), machine).draw(40), machine)
    for counters in (run.total, *run.layers):
        parts = counters.array_active_cycles + counters.weight_stall_cycles
        parts += counters.weight_shift_cycles + counters.non_matrix_cycles
        assert parts == counters.cycles
        assert counters.useful_macs <= counters.array_active_cycles * machine.tile_bytes
        report = counters.report(machine)
        assert report["useful_macs"] + report["unused_macs"] == pytest.approx(report["array_active"])
    assert run.total.cycles == sum(layer.cycles for layer in run.layers) == max(run.finish.max(), len(run.finish))
    assert run.total.instructions == len(run.finish)


@pytest.mark.parametrize("seed", range(6))
def test_more_bandwidth_and_deeper_queues_are_never_slower(seed: int) -> None:
    machine = parse_machine("tpu:tiny{fifo=1,weight-bandwidth=100MB/s,host-bandwidth=90MB/s}")
    program = RandomProgram(np.random.default_rng(seed), machine).draw(40)
    ladder = [
        machine,
        machine.with_options(fifo=2),
        machine.with_options(fifo=7),
        machine.with_options(fifo=7, weight_bandwidth="137MB/s"),
        machine.with_options(fifo=7, weight_bandwidth="1GB/s"),
        machine.with_options(fifo=7, weight_bandwidth="1GB/s", host_bandwidth="333MB/s"),
        machine.with_options(fifo=7, weight_bandwidth="unlimited", host_bandwidth="unlimited"),
    ]
    cycles = [simulate(program, rung).cycles for rung in ladder]
    assert cycles == sorted(cycles, reverse=True)


def _circle(tiles: int, fifo: int) -> Simulation:
    """Weights behind tiles that the matrix unit takes only after those weights."""
    machine = parse_machine(f"tpu:tiny{{fifo={fifo}}}")
    text = f"""
    CFG M_K=1 M_PIXEL_STRIDE=1
    CFG A_LOW=-128 A_HIGH=127
    RDW tiles={tiles} rows=8 columns=8 dram=0
    RDP parameter=0 bytes=64 dram=0
    SYNC waiter=activation producer=weight lag=0
    ACT accumulator=0 buffer=0 length=1 lanes=8
    SYNC waiter=matrix producer=activation lag=0
    {"MMC.new_tile accumulator=0 buffer=0 length=1" + chr(10)}
    {("MMC.new_tile accumulator=0 buffer=0 length=1" + chr(10)) * (tiles - 1)}
    HLT
    """
    return simulate(Program(assemble(text), np.zeros(1024, np.uint8), 8), machine)


def test_a_tile_moves_into_the_shadow_before_it_is_asked_for() -> None:
    assert _circle(tiles=2, fifo=1).cycles > 0


def test_units_that_wait_for_each_other_are_found() -> None:
    with pytest.raises(ModelError, match="wait for each other"):
        _circle(tiles=3, fifo=1)


def test_a_cycle_limit_ends_long_programs() -> None:
    machine = parse_machine("tpu:tiny{weight-bandwidth=1B/s}")
    builder = ProgramBuilder()
    builder.read_parameters(0, 0, 1000)
    program = Program(builder.finish(), np.zeros(1024, np.uint8), 8)
    with pytest.raises(ModelError, match="more than 100000000000 cycles"):
        simulate(program, machine.with_options(clock="1GHz"))
    with pytest.raises(ModelError, match="more than 1000 cycles"):
        simulate(program, machine, cycle_limit=1000)


def test_stalls_of_a_layer_that_waits_for_the_one_before() -> None:
    machine = parse_machine("tpu:tiny{weight-bandwidth=unlimited,host-bandwidth=unlimited}")
    builder = ProgramBuilder()
    builder.configure(M_K=8, M_PIXEL_STRIDE=8, A_LOW=-128, A_HIGH=127, A_OUT_STRIDE=8)
    builder.read_weights(0, rows=8, columns=8, tiles=2)
    builder.multiply(0, 0, 20, flags=NEW)
    builder.synchronize(Unit.ACTIVATION, Unit.MATRIX)
    builder.activate(0, 0x1000, 20, 8)
    builder.synchronize(Unit.MATRIX, Unit.ACTIVATION)
    builder.multiply(0, 0x1000, 20, flags=NEW)
    program = Program(builder.finish(), np.zeros(128, np.uint8), 8)
    run = simulate(program, machine)
    # Out of the array (14 cycles), through the activation unit (20 rows, 3 cycles deep), all of it waited for.
    assert run.total.raw_stall_cycles == 14 + 20 + 3
    assert run.total.input_stall_cycles == 0
    last = int(np.flatnonzero(program.instructions["opcode"] == Opcode.MMC)[-1])
    assert run.cycles == run.start[last] + 20 + 14
