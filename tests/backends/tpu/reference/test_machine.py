"""Values, cycles and counters of the simulator are those of the machine stepped multiplier by multiplier."""

import numpy as np
import pytest

from nascompiler.backends.tpu.isa.opcodes import FORMS, Opcode, Unit
from nascompiler.backends.tpu.isa.verify import verify_program
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.backends.tpu.reference import run_reference
from nascompiler.backends.tpu.simulator import simulate
from tests.backends.tpu.random_programs import RandomProgram, random_host

MACHINES = [
    "tpu:tiny",
    "tpu:tiny{array=4,fifo=1}",
    "tpu:tiny{array=16,weight-bandwidth=3GB/s,fifo=2}",
    "tpu:tiny{array=5,weight-bandwidth=unlimited,host-bandwidth=170MB/s,activation-latency=0}",
    "tpu:tiny{array=6,overlap=false,weight-bandwidth=1GB/s}",
    "tpu:tiny{array=7,clock=333MHz,host-bandwidth=unlimited,accumulators=16}",
]


def _same(machine: Machine, seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    program = RandomProgram(rng, machine).draw(steps)
    host = random_host(rng, program)
    verify_program(program, machine)
    fast = simulate(program, machine, host)
    literal = run_reference(program, machine, host)

    units = [FORMS[Opcode(int(code))].unit for code in program.instructions["opcode"]]
    timed = np.array([unit is not Unit.ISSUE for unit in units])
    np.testing.assert_array_equal(fast.start[timed], np.array(literal.start)[timed])
    np.testing.assert_array_equal(fast.finish[timed], np.array(literal.finish)[timed])
    assert fast.cycles == literal.cycles
    assert fast.host is not None
    np.testing.assert_array_equal(fast.host, literal.host)
    total = fast.total
    assert (
        total.array_active_cycles,
        total.weight_stall_cycles,
        total.weight_shift_cycles,
        total.non_matrix_cycles,
        total.raw_stall_cycles,
        total.input_stall_cycles,
    ) == (
        literal.array_active,
        literal.weight_stall,
        literal.weight_shift,
        literal.non_matrix,
        literal.raw_stalls,
        literal.input_stalls,
    )


@pytest.mark.parametrize("target", MACHINES)
@pytest.mark.parametrize("seed", range(3))
def test_random_programs_agree(target: str, seed: int) -> None:
    _same(parse_machine(target), seed, 25)


@pytest.mark.slow
@pytest.mark.parametrize("target", MACHINES)
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_random_programs_agree(target: str, seed: int) -> None:
    _same(parse_machine(target), seed, 40)
