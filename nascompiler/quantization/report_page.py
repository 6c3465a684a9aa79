"""The report as one HTML page, with its pictures inside: nothing is fetched when it is opened."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nascompiler.ir import UsageError
from nascompiler.quantization.noise import decibels_text

if TYPE_CHECKING:
    from nascompiler.quantization.result import Report

TEMPLATE = "report.html.j2"


def page(report: Report) -> str:
    """The page; raises UsageError when Jinja2 or matplotlib is not installed."""
    try:
        from jinja2 import Environment, StrictUndefined

        from nascompiler.quantization import report_figures
    except ModuleNotFoundError as error:
        raise UsageError(f"a report needs {error.name}: pip install 'nascompiler[report]'") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"decibels": decibels_text, "number": _number, "size": _size, "duration": _duration}
    template = environment.from_string((files(__package__) / TEMPLATE).read_text(encoding="utf-8"))
    placed = Counter(row.placement for row in report.layers)
    return template.render(
        report=report,
        verdict=report.verdict,
        comparison=report.verdict.latency.comparison,
        placed=", ".join(f"{count} {where}" for where, count in placed.most_common()),
        figures=report_figures.figures(report),
        data=json.dumps(report.to_json(), default=str).replace("</", "<\\/"),
    )


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _duration(ns: float) -> str:
    return f"{ns / 1e6:.3g} ms" if ns >= 1e6 else f"{ns / 1e3:.3g} µs"
