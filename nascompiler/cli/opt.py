"""`nascompiler opt`: run passes on a graph, and look at what each does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nascompiler.cli.common import LoadOption, ShapeOption, duration, parse_shapes, say, table
from nascompiler.ir.errors import UsageError
from nascompiler.passes import load_script
from nascompiler.passes.infrastructure.instruments import (
    Instrument,
    NumericCheck,
    PrintAfterChange,
    Reproducer,
    Timing,
)


def opt(
    model: Annotated[str, typer.Argument(metavar="FILE", help="A graph file (.nir), an .onnx file, or a reproducer.")],
    passes: Annotated[
        str | None, typer.Option("--passes", metavar="PIPELINE", help="Passes; a reproducer brings its own.")
    ] = None,
    load: LoadOption = None,
    print_after_change: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the graph after every change, in numbered files.")
    ] = None,
    timing: Annotated[bool, typer.Option("--timing", help="Show time, changes and misses of every pass.")] = False,
    numeric_check: Annotated[
        bool, typer.Option("--numeric-check", help="Hold every pass to what it promises to preserve.")
    ] = False,
    reproducer: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where a failing pass leaves its reproducer.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.nir", help="Graph file to write; default: print.")
    ] = None,
    shape: ShapeOption = None,
) -> None:
    """Run a pipeline of passes on a graph."""
    from nascompiler import api

    for script in load or ():
        load_script(script)
    graph = api.load(model, shapes=parse_shapes(shape))
    if passes is None:
        recorded = graph.attributes.get("pipeline")
        if not isinstance(recorded, str):
            raise UsageError(f"{model} is no reproducer: give --passes")
        passes = recorded
    clock, check = Timing(), NumericCheck()
    crash = Reproducer(reproducer or Path("."))
    instruments: list[Instrument] = [clock, crash]
    if print_after_change is not None:
        instruments.append(PrintAfterChange(print_after_change))
    if numeric_check:
        instruments.append(check)
    try:
        graph = api.optimize(graph, passes, instruments=instruments)
    finally:
        if crash.written is not None:
            say(f"the graph before the failing pass is in {crash.written}; replay: nascompiler opt {crash.written}")
    if timing:
        _show(clock)
    for name, reason in check.skipped:
        say(f"{name} was not checked: {reason}")
    if output is None:
        print(graph, end="")
    else:
        api.save(graph, output)


def _show(clock: Timing) -> None:
    table(
        ("pass", ">runs", ">changed", ">time", "what"),
        [
            (name, s.runs, s.changes, duration(s.time_ns), ", ".join(f"{w} ×{n}" for w, n in s.counts.items()))
            for name, s in clock.passes.items()
        ],
    )
    misses = [(name, *miss) for name, s in clock.passes.items() for miss in s.misses]
    if misses:
        table(("pass", "rule", "node", "missed because"), misses)
