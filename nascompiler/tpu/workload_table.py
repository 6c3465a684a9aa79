"""The six workloads on a TPU: cycles, and the rows of the paper's table 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nascompiler.backends.tpu.energy import energy
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.backends.tpu.timing import NetworkTiming, time_network
from nascompiler.tpu.workloads import WORKLOADS, set_batch, workload_structure


@dataclass(frozen=True)
class WorkloadRun:
    """A workload on a machine, simulated for a whole batch. `host` are the nodes that the host computes."""

    name: str
    batch: int
    timing: NetworkTiming

    @property
    def inferences_per_s(self) -> float:
        """Of batches that follow one another, the transfers to and from the host included in each."""
        return self.batch / self.timing.machine.seconds(self.timing.cycles)

    def to_json(self) -> dict[str, Any]:
        """Cycles, the counters in per cent, and the rest as plain data."""
        timing = self.timing
        used = energy(timing.total, timing.machine)
        return {
            **timing.total.report(timing.machine),
            "batch": self.batch,
            "inferences_per_s": self.inferences_per_s,
            "buffer_high_water_bytes": max(run.buffer_high_water for run in timing.runs),
            "programs": len(timing.runs),
            "host_nodes": len(timing.host),
            "kind": timing.latency.kind.value,
            "energy_modelled": None if used is None else asdict(used),
        }


def run_workloads(
    target: str | Machine = "tpu:v1",
    *,
    workloads: Sequence[str] = WORKLOADS,
    batch: int | None = None,
    precision: str = "int8",
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, WorkloadRun]:
    """Compile and time the workloads, each at the paper's batch size unless one is given.

    Raises UsageError for unknown workloads and machines, ModelError for one that does not fit the machine.
    """
    machine = parse_machine(target)
    found = {}
    for name in workloads:
        progress(name)
        graph = workload_structure(name, batch=batch, precision=precision)
        first = graph.inputs[0].type.static_shape
        found[name] = WorkloadRun(name, first[1] if len(first) == 3 else first[0], time_network(graph, machine))
    return found


def check_values(
    name: str, target: str | Machine, *, batch: int | None = None, precision: str = "int8", seed: int = 0
) -> list[str]:
    """Quantise a workload by noise, compile it, and compare every result of its programs with the reference.

    Returns what differs; nothing when all is identical to the last bit.
    """
    from nascompiler import api
    from nascompiler.backends.tpu.checking import differing_results
    from nascompiler.quantization.quantize import quantizer_options
    from nascompiler.verification import synthetic_inputs

    machine = parse_machine(target)
    graph = api.load(name)
    if batch is not None:
        set_batch(graph, batch)
    images = graph.inputs[0].type.static_shape[0]
    options = quantizer_options(precision, str(machine))
    quantized = api.quantize(graph, samples=images, evaluate=1, **options).graph
    return differing_results(quantized, machine, next(synthetic_inputs(quantized, seed)))
