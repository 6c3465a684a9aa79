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
    rows = [Description.of(name, cls) for name, cls in PASSES.items()]
    if json:
        print_json([dataclasses.asdict(row) for row in rows])
        return
    table(
        ("pass", "options", "needs", "preserves", "what"),
        [
            (
                row.name,
                ", ".join(f"{option}={default}" for option, default in row.options.items()),
                ", ".join(row.requires),
                row.preserves,
                row.summary,
            )
            for row in rows
        ],
    )


@dataclasses.dataclass(frozen=True)
class Description:
    """What the table says of a pass."""

    name: str
    summary: str
    options: dict[str, str]
    requires: list[str]
    preserves: str

    @classmethod
    def of(cls, name: str, described: type[Pass]) -> Description:
        options = {}
        for field in dataclasses.fields(described):
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            options[field.name.replace("_", "-")] = "(required)" if required else str(field.default)
        return cls(
            name=name,
            summary=(inspect.getdoc(described) or "").partition("\n")[0],
            options=options,
            requires=[*described.requires_level, *sorted(described.requires)],
            preserves=str(described.preserves),
        )
