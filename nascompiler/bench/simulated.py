"""An artifact for a TPU: its latency is the simulator's, what the host computes beside it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nascompiler import __version__
from nascompiler.backends.artifact import Artifact, load_artifact
from nascompiler.backends.measure import Environment, Kind, Latency, LayerTime
from nascompiler.backends.tpu.report import combined_report
from nascompiler.bench.session import OURS, BenchResult, Entry
from nascompiler.ir import Array

HOST_RUNS = 3
"""Runs of which the host's share is the least: it is small beside the simulator's own time."""


def simulate_artifact(folder: Path, inputs: Mapping[str, Array], conditions: Environment) -> BenchResult:
    """Simulated cycles and counters of a TPU artifact, and the time of the host's kernels on this machine."""
    artifact = load_artifact(folder, threads=1)
    artifact.prepare(inputs)
    host_ns = min(_host_ns(artifact) for _ in range(HOST_RUNS))
    runs = [region.timing for region in artifact.regions]
    machine = artifact.regions[0].machine
    report = combined_report(runs, machine)
    tpu_ns = 1e9 * machine.seconds(int(report["cycles"]))
    layers = tuple(
        LayerTime(c.name, "tpu", 1e9 * machine.seconds(c.cycles), c.useful_macs, c.dram_bytes)
        for run in runs
        for c in run.layers
    )
    latency = Latency(Kind.SIMULATED, [tpu_ns], layers=layers)
    simulation = {
        "cycles": report["cycles"],
        "counters": report,
        "layer_counters": [{"name": c.name, **c.report(machine)} for run in runs for c in run.layers],
        "host_ns": host_ns,
        "host_share": host_ns / (host_ns + tpu_ns),
        "buffer_high_water_bytes": max(run.buffer_high_water for run in runs),
    }
    entry = Entry(OURS, __version__, f"{artifact.manifest.target}, simulated", latency, 1.0, 0)
    return BenchResult(artifact.manifest.target, 1, (entry,), {}, conditions, simulation=simulation)


def _host_ns(artifact: Artifact) -> float:
    """The time of the kernels that run on the host, in one run."""
    symbols = {region.symbol for region in artifact.regions}
    rows, _ = artifact.profile()
    return sum(row.ns for row, call in zip(rows, artifact.manifest.calls, strict=True) if call.symbol not in symbols)
