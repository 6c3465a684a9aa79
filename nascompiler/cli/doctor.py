"""`nascompiler doctor`: what is installed, what clashes, what each missing piece would give."""

from __future__ import annotations

import typer

from nascompiler.cli.common import JsonOption, print_json, table


def doctor(json: JsonOption = False) -> None:
    """Check this machine; exit 5 when something that compiling needs is missing or clashes."""
    from nascompiler.doctor import examine

    findings = examine()
    if json:
        print_json([finding.to_json() for finding in findings])
    else:
        table(
            ("piece", "state", "found", "what it gives", "what to do"),
            [(f.piece, f.state.value, f.found, f.gives, f.remedy) for f in findings],
        )
    if any(f.is_fatal for f in findings):
        raise typer.Exit(5)
