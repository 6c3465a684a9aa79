"""The report as one HTML page, with its pictures inside: nothing is fetched when it is opened."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from nascompiler.ir import UsageError
from nascompiler.ir.files import write_text
from nascompiler.netadapt.budgets import amount_text
from nascompiler.netadapt.result import AdaptResult

TEMPLATE = "report.html.j2"


def save_report(result: AdaptResult, path: str | Path) -> None:
    """Write the page; raises UsageError when Jinja2 or matplotlib is not installed."""
    write_text(path, page(result))


def page(result: AdaptResult) -> str:
    """The page as text; see `save_report`."""
    try:
        from jinja2 import Environment, StrictUndefined

        from nascompiler.netadapt.report.figures import figures
    except ModuleNotFoundError as error:
        raise UsageError(f"a report needs {error.name}: pip install 'nascompiler[report]'") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["amount"] = lambda value, name: amount_text(name, value)
    template = environment.from_string((files(__package__) / TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        result=result,
        settings=result.settings.to_json(),
        bounds=dict(result.start.bounds),
        verdict=_verdict(result),
        figures=figures(result),
        data=json.dumps(result.to_json(), default=str).replace("</", "<\\/"),
    )


def _verdict(result: AdaptResult) -> str:
    taken = ", ".join(
        f"{name} {result.latency_text(result.last, name)} (asked for {amount_text(name, bound)})"
        for name, bound in result.start.bounds.items()
    )
    reached = result.last.accuracy if result.final is None else result.final.held_out_accuracy
    return f"After {result.last.number} iterations: {taken}, accuracy {reached:.2%} on held-out images."
