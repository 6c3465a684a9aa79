"""The workloads under the roofs of a TPU, simulated, and of this machine, measured: the paper's figures 5 to 8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nascompiler.backends.tpu.roofline import (
    Roof,
    RooflinePoint,
    draw_roofline,
    machine_roof,
    simulated_point,
)
from nascompiler.ir import Graph
from nascompiler.ir.cost import node_cost
from nascompiler.tpu.workload_table import WorkloadRun
from nascompiler.tpu.workloads import workload_structure

_ROUNDS, _BURST_MS = 5, 100.0


def weight_bytes(graph: Graph) -> int:
    """Bytes of the 8-bit weights of an integer network's products."""
    sums = (node for node in graph.nodes if node.op.name in ("qnn.conv2d", "qnn.linear", "qnn.conv2d_transpose"))
    return sum(node.operands[1].type.bytes for node in sums)


def draw_workloads(
    runs: Mapping[str, WorkloadRun],
    path: Path,
    *,
    cpu_threads: int | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> Sequence[RooflinePoint]:
    """Draw the figure; with `cpu_threads` the workloads are compiled for this machine too, and measured.

    The CPU's roof is its measured peak of 8-bit products and what it reads from memory, of one thread times the
    threads. Returns the points. Needs matplotlib.
    """
    roofs: list[Roof] = []
    points: list[RooflinePoint] = []
    for name, run in runs.items():
        machine = run.timing.machine
        if not roofs:
            roofs.append(machine_roof(machine))
        weights = weight_bytes(workload_structure(name, batch=run.batch))
        points.append(simulated_point(name, run.timing.total, weights, machine))
    if cpu_threads is not None:
        for number, (name, run) in enumerate(runs.items()):
            progress(f"{name} on this machine")
            roof, point = _measured(name, run.batch, cpu_threads, with_roof=number == 0)
            points.append(point)
            if roof is not None:
                roofs.append(roof)
    draw_roofline(roofs, points, path)
    return points


def _measured(name: str, batch: int, threads: int, *, with_roof: bool) -> tuple[Roof | None, RooflinePoint]:
    from nascompiler import api

    graph = workload_structure(name, batch=batch)
    artifact = api.compile(graph, "cpu", threads=threads)
    result = api.bench(artifact, threads=threads, rounds=_ROUNDS, burst_ms=_BURST_MS, roofline=with_roof)
    macs = sum(node_cost(node).macs or 0 for node in graph.nodes)
    seconds = result.ours.latency.median_ns / 1e9
    point = RooflinePoint(name, macs / max(weight_bytes(graph), 1), 2 * macs / seconds, "measured")
    if result.roofline is None:
        return None, point
    peak = 2e9 * threads * result.roofline.int8_macs
    return Roof(f"cpu, {threads} threads", peak, 1e9 * threads * result.roofline.levels[-1].bytes_per_ns), point
