"""What the machine counted: the rows of the paper's table 3, of the whole program and of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.simulator.timing import Count

TABLE_3 = (
    "array_active",
    "useful_macs",
    "unused_macs",
    "weight_stall",
    "weight_shift",
    "non_matrix",
    "raw_stalls",
    "input_stalls",
)
"""The counters of a report that are rows of the paper's table 3, in per cent of all cycles."""


@dataclass(frozen=True)
class Counters:
    """Of a program or one of its layers. A layer has the cycles between the last row of the layer before it in the
    array and its own last row, so that layers add up to the program; those without multiplications have none.

    array_active + weight_stall + weight_shift + non_matrix = cycles. `raw_stall_cycles` (waiting for activations of the
    layer before) and `input_stall_cycles` (waiting for the host) are part of the others and may overlap.
    """

    name: str
    cycles: int
    array_active_cycles: int
    weight_stall_cycles: int
    weight_shift_cycles: int
    non_matrix_cycles: int
    raw_stall_cycles: int
    input_stall_cycles: int
    useful_macs: int
    dram_bytes: int
    host_read_bytes: int
    host_write_bytes: int
    host_busy_cycles: int
    weight_busy_cycles: int
    activation_busy_cycles: int
    instructions: int

    def report(self, machine: Machine) -> dict[str, Any]:
        """The counters as the paper's table 3 has them, in per cent of all cycles, and TeraOps a second.

        useful_macs + unused_macs = array_active. One MAC is two operations.
        """
        cycles = max(self.cycles, 1)
        percent = 100.0 / cycles
        useful = self.useful_macs / (machine.array * machine.array) * percent
        seconds = machine.seconds(cycles)
        return {
            "cycles": self.cycles,
            "milliseconds": 1e3 * machine.seconds(self.cycles),
            "array_active": self.array_active_cycles * percent,
            "useful_macs": useful,
            "unused_macs": self.array_active_cycles * percent - useful,
            "weight_stall": self.weight_stall_cycles * percent,
            "weight_shift": self.weight_shift_cycles * percent,
            "non_matrix": self.non_matrix_cycles * percent,
            "raw_stalls": self.raw_stall_cycles * percent,
            "input_stalls": self.input_stall_cycles * percent,
            "tops": 2 * self.useful_macs / seconds / 1e12,
            "dram_bytes": self.dram_bytes,
            "host_read_bytes": self.host_read_bytes,
            "host_write_bytes": self.host_write_bytes,
            "activation_busy": self.activation_busy_cycles * percent,
            "host_busy": self.host_busy_cycles * percent,
            "instructions": self.instructions,
        }


def counters_of(name: str, counts: NDArray[np.int64]) -> Counters:
    """Counters from one row of counts."""
    value = [int(n) for n in counts]
    matrix = (Count.ARRAY_ACTIVE, Count.WEIGHT_STALL, Count.WEIGHT_SHIFT, Count.NON_MATRIX)
    return Counters(
        name=name,
        cycles=sum(value[c] for c in matrix),
        array_active_cycles=value[Count.ARRAY_ACTIVE],
        weight_stall_cycles=value[Count.WEIGHT_STALL],
        weight_shift_cycles=value[Count.WEIGHT_SHIFT],
        non_matrix_cycles=value[Count.NON_MATRIX],
        raw_stall_cycles=value[Count.RAW_STALLS],
        input_stall_cycles=value[Count.INPUT_STALLS],
        useful_macs=value[Count.USEFUL_MACS],
        dram_bytes=value[Count.DRAM_BYTES],
        host_read_bytes=value[Count.HOST_READ_BYTES],
        host_write_bytes=value[Count.HOST_WRITE_BYTES],
        host_busy_cycles=value[Count.HOST_BUSY],
        weight_busy_cycles=value[Count.WEIGHT_BUSY],
        activation_busy_cycles=value[Count.ACTIVATION_BUSY],
        instructions=value[Count.INSTRUCTIONS],
    )
