"""`nascompiler study`: what a search has found, its trials, its front."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nascompiler.cli.common import JsonOption, check_report, count, duration, print_json, say, table
from nascompiler.ir.errors import UsageError, choices_text

if TYPE_CHECKING:
    from nascompiler.search.ranking import Candidate
    from nascompiler.search.result import SearchResult
    from nascompiler.search.study import FinalRecord, Study

SHOWN = 20
"""Trials that are listed unless all are asked for."""

MANY = 10**7
"""Larger numbers of architectures are written with a power of ten."""


def study(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Of `search`, `netadapt` or `codesign`.", show_default=False),
    ],
    all_trials: Annotated[bool, typer.Option("--all", help="List every trial, not only the best.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with everything on it.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="Another study, of random search say, to compare with there."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the trials of a study, best first; also while it is being written."""
    from nascompiler.search.result import SearchResult
    from nascompiler.search.study import Study

    check_report(report)
    if against is not None and report is None:
        raise UsageError("--against compares in a report: give --report too")
    with Study.read(file) as opened:
        if "kind" in opened.settings:
            _show_other(opened, file, report, json=json)
            return
        result = SearchResult.of(opened)
    if report is not None:
        from nascompiler.search.report import save_report

        other = None
        if against is not None:
            with Study.read(against) as opened:
                other = SearchResult.of(opened)
        save_report(result, report, against=other)
        say(f"wrote {report}")
    if json:
        print_json(result.to_json(trials=True))
        return
    targets = list(result.settings.targets)
    if all_trials:
        table(("trial", "status", ">accuracy", *_right(targets), ">params", ">reward", ""), _rows(result))
    else:
        shown = result.candidates[:SHOWN]
        more = f" of {len(result.candidates)}" if len(result.candidates) > SHOWN else ""
        table(_columns(targets), [_row(result, candidate) for candidate in shown], title=f"the best {len(shown)}{more}")
    show(result)


def _show_other(opened: Study, file: Path, report: Path | None, *, json: bool) -> None:
    """What a study of `netadapt` or `codesign` has found so far."""
    kind = opened.settings["kind"]
    if kind == "codesign":
        from nascompiler.cli import codesign
        from nascompiler.codesign.result import CodesignResult
        from nascompiler.codesign.run import ended_stages
        from nascompiler.codesign.settings import CodesignSettings

        if report is not None:
            raise UsageError("codesign has no report of its own; those of its search and of netadapt/ do")
        stages = CodesignResult(file.parent, CodesignSettings.from_json(opened.settings), ended_stages(opened))
        print_json(stages.to_json()) if json else codesign.show(stages)
        return
    from nascompiler.cli import netadapt
    from nascompiler.netadapt.result import AdaptResult

    result = AdaptResult.of(opened)
    if report is not None:
        from nascompiler.netadapt.report import save_report

        save_report(result, report)
        say(f"wrote {report}")
    print_json(result.to_json()) if json else netadapt.show(result)


def show(result: SearchResult) -> None:
    """Print the front, the best as measured at the end, failures, and the winner last."""
    targets = list(result.settings.targets)
    if result.front:
        share = f"{result.volume:.1%} of what is thinkable is dominated"
        table(_columns(targets), [_row(result, c) for c in result.front], title=f"Pareto front ({share})")
    if result.finals:
        kinds = choices_text(dict.fromkeys(f.before.kind.value for f in result.finals if f.before)) or "before"
        columns = (">trial", "target", f">{kinds} in the trial", f">{result.kinds_of_finals}", ">spread", ">off by", "")
        table(
            columns, [_final(final) for final in result.finals], title=f"the best, {result.kinds_of_finals} end to end"
        )
    ended = sum(trial.told is not None for trial in result.trials)
    repeats = sum(trial.repeats is not None for trial in result.trials)
    size = result.space.size
    architectures = f"{size:,}" if size < MANY else f"{size:.3g}"
    notes = [f"{ended} of {result.settings.trials} trials of {architectures} architectures"]
    notes += [f"{repeats} repeated an earlier one"] if repeats else []
    notes += [f"{number} failed: {kind}" for kind, number in result.failures.most_common()]
    print("; ".join(notes))
    if result.winner is not None:
        print(f"the winner is trial {result.winner.number}: {_said(result.winner)}")


def _said(winner: Candidate) -> str:
    evaluation = winner.evaluation
    parts = [f"accuracy {evaluation.accuracy or 0:.2%} on held-out images"]
    parts += [
        f"{duration(found.ns)} on {target} ({found.kind.value})" for target, found in evaluation.latencies.items()
    ]
    parts += [f"{count(evaluation.parameters)} parameters", f"{count(evaluation.macs)} multiply-adds"]
    return ", ".join(parts)


def _columns(targets: list[str]) -> tuple[str, ...]:
    return (">trial", ">accuracy", *_right(targets), ">params", ">multiply-adds", ">reward", "")


def _right(targets: list[str]) -> list[str]:
    return [f">{target}" for target in targets]


def _row(result: SearchResult, candidate: Candidate) -> tuple[Any, ...]:
    evaluation = candidate.evaluation
    notes = ["winner"] if result.winner is candidate else []
    notes += [] if candidate.meets_latency else ["slower than asked for"]
    return (
        candidate.number,
        f"{evaluation.accuracy or 0:.2%}",
        *(duration(evaluation.latencies[t].ns) if t in evaluation.latencies else "-" for t in result.settings.targets),
        count(evaluation.parameters),
        count(evaluation.macs),
        f"{candidate.reward:.4f}",
        ", ".join(notes),
    )


def _rows(result: SearchResult) -> list[tuple[Any, ...]]:
    rows = []
    for trial in result.trials:
        evaluation, failure = trial.evaluation, trial.failure
        note = "" if trial.repeats is None else f"as trial {trial.repeats}"
        note = f"{failure.failure_class.value}: {failure.message}" if failure else note
        known = {} if evaluation is None else evaluation.latencies
        accuracy = None if evaluation is None else evaluation.accuracy
        rows.append(
            (
                trial.number,
                trial.status,
                None if accuracy is None else f"{accuracy:.2%}",
                *(duration(known[t].ns) if t in known else "-" for t in result.settings.targets),
                None if evaluation is None else count(evaluation.parameters),
                None if trial.told is None else f"{trial.told:.4f}",
                note,
            )
        )
    return rows


def _final(final: FinalRecord) -> tuple[Any, ...]:
    before, measured = final.before, final.measured
    note = "as fast as the one above, within the noise" if final.tied else final.problem
    return (
        final.trial,
        final.target,
        None if before is None else duration(before.ns),
        None if measured is None else duration(measured.ns),
        None if measured is None else duration(measured.spread_ns),
        None if final.error is None else f"{final.error:+.1%}",
        note,
    )
