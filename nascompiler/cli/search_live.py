"""A running search on stderr: a live table on a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from nascompiler.cli.common import count, duration, say
from nascompiler.search.progress import Listener
from nascompiler.search.progress import Progress as SearchProgress
from nascompiler.search.study import TrialRecord

SHOWN = 10
"""Latest trials in the live table."""


@contextmanager
def shown(budget: int, targets: Sequence[str]) -> Iterator[Listener]:
    """A listener that shows what it is told."""
    if not sys.stderr.isatty():
        yield _line
        return
    latest: deque[TrialRecord] = deque(maxlen=SHOWN)
    bar = Progress(TextColumn("{task.completed} of {task.total} trials"), BarColumn(), TextColumn("{task.description}"))
    task = bar.add_task("", total=budget)
    with Live(Group(bar), console=Console(stderr=True), refresh_per_second=4) as live:

        def listen(progress: SearchProgress) -> None:
            if progress.latest is not None:
                latest.append(progress.latest)
            bar.update(task, completed=progress.told, description=_summary(progress))
            live.update(Group(_table(latest, progress.best, targets), bar))

        yield listen


def _line(progress: SearchProgress) -> None:
    trial = progress.latest
    if trial is None:
        say(f"{progress.told} of {progress.budget} trials are there; searching ...")
        return
    best = " (best so far)" if progress.best is trial else ""
    say(f"trial {trial.number} ({progress.told} of {progress.budget}): {_said(trial)}{best}; {_left(progress)}")


def _said(trial: TrialRecord) -> str:
    evaluation, failure = trial.evaluation, trial.failure
    if evaluation is None:
        return "failed" if failure is None else f"failed: {failure.failure_class.value}: {failure.message[:200]}"
    parts = ["not trained" if evaluation.accuracy is None else f"accuracy {evaluation.accuracy:.2%}"]
    parts += [f"{duration(found.ns)} on {target}" for target, found in evaluation.latencies.items()]
    parts += [f"{count(evaluation.parameters)} parameters", f"reward {trial.told or 0:.4f}"]
    return ", ".join([*parts, *([] if trial.repeats is None else [f"as trial {trial.repeats}"])])


def _table(latest: Sequence[TrialRecord], best: TrialRecord | None, targets: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("trial", "accuracy", *targets, "params", "reward", ""):
        table.add_column(column, justify="right" if column else "left")
    for trial in latest:
        table.add_row(str(trial.number), *_cells(trial, targets))
    if best is not None:
        table.add_row(str(best.number), *_cells(best, targets)[:-1], "the best so far", style="bold green")
    return table


def _cells(trial: TrialRecord, targets: Sequence[str]) -> list[str]:
    reward = "" if trial.told is None else f"{trial.told:.4f}"
    evaluation = trial.evaluation
    if evaluation is None:
        failure = trial.failure
        said = "" if failure is None else f"failed: {failure.failure_class.value}"
        return ["", *[""] * len(targets), "", reward, said]
    accuracy = "not trained" if evaluation.accuracy is None else f"{evaluation.accuracy:.2%}"
    latencies = [duration(evaluation.latencies[t].ns) if t in evaluation.latencies else "-" for t in targets]
    note = "" if trial.repeats is None else f"as trial {trial.repeats}"
    return [accuracy, *latencies, count(evaluation.parameters), reward, note]


def _summary(progress: SearchProgress) -> str:
    parts = [f"{len(progress.running)} under way"] if progress.running else []
    parts += [f"{number} failed: {kind}" for kind, number in progress.failures.most_common()]
    return ", ".join([*parts, _left(progress)])


def _left(progress: SearchProgress) -> str:
    if progress.left_s is None:
        return "time left unknown"
    seconds = round(progress.left_s)
    if seconds < 60:
        return f"about {seconds} s left"
    if seconds < 3600:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds // 3600} h {seconds % 3600 // 60} min left"
