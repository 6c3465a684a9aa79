"""`nascompiler tpu-workloads`: the six workloads of the TPU paper, simulated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nascompiler.cli.common import JsonOption, print_json, say, table
from nascompiler.cli.quantize import PrecisionOption
from nascompiler.ir.errors import unknown


def tpu_workloads(
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="A TPU, such as tpu:v1.")] = "tpu:v1",
    only: Annotated[
        str, typer.Option("--only", metavar="NAMES", help="Workloads, separated by commas; default: all six.")
    ] = "",
    batch: Annotated[int | None, typer.Option("--batch", metavar="N", min=1, help="In place of the paper's.")] = None,
    precision: PrecisionOption = "int8",
    verify: Annotated[
        bool, typer.Option("--verify", help="Quantise with noise too, and compare all values with the reference.")
    ] = False,
    roofline: Annotated[
        Path | None, typer.Option("--roofline", metavar="FILE.svg", help="Draw the workloads under the roof as well.")
    ] = None,
    cpu_threads: Annotated[
        int | None,
        typer.Option("--cpu-threads", min=1, metavar="N", help="In that figure, this machine beside it, measured."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compile and simulate the six workloads of the TPU paper: the rows of its table 3, in per cent of all cycles."""
    from nascompiler.backends.errors import GateError
    from nascompiler.backends.tpu.simulator.counters import TABLE_3
    from nascompiler.passes.quantization.precision import precision_of
    from nascompiler.tpu.workload_table import check_values, run_workloads
    from nascompiler.tpu.workloads import WORKLOADS

    names = [name.strip() for name in only.split(",") if name.strip()] or list(WORKLOADS)
    for name in names:
        if name not in WORKLOADS:
            raise unknown("workload", name, WORKLOADS)
    precision_of(precision)  # before anything is said to begin
    runs = run_workloads(
        target, workloads=names, batch=batch, precision=precision, progress=lambda name: say(f"{name} ...")
    )
    faults = []
    if verify:
        for name in names:
            say(f"{name}: comparing values ...")
            faults += check_values(name, target, batch=batch, precision=precision)
    if roofline is not None:
        from nascompiler.tpu.roofline_figure import draw_workloads

        draw_workloads(runs, roofline, cpu_threads=cpu_threads, progress=lambda name: say(f"{name} ..."))
    rows = {name: run.to_json() for name, run in runs.items()}
    if json:
        print_json(rows)
    else:
        columns = ("workload", ">batch", ">cycles", *(f">{row}" for row in TABLE_3), ">tops")
        cells = [
            (name, row["batch"], row["cycles"], *(f"{row[key]:.1f}" for key in TABLE_3), f"{row['tops']:.1f}")
            for name, row in rows.items()
        ]
        table(columns, cells, title=f"{precision}, simulated on {target}; in per cent of all cycles")
    if faults:
        raise GateError("values differ from the reference: " + "; ".join(faults))
    if verify:
        say("all values are identical to the reference's")
