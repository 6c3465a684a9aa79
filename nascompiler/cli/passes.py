"""`nascompiler passes`: the passes there are, their options and what they preserve."""

from __future__ import annotations

import dataclasses
import inspect

from nascompiler.cli.common import JsonOption, LoadOption, print_json, table
from nascompiler.passes import PASSES, Pass, load_script


def passes(load: LoadOption = None, json: JsonOption = False) -> None:
    """List the passes, those of plugins and scripts included."""
    for script in load or ():
        load_script(script)
    rows = [_describe(name, cls) for name, cls in PASSES.items()]
    if json:
        print_json(rows)
        return
    table(
        ("pass", "options", "needs", "preserves", "what"),
        [
            (
                row["name"],
                ", ".join(f"{o}={d}" for o, d in row["options"].items()),
                ", ".join(row["requires"]),
                row["preserves"],
                row["summary"],
            )
            for row in rows
        ],
    )


def _describe(name: str, cls: type[Pass]) -> dict[str, dict[str, str] | list[str] | str]:
    options = {}
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        options[field.name.replace("_", "-")] = "(required)" if required else str(field.default)
    return {
        "name": name,
        "summary": (inspect.getdoc(cls) or "").partition("\n")[0],
        "options": options,
        "requires": [*cls.requires_level, *sorted(cls.requires)],
        "preserves": str(cls.preserves),
    }
