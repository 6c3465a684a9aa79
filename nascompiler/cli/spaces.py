"""`nascompiler spaces`: the search spaces there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nascompiler.cli.common import JsonOption, print_json, table

if TYPE_CHECKING:
    from nascompiler.spaces import SearchSpace


def spaces(json: JsonOption = False) -> None:
    """List the search spaces, those of plugins included: how many architectures each holds, and its choices."""
    from nascompiler.spaces import load, names

    found = [load(name) for name in names()]
    if json:
        print_json([_describe(space) for space in found])
        return
    table(
        ("space", ">architectures", ">choices", "what is chosen"),
        [(s.name, f"{s.size:.3g}", len(s.choices), ", ".join(_kinds(s.choices))) for s in found],
    )


def _kinds(names: Iterable[str]) -> list[str]:
    """What the choices are about: the last parts of their names, once each."""
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))


def _describe(space: SearchSpace) -> dict[str, Any]:
    return {
        "name": space.name,
        "size": space.size,
        "choices": [
            {
                "name": choice.name,
                "options": list(choice.options),
                "condition": None
                if choice.condition is None
                else {"choice": choice.condition[0], "among": list(choice.condition[1])},
            }
            for choice in space.choices.values()
        ],
    }
