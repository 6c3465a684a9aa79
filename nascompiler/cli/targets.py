"""`nascompiler targets`: what can be compiled for."""

from __future__ import annotations

from dataclasses import asdict

from nascompiler.backends.cores import Core
from nascompiler.cli.common import JsonOption, print_json, table


def targets(json: JsonOption = False) -> None:
    """List the targets and their options."""
    from nascompiler.backends.target import describe, target_names

    described = {name: describe(name) for name in target_names()}
    if json:
        print_json(
            {n: {k: asdict(v) if isinstance(v, Core) else v for k, v in d.items()} for n, d in described.items()}
        )
        return
    table(
        ("target", "kind", "options", "what"),
        [
            (
                name,
                data["kind"],
                ", ".join(f"{o}={v['default']}" for o, v in data.get("options", {}).items()),
                data["description"],
            )
            for name, data in described.items()
        ],
    )
