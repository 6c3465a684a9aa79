"""`nascompiler zoo`: the architectures there are, their counts and where they come from."""

from __future__ import annotations

from typing import Any

from nascompiler.cli.common import JsonOption, count, print_json, table


def zoo(json: JsonOption = False) -> None:
    """List the architectures by name, with parameters, multiply-adds, input size and source."""
    rows = [_describe(name) for name in _names()]
    if json:
        print_json(rows)
        return
    table(
        ("architecture", ">params", ">multiply-adds", "input", "published", "source"),
        [
            (
                row["name"],
                count(row["params"]),
                count(row["macs"]),
                "x".join(map(str, row["input_size"])),
                ", ".join(filter(None, (row["published_params"], row["published_macs"]))) or None,
                row["source"],
            )
            for row in rows
        ],
    )


def _names() -> list[str]:
    from nascompiler import zoo

    return zoo.names()


def _describe(name: str) -> dict[str, Any]:
    """The entry of an architecture and the shape of its first input."""
    from nascompiler import zoo

    entry = zoo.entry(name)
    return {
        "name": name,
        "params": entry.params,
        "macs": entry.macs,
        "input_size": list(zoo.load(name).inputs[0].type.shape or ()),
        "published_params": entry.published_params,
        "published_macs": entry.published_macs,
        "source": entry.source,
        "note": entry.note,
    }
