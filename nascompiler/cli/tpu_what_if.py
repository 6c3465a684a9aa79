"""`nascompiler tpu-what-if`: the TPU paper's scaling figure, by simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nascompiler.cli.common import JsonOption, print_json, say, table

FigureOption = Annotated[
    Path | None, typer.Option("--figure", metavar="FILE.svg", help="Draw the figure as well (.svg, .png, .pdf).")
]


def tpu_what_if(
    target: Annotated[str, typer.Option("--target", metavar="TPU", help="The machine that is scaled.")] = "tpu:v1",
    workload: Annotated[
        list[str] | None, typer.Option("--workload", metavar="NAME", help="Of these only; repeat. Default: all six.")
    ] = None,
    figure: FigureOption = None,
    json: JsonOption = False,
) -> None:
    """Simulate the paper's workloads with memory, clock or array scaled by 1/4 to 4, each recompiled.

    Performance is relative to the machine as it is; the mean is weighted by the deployed mix of the paper's table 1.
    """
    from nascompiler.tpu.what_if import KINDS, draw_what_if, what_if
    from nascompiler.tpu.workloads import WORKLOADS

    names = tuple(workload or WORKLOADS)
    rows = what_if(target, workloads=names, progress=None if json else say)
    if figure is not None:
        draw_what_if(rows, figure)
    if json:
        print_json(
            {
                "target": target,
                "kind": "simulated",
                "rows": [
                    {
                        "scaled": row.kind,
                        "factor": row.factor,
                        "target": row.target,
                        "weighted_mean": row.weighted_mean,
                        "workloads": row.speedups,
                    }
                    for row in rows
                ],
            }
        )
        return
    table(
        ("scaled", ">factor", ">weighted mean", *(f">{name}" for name in names)),
        [
            (row.kind, f"{row.factor:.3g}", _text(row.weighted_mean), *(_text(row.speedups[n]) for n in names))
            for row in rows
        ],
        title=f"Performance relative to {target}, simulated",
    )
    for kind in KINDS:
        print(f"{kind.name}: {kind.description}")
    print("gddr5: the weight memory of tpu:prime. A dash: a workload does not fit that machine.")


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
