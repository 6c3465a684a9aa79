"""The programs of a loaded artifact: simulated whenever the host's code calls them, and what was counted then."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

from nascompiler.backends.tpu.artifact import inputs_by_name
from nascompiler.backends.tpu.isa import Program
from nascompiler.backends.tpu.isa.verify import verify_program
from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.simulator import Simulation, host_memory, host_tensor, simulate
from nascompiler.ir.types import Array


@dataclass(eq=False)
class LoadedRegion:
    """A program on its machine, verified. `cycles` do not depend on values and are the same in every run."""

    symbol: str
    program: Program
    machine: Machine
    _timing: Simulation | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        verify_program(self.program, self.machine)

    @property
    def timing(self) -> Simulation:
        """A run without values."""
        if self._timing is None:
            self._timing = simulate(self.program, self.machine, verify=False)
        return self._timing

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The results for inputs, both in order."""
        memory = host_memory(self.program, inputs_by_name(self.program, inputs))
        made = simulate(self.program, self.machine, memory, verify=False)
        self._timing = made
        assert made.host is not None
        return [host_tensor(made.host, tensor) for tensor in self.program.outputs.values()]


def provide_regions(owner: object, regions: Sequence[LoadedRegion]) -> None:
    """Let compiled programs of this process find the regions, as long as `owner` lives."""
    from nascompiler.backends.tvm_runtime.regions import provide, withdraw

    for region in regions:
        provided = provide(region.symbol, len(region.program.inputs), region.run)
        weakref.finalize(owner, withdraw, region.symbol, provided)
