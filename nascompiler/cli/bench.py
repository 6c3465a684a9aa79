"""`nascompiler bench`: measure an artifact, alone or side by side with other runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import JsonOption, duration, print_json, say, table
from nascompiler.ir.errors import UsageError

if TYPE_CHECKING:
    from nascompiler.bench import BenchResult


def bench(
    arguments: Annotated[
        list[str], typer.Argument(metavar="DIR", help="An artifact; with --worker: ONNX DIR THREADS DTYPE OUTPUTS.")
    ],
    threads: Annotated[int, typer.Option("--threads", metavar="N", min=1, help="Threads to measure with.")] = 1,
    against: Annotated[
        str, typer.Option("--against", metavar="NAMES", help="Runtimes to measure side by side: onnxruntime,openvino.")
    ] = "",
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="Bursts of each runtime.")] = 12,
    burst_ms: Annotated[float, typer.Option("--burst-ms", metavar="MS", min=1, help="Length of a burst.")] = 200.0,
    profile: Annotated[bool, typer.Option("--profile", help="Show the time of every layer.")] = False,
    json: JsonOption = False,
    worker: Annotated[
        bool, typer.Option("--worker", help="Serve a benchmark harness over standard input and output.")
    ] = False,
) -> None:
    """Measure latency: medians of interleaved bursts, with spread, layers and conditions."""
    if worker:
        from nascompiler.bench.harness_worker import main

        main(arguments)
        return
    if len(arguments) != 1:
        raise UsageError(f"bench takes one artifact, not {len(arguments)}: {' '.join(arguments)}")
    from nascompiler.bench import bench_artifact

    result = bench_artifact(
        Path(arguments[0]),
        threads=threads,
        against=[name.strip() for name in against.split(",") if name.strip()],
        rounds=rounds,
        burst_ms=burst_ms,
        roofline=profile,
    )
    if json:
        print_json(result.to_json())
    else:
        show(result, profile=profile)


def show(result: BenchResult, *, profile: bool = False) -> None:
    """Print a benchmark as tables, its warnings on stderr."""
    if result.ours.latency.kind.value == "estimated":
        _show_estimate(result, profile=profile)
        return
    if result.simulation is not None:
        _show_simulation(result, result.simulation, profile=profile)
        return
    table(
        ("runtime", ">median", ">± mad", ">p90", ">p99", ">cold", ">load", ">runs", ">time / ours"),
        [
            (
                f"{e.name} {e.version}",
                duration(e.latency.median_ns),
                duration(e.latency.mad_ns),
                duration(e.latency.percentile_ns(90)),
                duration(e.latency.percentile_ns(99)),
                duration(e.latency.cold_ns),
                duration(e.latency.load_ns),
                len(e.latency.samples_ns),
                f"{e.ratio:.2f}",
            )
            for e in result.entries
        ],
        title=f"{result.ours.latency.kind.value} for {result.target} with {result.threads} thread(s) on "
        f"{result.environment.cpu}",
    )
    if profile and result.ours.latency.layers:
        _show_layers(result)
    for name, reason in result.failures.items():
        say(f"{name} was not measured: {reason}")
    for warning in result.environment.warnings:
        say(f"warning: {warning}")
    dropped = sum(e.dropped for e in result.entries)
    if dropped:
        say(f"warning: {dropped} burst(s) were disturbed by other processes")


def _show_simulation(result: BenchResult, simulation: Mapping[str, Any], *, profile: bool) -> None:
    """Print the cycles and counters of a TPU, of every layer where wanted; layers of the activation unit alone, whose
    time is in those behind them, are left out."""
    from nascompiler.backends.tpu.simulator.counters import TABLE_3

    total = simulation["counters"]
    rows = [row for row in simulation["layer_counters"] if row["cycles"]] if profile else []
    cells = [
        (
            name,
            f"{row['cycles']:,}",
            f"{row['cycles'] / max(total['cycles'], 1):.1%}",
            *(f"{row[counter]:.1f}" for counter in TABLE_3),
            f"{row['tops']:.2f}",
        )
        for name, row in (*((row["name"], row) for row in rows), ("all", total))
    ]
    columns = ("layer", ">cycles", ">share", *(f">{counter}" for counter in TABLE_3), ">tops")
    table(columns, cells, title=f"simulated for {result.target}; counters in per cent of the cycles")
    say(
        f"{duration(result.ours.latency.median_ns)} on the TPU, transfers included; the host's kernels take "
        f"{duration(simulation['host_ns'])} on this machine; the Unified Buffer is used up to byte "
        f"{simulation['buffer_high_water_bytes']:,}"
    )


def _show_estimate(result: BenchResult, *, profile: bool) -> None:
    """Print an estimate, with compute and memory apart for every layer where wanted."""
    latency, mhz = result.ours.latency, result.environment.frequency_mhz or 0.0
    if profile:
        table(
            ("layer", "op", "kernel", ">time", ">share", ">cycles", ">compute", ">memory"),
            [
                (
                    row.name,
                    row.op,
                    row.kernel,
                    duration(row.ns),
                    f"{row.ns / latency.median_ns:.1%}",
                    f"{row.ns * mhz / 1000:.0f}",
                    *("" if cycles is None else f"{cycles:.0f}" for cycles in (row.compute_cycles, row.memory_cycles)),
                )
                for row in latency.layers
            ],
        )
    say(
        f"estimated for {result.target}: {duration(latency.median_ns)}, {latency.median_ns * mhz / 1e9:.2f} million "
        f"cycles at {mhz:.0f} MHz, the sum of {len(latency.layers)} kernel calls; {result.environment.cpu}"
    )
    for warning in result.environment.warnings:
        say(f"warning: {warning}")


def _show_layers(result: BenchResult) -> None:
    """Print where the time goes, and how far each layer is from the roofline of this machine."""
    latency = result.ours.latency
    table(
        ("layer", "op", "kernel", ">time", ">share", ">GMAC/s", ">GB/s", ">of roofline"),
        [
            (
                row.name,
                row.op,
                row.kernel,
                duration(row.ns),
                f"{row.ns / latency.median_ns:.1%}",
                f"{row.macs / row.ns:.1f}" if row.macs and row.ns > 0 else "",
                f"{row.bytes / row.ns:.1f}" if row.bytes and row.ns > 0 else "",
                f"{bound / row.ns:.0%}" if row.bytes and row.ns > 0 and (bound := result.bound_ns(row)) else "",
            )
            for row in latency.rows()
        ],
    )
    say(
        f"layers {duration(latency.layers_ns)} + rest {duration(latency.rest_ns)} "
        f"= end to end {duration(latency.median_ns)}; the clock's {duration(latency.clock_ns)} are taken off each"
    )
    roofline = result.roofline
    if roofline is not None:
        bound = sum(result.bound_ns(layer) or 0.0 for layer in latency.layers)
        reads = ", ".join(f"{level.name} {level.bytes_per_ns:.0f}" for level in roofline.levels)
        say(
            f"roofline of one thread: float32 {roofline.float_macs:.0f} and int8 {roofline.int8_macs:.0f} GMAC/s; "
            f"reads in GB/s: {reads}; all layers at their bounds: {duration(bound)} ({bound / latency.median_ns:.0%})"
        )
