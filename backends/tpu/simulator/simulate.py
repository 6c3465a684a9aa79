"""The simulator: cycles and counters of a program, and with host memory given the values as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.program import HostTensor, Program
from nascompiler.backends.tpu.isa.table import to_table
from nascompiler.backends.tpu.isa.verify import verify_program
from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.simulator.counters import Counters, counters_of
from nascompiler.backends.tpu.simulator.timing import run_timing
from nascompiler.backends.tpu.simulator.values import run_values
from nascompiler.ir.errors import ModelError
from nascompiler.ir.types import Array

CYCLE_LIMIT = 10**11
"""Cycles after which a simulation gives up: minutes of a TPU's time."""


@dataclass(frozen=True)
class Simulation:
    """A program's run. `start` and `finish` are the first and last cycle of each instruction; `host` is host memory
    afterwards, or nothing where only time was simulated. `buffer_high_water` is in bytes of the Unified Buffer.
    """

    machine: Machine
    total: Counters
    layers: tuple[Counters, ...]
    buffer_high_water: int
    start: NDArray[np.int64]
    finish: NDArray[np.int64]
    host: NDArray[np.uint8] | None

    @property
    def cycles(self) -> int:
        """Cycles from the first instruction to the last result."""
        return self.total.cycles

    @property
    def seconds(self) -> float:
        """The same at the machine's clock."""
        return self.machine.seconds(self.total.cycles)


def simulate(
    program: Program,
    machine: Machine,
    host: NDArray[np.uint8] | None = None,
    *,
    verify: bool = True,
    cycle_limit: int = CYCLE_LIMIT,
) -> Simulation:
    """Run a program; without `host` (the bytes of host memory, inputs in place) only its time.

    `verify` is for programs that were verified already: without it, values of a faulty program are undefined. Raises
    ProgramError for a program the machine cannot run, ModelError for one whose units wait for each other or that takes
    more than `cycle_limit` cycles.
    """
    if verify:
        verify_program(program, machine)
    table = to_table(program.instructions)
    names = program.tags or ("",)
    _, high_water, stuck, counts, start, finish = run_timing(table, machine, len(names), cycle_limit)
    if stuck < 0:
        raise ModelError(f"the program takes more than {cycle_limit} cycles; a limit was set to find endless ones")
    if stuck:
        raise ModelError(f"{stuck} instructions wait for each other: their SYNCs and weight tiles go round in a circle")
    memory = None
    if host is not None:
        if host.size < program.host_bytes:
            raise ModelError(f"host memory has {host.size} bytes; the program needs {program.host_bytes}")
        memory = np.ascontiguousarray(host, np.uint8).copy()
        run_values(table, machine, np.ascontiguousarray(program.weights), memory)
    layers = tuple(counters_of(name, row) for name, row in zip(names, counts, strict=True))
    return Simulation(machine, counters_of("total", counts.sum(axis=0)), layers, high_water, start, finish, memory)


def host_memory(program: Program, inputs: Mapping[str, Array]) -> NDArray[np.uint8]:
    """Host memory with tensors in place; raises ModelError for names, shapes or types other than the program's."""
    memory = np.zeros(program.host_bytes, np.uint8)
    if inputs.keys() != program.inputs.keys():
        raise ModelError(f"inputs are {', '.join(inputs)}; the program takes {', '.join(program.inputs)}")
    for name, tensor in program.inputs.items():
        value = inputs[name]
        if value.shape != tensor.shape or value.dtype != np.dtype(tensor.dtype):
            raise ModelError(
                f"input {name} is {value.dtype} {value.shape}; the program takes {tensor.dtype} {tensor.shape}"
            )
        memory[tensor.offset : tensor.offset + tensor.bytes] = np.ascontiguousarray(value).view(np.uint8).reshape(-1)
    return memory


def host_tensor(memory: NDArray[np.uint8], tensor: HostTensor) -> Array:
    """A tensor's value in host memory."""
    data = memory[tensor.offset : tensor.offset + tensor.bytes].copy()
    return data.view(np.dtype(tensor.dtype)).reshape(tensor.shape)
