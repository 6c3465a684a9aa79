"""The estimate of a compiled kernel call: run under the plugin, its blocks through the model of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nascompiler.backends.arm.estimate import tools
from nascompiler.backends.arm.estimate.cost import Cycles, Events, price
from nascompiler.backends.arm.estimate.job import LIBRARY, run_profiled
from nascompiler.backends.arm.estimate.pipeline import Pipeline
from nascompiler.backends.cores import Core
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.target import Target
from nascompiler.backends.toolchain import link_shared
from nascompiler.backends.tvm_adapter.steps import steps_of
from nascompiler.backends.tvm_adapter.variants import Compiled
from nascompiler.ir.types import Array

TIMEOUT_S = 600.0
"""How long a call may run in the emulator: about 40 million multiply-adds a second on a machine that is idle."""


@dataclass(frozen=True)
class Estimate:
    """What a call computes, and the cycles that it takes."""

    outputs: list[Array]
    events: Events
    cycles: Cycles


class Estimator:
    """Estimates for one target; raises DeviceError when something that estimates need is not installed, or too old."""

    def __init__(self, target: Target, *, timeout_s: float = TIMEOUT_S) -> None:
        self._target = target
        self.core = core_of(target)
        tools.emulator()
        tools.linker()
        self._pipeline = Pipeline(self.core.model.processor, tools.llvm(self.core.model.since_llvm))
        self._timeout_s = timeout_s

    @property
    def environment(self) -> dict[str, Any]:
        """What estimates depend on besides the code, to be kept with them."""
        return {"llvm": self._pipeline.llvm.version, **describe(self.core)}

    def estimate(self, compiled: Compiled, inputs: Sequence[Array], folder: Path) -> Estimate:
        """Run a compiled call on its inputs; `folder` is for files.

        Raises CodeFailure when the code crashes, hangs or returns an error.
        """
        link_shared(list(compiled.objects), folder / LIBRARY, self._target.isa)
        lowered = compiled.lowered
        run = run_profiled(
            steps_of(lowered), inputs, lowered.weights.arrays, self.core, folder, timeout_s=self._timeout_s
        )
        events = Events.of(run.profile, self.core, self._pipeline)
        return Estimate(run.outputs, events, price(events, self.core))


def core_of(target: Target) -> Core:
    """The core that a target names; raises DeviceError for a target whose cycles cannot be estimated."""
    if target.core is None:
        raise DeviceError(f"cycles on {target.name} cannot be estimated: there is no model of its core")
    return target.core


def describe(core: Core) -> dict[str, Any]:
    """The model of a core as plain data."""
    model = core.model
    cycles = {name: getattr(model, name) for name in type(model).__dataclass_fields__ if name.endswith("_cycles")}
    return {
        "core": core.name,
        "core_model": model.processor,
        "origin": model.origin,
        "clock_hz": core.clock_hz,
        "in_order": model.in_order,
        **cycles,
    }
