"""The report as one HTML page, with its pictures inside: nothing is fetched when it is opened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from nascompiler.ir import UsageError
from nascompiler.ir.files import write_text
from nascompiler.search.ranking import Candidate
from nascompiler.search.report.curves import Baseline, baseline, trajectory
from nascompiler.search.result import SearchResult
from nascompiler.search.study import TrialRecord

TEMPLATE = "report.html.j2"

MANY = 10**7
"""Larger numbers of architectures are written with a power of ten."""

LISTED = 50
"""Architectures in the table of the best, and failures in that of failures; all are in the JSON of the page."""


def save_report(result: SearchResult, path: str | Path, *, against: SearchResult | None = None) -> None:
    """Write the page; `against` is a study to compare with, of random search say.

    Raises UsageError when Jinja2 or matplotlib is not installed, and for a study of another space.
    """
    write_text(path, page(result, against=against))


def page(result: SearchResult, *, against: SearchResult | None = None) -> str:
    """The page as text; see `save_report`."""
    try:
        from jinja2 import Environment, StrictUndefined

        from nascompiler.search.report import figures
    except ModuleNotFoundError as error:
        raise UsageError(f"a report needs {error.name}: pip install 'nascompiler[report]'") from error
    compared = baseline(result, against)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"duration": _duration, "count": _count}
    template = environment.from_string((files(__package__) / TEMPLATE).read_text(encoding="utf-8"))
    failed = [trial for trial in result.trials if trial.failure is not None]
    return template.render(
        result=result,
        settings=result.settings.to_json(),
        targets=list(result.settings.targets),
        winner=result.winner,
        decisions=_decisions(result, result.winner),
        verdict=_verdict(result),
        architectures=f"{result.space.size:,}" if result.space.size < MANY else f"{result.space.size:.3g}",
        ended=sum(trial.told is not None for trial in result.trials),
        failed=failed[:LISTED],
        failures=len(failed),
        best=result.candidates[:LISTED],
        fronted={candidate.number for candidate in result.front},
        compared=compared,
        gain=None if compared is None else _gain(result, compared),
        figures=figures.figures(result, compared),
        pictures=_pictures(result),
        data=json.dumps(_data(result), default=str).replace("</", "<\\/"),
    )


def _gain(result: SearchResult, compared: Baseline) -> str:
    """The best reward beside what random search is expected to reach in as many trials."""
    length = min(len(compared.expected_best), len(result.trials))
    best = max(trajectory(result.trials, result.objective)[:length], default=0.0)
    expected = compared.expected_best[length - 1]
    return f"{best:.4f} after {length} trials; random search, as expected from its draws: {expected:.4f}"


def _verdict(result: SearchResult) -> str:
    if result.winner is None:
        return "No architecture meets the constraints."
    found = result.winner.evaluation
    parts = [f"accuracy {found.accuracy or 0:.2%}"]
    parts += [f"{_duration(latency.ns)} on {t} ({latency.kind.value})" for t, latency in found.latencies.items()]
    slow = "" if result.winner.meets_latency else " It is slower than was asked for."
    return f"Trial {result.winner.number} wins: {', '.join(parts)}.{slow}"


def _data(result: SearchResult) -> dict[str, Any]:
    """All figures of the page; of each trial what is needed to draw it again."""
    rewards = trajectory(result.trials, result.objective)
    rows = [
        {
            "vector": list(trial.vector),
            "reward": reward,
            "accuracy": None if trial.evaluation is None else trial.evaluation.accuracy,
            "latencies_ns": {}
            if trial.evaluation is None
            else {t: v.ns for t, v in trial.evaluation.latencies.items()},
        }
        for trial, reward in zip(result.trials, rewards, strict=True)
    ]
    return result.to_json() | {"trajectory": rows}


def _times(trial: TrialRecord) -> dict[str, float]:
    return {} if trial.evaluation is None else {t: found.ns for t, found in trial.evaluation.latencies.items()}


def _decisions(result: SearchResult, winner: Candidate | None) -> Sequence[tuple[str, Any]]:
    return [] if winner is None else list(result.space.decode(winner.trial.vector).items())


def _pictures(result: SearchResult) -> list[tuple[str, str]]:
    """(caption, SVG) of the winner: its network, and each of its cells."""
    if result.winner is None:
        return []
    from nascompiler.pictures import draw_cell, draw_network

    graph = result.architecture(result.winner)
    drawn = [(f"Cell {name}", draw_cell(cell, graph).render(name)) for name, cell in graph.cells.items()]
    drawn.append(("The network", draw_network(graph).render(graph.name)))
    return [(caption, svg[svg.index("<svg") :]) for caption, svg in drawn]


def _duration(ns: float) -> str:
    return f"{ns / 1e6:.3g} ms" if ns >= 1e6 else f"{ns / 1e3:.3g} µs"


def _count(number: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
