"""`nascompiler tune`: find the fastest variant of every kernel call of a model on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nascompiler.backends.cpu.choice import METASCHEDULE
from nascompiler.cli.common import (
    HeadOption,
    JsonOption,
    LoadOption,
    ModelArgument,
    ResolutionOption,
    ShapeOption,
    WidthOption,
    duration,
    parse_shapes,
    print_json,
    say,
    table,
)
from nascompiler.ir.errors import UsageError
from nascompiler.passes import load_script

if TYPE_CHECKING:
    from nascompiler.backends.tune import Progress, TuningResult
    from nascompiler.backends.tune_schedules import ScheduleProgress

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}


def tune(
    model: ModelArgument,
    target: Annotated[str, typer.Option("--target", "-t", metavar="TARGET", help="See `nascompiler targets`.")],
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="No measurement begins after: 90s, 5m, 1h.")
    ] = "5m",
    shape: ShapeOption = None,
    width: WidthOption = None,
    resolution: ResolutionOption = None,
    head: HeadOption = None,
    passes: Annotated[
        str | None, typer.Option("--passes", metavar="PIPELINE", help="Replaces the default pipeline.")
    ] = None,
    load: LoadOption = None,
    again: Annotated[bool, typer.Option("--again", help="Measure also what has been measured before.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare untuned and tuned end to end when done.")
    ] = True,
    metaschedule: Annotated[
        bool,
        typer.Option("--metaschedule", help="Spend what is left of the budget on TVM's search for schedules (float)."),
    ] = False,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FILE", help="Keep measurements there, not in the user's cache.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure the variants of each kernel call; compiling takes the fastest from then on. Ctrl-C loses nothing."""
    from nascompiler import api
    from nascompiler.backends.tune_schedules import ScheduleProgress

    budget_s = parse_duration(budget)
    for script in load or ():
        load_script(script)
    graph = api.load(model, shapes=parse_shapes(shape) or None, width=width, resolution=resolution, head=head)
    kept = 0

    def show(progress: Progress | ScheduleProgress) -> None:
        nonlocal kept
        if isinstance(progress, ScheduleProgress):
            _show_search(progress)
        else:
            kept += 1
            _show_progress(progress)

    try:
        result = api.tune(
            graph,
            target,
            budget_s=budget_s,
            passes=passes,
            again=again,
            check=check,
            metaschedule=metaschedule,
            store=store,
            report=show,
        )
    except KeyboardInterrupt:
        say(f"{kept} calls were measured and are kept; the same command goes on from there")
        raise
    if json:
        print_json(result.to_json())
    else:
        _show(result)


def parse_duration(text: str) -> float:
    """`90s`, `5m`, `1.5h` or plain seconds, in seconds; raises UsageError for anything else and for nothing."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not seconds:
        raise UsageError(f"--budget {text!r}: write a time such as 90s, 5m or 1h")
    return seconds


def _show_progress(progress: Progress) -> None:
    result = progress.result
    found = "failed" if result.ns is None else f"{duration(result.ns)}, {result.gain:.2f}x by {result.variant}"
    place = f"{result.nodes[0]} ({result.op})" + (f" and {len(result.nodes) - 1} like it" * (len(result.nodes) > 1))
    say(f"{progress.done}/{progress.total}, {duration(progress.left_s * 1e9)} left: {place}: {found}")
    for failure in result.failures:
        say(f"  {failure.variant}: {failure.outcome.value}: {failure.detail}")


def _show_search(progress: ScheduleProgress) -> None:
    search = progress.search
    best = "none yet" if search.best is None else f"the best {search.best.gain:.2f}x"
    failures = "".join(f", {count} {outcome.value}" for outcome, count in search.failures.items())
    say(
        f"{progress.done + 1}/{progress.total}, {duration(progress.left_s * 1e9)} left: {progress.node} "
        f"({progress.op}): schedules tried: {search.trials}, {best}{failures}"
    )


def _show(result: TuningResult) -> None:
    total = sum(call.total_ns or 0.0 for call in result.calls)
    table(
        ("node", "op", ">calls", ">default", ">tuned", ">gain", ">share", "variant"),
        [
            (
                call.nodes[0],
                call.op,
                len(call.nodes),
                duration(call.default_ns),
                duration(call.ns),
                f"{call.gain:.2f}",
                f"{(call.total_ns or 0.0) / total:.1%}",
                call.variant,
            )
            for call in result.calls
            if call.ns is not None
        ],
        title=f"kernel calls for {result.target}; together {duration(total)}",
    )
    say(f"{result.measured} calls measured now, {result.known} known before, {result.left} left")
    if result.searched:
        taken = sum(call.variant == METASCHEDULE for call in result.calls)
        say(f"schedules were searched for {result.searched} calls; {taken} calls are computed by such a schedule")
    if result.failures:
        say(f"{len(result.failures)} variants failed and are not used")
    if result.end_to_end is not None:
        figures = result.end_to_end
        before, after = duration(figures["default_ns"]), duration(figures["tuned_ns"])
        verdict = "" if figures["decided"] else ", which is within the noise"
        how = "estimated" if figures.get("kind") == "estimated" else "in turns"
        say(f"end to end, {how}: {before} untuned, {after} tuned, {figures['ratio']:.2f}x{verdict}")
        for warning in figures["environment"]["warnings"]:
            say(f"warning: {warning}")
