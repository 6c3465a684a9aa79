"""What batches of a network take: on a TPU by simulation, on this machine by measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nascompiler.ir import Graph
from nascompiler.tpu.serving import ServiceTimes

Progress = Callable[[str], None]

HASWELL_DIE_W = 145.0
"""Busy power of the paper's CPU die (table 2)."""
HASWELL_CORES = 18
"""Cores of that die, an Intel Xeon E5-2699 v3."""
CPU_POWER = "modelled: the busy power of the paper's 18-core Haswell die, by cores; this machine's own was not measured"

_ROUNDS, _BURST_MS = 5, 100.0


def network_structure(name: str, batch: int) -> Graph:
    """The integer network of any architecture of the zoo at a batch size, without values."""
    from nascompiler import api, zoo
    from nascompiler.passes.quantization.structure import integer_structure
    from nascompiler.tpu.workloads import set_batch

    graph = zoo.load(name).clone()
    set_batch(graph, batch)
    return integer_structure(api.optimize(graph, "expand-cells{statistics=random}"), whole=True)


def simulated_times(name: str, target: str, batches: Sequence[int], progress: Progress | None = None) -> ServiceTimes:
    """Simulated seconds of batches on a TPU, transfers over PCIe included, conversions on the host not."""
    from nascompiler.backends.tpu.machine import parse_machine
    from nascompiler.backends.tpu.timing import time_network

    machine = parse_machine(target)
    seconds = []
    for batch in batches:
        if progress is not None:
            progress(f"{target}, batch {batch}")
        seconds.append(machine.seconds(time_network(network_structure(name, batch), machine).cycles))
    return ServiceTimes(tuple(batches), tuple(seconds))


def measured_times(
    name: str, batches: Sequence[int], *, threads: int, progress: Progress | None = None
) -> ServiceTimes:
    """Measured seconds of batches on this machine, the same integer network compiled for `cpu`.

    All weights are zero, which takes the kernels as long as others.
    """
    from nascompiler import api

    seconds = []
    for batch in batches:
        if progress is not None:
            progress(f"cpu, batch {batch}")
        artifact = api.compile(network_structure(name, batch), "cpu", threads=threads)
        result = api.bench(artifact, threads=threads, rounds=_ROUNDS, burst_ms=_BURST_MS)
        seconds.append(result.ours.latency.median_ns / 1e9)
    return ServiceTimes(tuple(batches), tuple(seconds))


def cpu_power_w(threads: int) -> float:
    """Watts of as many busy cores of the paper's CPU."""
    return HASWELL_DIE_W * threads / HASWELL_CORES
